"""Chats of GitHub Copilot in Visual Studio Code."""

from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.copilot_chat import SESSION


def test_all_of_a_chat_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "chat.json", SESSION))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("copilot-chat", "session-1", "Two paths")
    assert spoken(chat) == [
        ("user", "Which path is shorter?"),
        ("assistant", "The one in `north.txt`, I think."),
        ("tool", "nine metres"),
        ("assistant", "It is."),
        ("user", "And the other?"),
        ("assistant", "It is"),
    ]
    assert chat.messages[1].model == "copilot/path-1"
    assert (chat.messages[-1].metadata or {})["status"] == "interrupted"
    assert chat.asides["reasoning"] == 1


def test_why_an_answer_failed_is_read(tmp_path: Path) -> None:
    failed = {"message": "Hi", "result": {"errorDetails": {"message": "Out of reach."}}}
    [chat], refusals = read_all(write(tmp_path / "chat.json", {"requests": [failed]}))
    assert refusals == []
    assert spoken(chat) == [("user", "Hi"), ("assistant", "Out of reach.")]
    assert (chat.messages[1].metadata or {})["status"] == "failed"


def read_answer(tmp_path: Path, *parts: Any) -> tuple[list[tuple[str | None, str]], list[str]]:
    """Return what follows a question whose answer has these parts, and the reasons of a report."""
    value = {"requests": [{"message": "Hi", "response": [{"value": "Ho"}, *parts]}]}
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    return spoken(chat)[1:], [refusal.reason for refusal in refusals]


@pytest.mark.parametrize(
    "part",
    [
        {
            "kind": "questionCarousel",
            "questions": [{"id": "q", "title": "Which of the paths?"}],
            "data": {"q": "the northern one"},
        },
        {"kind": "hologram", "value": "the answer stands here"},
        {"kind": "inlineReference", "inlineReference": {"place": "a place of another kind"}},
    ],
)
def test_a_part_of_an_unknown_kind_is_reported(tmp_path: Path, part: Any) -> None:
    """Programs write new kinds in every version, and some have what somebody has said."""
    said, [reason] = read_answer(tmp_path, part)
    assert said == [("assistant", "Ho")]
    assert "not understood" in reason


@pytest.mark.parametrize("kind", ["textEditGroup", "codeblockUri", "undoStop", "progressMessage"])
def test_a_step_is_no_part_of_the_answer(tmp_path: Path, kind: str) -> None:
    part = {"kind": kind, "uri": {"path": "/maps/north.txt"}, "content": {"value": "Drawing"}}
    assert read_answer(tmp_path, part) == ([("assistant", "Ho")], [])


FILE = {"path": "/maps/north.txt", "scheme": "file"}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (FILE, "north.txt"),
        ({"uri": FILE, "range": {"startLineNumber": 1}}, "north.txt"),
        ({"name": "measure", "kind": 11, "location": {"uri": FILE, "range": {}}}, "measure"),
        ({"kind": 11, "location": {"uri": FILE, "range": {}}}, "north.txt"),
    ],
)
def test_what_a_sentence_refers_to_is_in_it(tmp_path: Path, reference: Any, name: str) -> None:
    """Else the sentence has a gap where the name of a file stood."""
    part = {"kind": "inlineReference", "inlineReference": reference}
    said, reasons = read_answer(tmp_path, part, {"value": "!"})
    assert (said, reasons) == ([("assistant", f"Ho`{name}`!")], [])


def test_a_session_without_requests_is_no_conversation(tmp_path: Path) -> None:
    """Else a folder has a refusal, or an empty chat, for each window that was not used."""
    value = {"version": 3, "requests": [], "sessionId": "session-2", "responderUsername": "A B"}
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert (chat.source, chat.key, chat.has_nothing) == ("copilot-chat", "session-2", True)
    assert refusals == []
    typed = {**value, "inputState": {"inputText": "Not sent"}}
    [chat], [_] = read_all(write(tmp_path / "typed.json", typed))
    assert not chat.has_nothing
    assert read_all(write(tmp_path / "other.json", {"requests": [], "id": "x"}))[0] == []


def test_the_state_of_the_input_is_no_text_but_for_what_is_typed(tmp_path: Path) -> None:
    """Else every session of a newer version is reported, or words that were not sent are not."""
    extension = {"value": "GitHub.copilot-chat", "_lower": "github.copilot-chat"}
    model = {"identifier": "copilot/path-1", "metadata": {"extension": extension}}
    state = {"selectedModel": model, "inputText": "", "attachments": []}
    _, refusals = read_all(write(tmp_path / "chat.json", {**SESSION, "inputState": state}))
    assert refusals == []
    typed = {**SESSION, "inputState": {**state, "inputText": "And the third?"}}
    [chat], [refusal] = read_all(write(tmp_path / "typed.json", typed))
    assert "inputText was not understood, with 14 characters" in refusal.reason
    assert chat.metadata["source"]["inputText"] == {"text": "And the third?"}


def test_what_the_model_wrote_and_was_told_is_a_call_with_its_result(tmp_path: Path) -> None:
    """Else the call is a text of the program's words, and its result is only in the metadata."""
    parts: list[dict[str, Any]] = [
        {"kind": "toolInvocationSerialized", "toolId": "measure", "toolCallId": id_}
        for id_ in ("t-1", "t-2")
    ]
    parts[1]["resultDetails"] = [{"path": "/maps/south.txt"}]
    calls = [
        {"id": f"t-{number}", "name": "measure", "arguments": f'{{"path": "{path}"}}'}
        for number, path in enumerate(("north", "south"), start=1)
    ]
    texts = [{"type": 2, "text": text, "lineBreakBefore": True} for text in ("four", "metres")]
    tree = {"node": {"type": 1, "children": [{"type": 1, "children": texts}]}}
    results = {
        "t-1": {"content": [{"value": "nine metres"}]},
        "t-2": {"content": [{"value": tree}]},
    }
    about = {"toolCallRounds": [{"toolCalls": calls}], "toolCallResults": results}
    request = {
        "message": "Hi",
        "response": [*parts, {"value": "Ho"}],
        "result": {"metadata": about},
    }
    [chat], refusals = read_all(write(tmp_path / "chat.json", {"requests": [request]}))
    assert refusals == []
    told = [("tool", "nine metres"), ("assistant", ""), ("tool", "four\nmetres")]
    assert spoken(chat)[1:] == [("assistant", ""), *told, ("assistant", "Ho")]
    called = [call for message in chat.messages for call in message.tool_calls or ()]
    assert [call["function"]["arguments"] for call in called] == [
        '{"path": "north"}',
        '{"path": "south"}',
    ]
