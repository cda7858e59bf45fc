"""Sessions of Continue: what was said, and not the prompts that repeat it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.continue_sessions import EXAMPLE


def test_all_of_a_session_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    """Else a prompt in it is taken for the chat, and the rest is not read."""
    [chat], refusals = read_all(write(tmp_path / "session.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("continue", EXAMPLE["sessionId"], "Two knots")
    assert spoken(chat) == [
        ("user", "Which knot holds?\n\n[knots.md]\n```\nA bowline, a reef knot\n```"),
        ("assistant", "I look."),
        ("tool", "A bowline"),
        ("assistant", "The bowline."),
    ]
    assert chat.created_at is not None
    assert chat.messages[1].output_tokens == 6
    assert chat.asides["reasoning"] == 2
    [file] = json.loads(chat.messages[0].body or "")["attachments"]
    assert (file["kind"], file["name"]) == ("context", "knots.md")


def test_the_list_of_sessions_is_no_chat(tmp_path: Path) -> None:
    """Else the import of the folder in which Continue has its sessions always has a refusal."""
    write(tmp_path / "session.json", EXAMPLE)
    about = {"sessionId": EXAMPLE["sessionId"], "title": "Two knots", "dateCreated": "1"}
    write(tmp_path / "sessions.json", [about])
    found, refusals = read_all(tmp_path)
    assert ([chat.title for chat in found], refusals) == (["Two knots"], [])


@pytest.mark.parametrize("history", [[], [{"message": {"role": "user"}}], [{"contextItems": []}]])
def test_other_histories_are_not_taken(tmp_path: Path, history: list[Any]) -> None:
    found, _ = read_all(write(tmp_path / "other.json", {"history": history}))
    assert [chat.source for chat in found if chat.source == "continue"] == []


OUTPUT = {"name": "list", "description": "files", "content": "a bowline\na reef knot"}
CALL = {"id": "c-1", "type": "function", "function": {"name": "list", "arguments": "{}"}}


def listing(*others: Any, **fields: Any) -> dict[str, Any]:
    """A session that lists its files."""
    asked = {"message": {"role": "user", "content": "List them"}, "contextItems": []}
    calling = {"role": "assistant", "content": "I look.", "toolCalls": [CALL]}
    called = {"message": calling, "contextItems": [], **fields}
    last = {"message": {"role": "assistant", "content": "Two."}, "contextItems": []}
    return {"sessionId": "s-1", "title": "T", "history": [asked, called, *others, last]}


@pytest.mark.parametrize("is_list", [True, False])
def test_a_result_beside_its_call_is_a_result(tmp_path: Path, *, is_list: bool) -> None:
    """Else all that the tools of a session in the terminal found stands in the metadata."""
    state = {"toolCallId": "c-1", "toolCall": CALL, "status": "done", "output": [OUTPUT]}
    beside = {"toolCallStates": [state]} if is_list else {"toolCallState": state}
    [chat], refusals = read_all(write(tmp_path / "session.json", listing(**beside)))
    assert refusals == []
    assert spoken(chat) == [
        ("user", "List them"),
        ("assistant", "I look."),
        ("tool", "a bowline\na reef knot"),
        ("assistant", "Two."),
    ]
    assert (chat.messages[1].tool_calls or [])[0]["id"] == "c-1"


@pytest.mark.parametrize("about", [{"toolCall": CALL}, {}])
def test_a_result_without_the_id_of_its_call_is_a_result(tmp_path: Path, about: Any) -> None:
    value = listing(toolCallStates=[{**about, "status": "done", "output": [OUTPUT]}])
    [chat], refusals = read_all(write(tmp_path / "session.json", value))
    assert refusals == []
    assert ("tool", OUTPUT["content"]) in spoken(chat)


def test_the_result_of_a_message_is_there_once(tmp_path: Path) -> None:
    """Else a reader sees what a tool found once as the result, and again as a file of it."""
    state = {"toolCallId": "c-1", "status": "done", "output": [OUTPUT]}
    result = {"role": "tool", "content": OUTPUT["content"], "toolCallId": "c-1"}
    other = {"name": "more", "content": "a hitch"}
    answer = {"message": result, "contextItems": [OUTPUT, other]}
    value = listing(answer, toolCallStates=[state])
    [chat], refusals = read_all(write(tmp_path / "session.json", value))
    assert refusals == []
    assert spoken(chat)[2:] == [
        ("tool", "a bowline\na reef knot"),
        ("assistant", "[more]\n```\na hitch\n```"),
        ("assistant", "Two."),
    ]


def test_a_tool_that_failed_is_marked(tmp_path: Path) -> None:
    state = {"toolCallId": "c-1", "status": "errored", "output": [OUTPUT]}
    value = listing(toolCallStates=[state])
    [chat], _ = read_all(write(tmp_path / "session.json", value))
    assert [(message.metadata or {}).get("status") for message in chat.messages][2] == "failed"


def typed(said: object, *nodes: Any) -> dict[str, Any]:
    """A session whose question stands in an editor as well."""
    state = {"type": "doc", "content": [{"type": "paragraph", "content": [*nodes]}]}
    message = {"role": "user", "content": said}
    asked = {"message": message, "contextItems": [], "editorState": state}
    answer = {"message": {"role": "assistant", "content": "Ho"}, "contextItems": []}
    return {"sessionId": "s-1", "title": "T", "history": [asked, answer]}


def node(kind: str, **about: str) -> dict[str, Any]:
    """A node of an editor that is no text."""
    return {"type": kind, "attrs": about}


KNOT = {"type": "text", "text": " Tie this knot "}


@pytest.mark.parametrize(
    "other",
    [
        node("mention", label="knots.md", itemType="file"),
        node("codeBlock", content="```knots.md\nbowline\n```"),
        node("slashcommand", label="/explain"),
    ],
)
def test_what_an_editor_shows_beside_the_text_is_kept(tmp_path: Path, other: Any) -> None:
    """Else each session with a file in a question is reported, and the exit code says nothing."""
    [chat], refusals = read_all(write(tmp_path / "s.json", typed("Tie this knot", other, KNOT)))
    assert refusals == []
    assert spoken(chat) == [("user", "Tie this knot"), ("assistant", "Ho")]
    assert chat.asides["editorState"] == 1


def test_what_was_typed_and_is_not_in_the_message_is_reported(tmp_path: Path) -> None:
    [chat], [refusal] = read_all(write(tmp_path / "s.json", typed("Tie", KNOT)))
    assert "editorState was not understood" in refusal.reason
    assert "Tie this knot" in json.dumps(chat.messages[0].metadata)


def test_a_picture_is_an_attachment(tmp_path: Path) -> None:
    picture = {"type": "imageUrl", "imageUrl": {"url": "https://pictures.example/knot.png"}}
    value = typed([{"type": "text", "text": "Which?"}, picture])
    [chat], refusals = read_all(write(tmp_path / "s.json", value))
    assert refusals == []
    [file] = json.loads(chat.messages[0].body or "")["attachments"]
    assert (file["kind"], file["reference"]) == ("image", "https://pictures.example/knot.png")


@pytest.mark.parametrize(("title", "is_nothing"), [("New Session", True), ("Two knots", False)])
def test_a_session_that_was_not_used_is_no_conversation(
    tmp_path: Path, title: str, *, is_nothing: bool
) -> None:
    """Else the import of the folder is refused for each session that was opened and left."""
    value = {"sessionId": "s-1", "title": title, "workspaceDirectory": "/w", "history": []}
    [chat], refusals = read_all(write(tmp_path / "session.json", value))
    assert (chat.has_nothing, chat.key, refusals) == (is_nothing, "s-1", [])


def test_text_beside_an_empty_history_is_reported(tmp_path: Path) -> None:
    about = {"sessionId": "s-1", "title": "", "workspaceDirectory": "/w", "note": "Tie a knot"}
    [_], [refusal] = read_all(write(tmp_path / "session.json", {**about, "history": []}))
    assert "8 characters of text were not understood" in refusal.reason
