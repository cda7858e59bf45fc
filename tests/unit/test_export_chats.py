"""Chats in the formats of other programs: what the importer reads of them is what was exported."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.chat_files import parent_of, path, read_all
from tests.exported_chats import (
    HOSTILE,
    UNICODE,
    call,
    chat_of,
    custom,
    exported,
    result,
    say,
)

from faceplate import Conversation, Message
from faceplate.importers import Chat
from faceplate.services.messages import NewMessage

NAMES = {"openai": "chats.jsonl", "chatgpt": "conversations.json"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.example/pear.png"}}
POINTER = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f-1"}


def attachments(*parts: dict[str, Any], name: str = "") -> str:
    """Return the body that an import gives to a message with files."""
    listed = [{"kind": "image", "name": name, "part": part} for part in parts]
    return json.dumps({"attachments": listed})


async def read_back(
    key: str, conversation: Conversation, messages: list[Message], folder: Path
) -> Chat:
    file = folder / NAMES[key]
    file.write_text(await exported(key, conversation, messages), encoding="utf-8")
    [chat], refusals = read_all(file)
    assert (chat.source, refusals) == (key, [])
    return chat


def said(message: Message | NewMessage) -> tuple[Any, ...]:
    return (
        message.role,
        message.content,
        message.tool_calls,
        message.tool_results,
        message.model,
        message.created_at,
    )


LINEAR = chat_of(
    say("system", "Be exact."),
    say("developer", "And short."),
    say("user", UNICODE),
    say("assistant", tool_calls=[call("c1")], model="gpt-9"),
    say("tool", "4 degrees, rain", tool_results=[result("c1")]),
    say("assistant", HOSTILE, model="gpt-9"),
    say("user", "x" * 300_000),
    say("assistant", tool_calls=[custom("c2", "shell", "ls -l\n")]),
    say("tool", "pear", tool_results=[result("c2", "pear")]),
    say("assistant", tool_calls=[call("c3", arguments="")]),
    say("tool", "", tool_results=[result("c3", "")]),
    say("assistant", tool_calls=[call("c4", arguments='{"cut off'), custom("c5", "echo", "{}")]),
    say("tool", "1", tool_results=[result("c5", "1")]),
    say("tool", "2", tool_results=[result("c4", "2")]),
    say("assistant", ""),
    say("user", "  \n"),
    say("assistant", "A pear.", status="interrupted"),
    title="Pears & <b>plums</b>",
)


@pytest.mark.parametrize("key", NAMES)
async def test_a_chat_comes_back_to_the_letter(key: str, tmp_path: Path) -> None:
    """Else who moves to another program leaves words, calls or dates behind."""
    conversation, messages = LINEAR
    chat = await read_back(key, conversation, messages, tmp_path)
    assert (chat.key, chat.title) == (str(conversation.id), conversation.title)
    assert chat.created_at == conversation.created_at
    assert list(map(said, chat.messages)) == list(map(said, messages))


@pytest.mark.parametrize("key", NAMES)
async def test_parallel_calls_are_linked_in_any_order(key: str, tmp_path: Path) -> None:
    """Else an answer about Rome is read as one about Oslo."""
    conversation, messages = chat_of(
        say("user", "Oslo, Rome?"),
        say("assistant", "I look.", tool_calls=[call("c1"), call("c2"), call("c3", "clock")]),
        say("tool", tool_results=[result("c2", "Rome"), result("c3", {"hour": 9})]),
        say("tool", tool_results=[result("c1", "Oslo", is_error=True)]),
        say("assistant", "Well.", tool_calls=[call("c1")]),  # some models count anew in each turn
        say("tool", tool_results=[result("c1", "again")]),
        say("assistant", "Done."),
    )
    chat = await read_back(key, conversation, messages, tmp_path)
    calls = [each["id"] for message in chat.messages for each in message.tool_calls or ()]
    results = [
        (each["tool_call_id"], each["content"])
        for message in chat.messages
        for each in message.tool_results or ()
    ]
    assert calls == ["c1", "c2", "c3", "c1"]
    assert results == [("c2", "Rome"), ("c3", '{"hour": 9}'), ("c1", "Oslo"), ("c1", "again")]
    texts = [m.content for m in chat.messages if m.role == "assistant" and m.content]
    assert texts == ["I look.", "Well.", "Done."]


@pytest.mark.parametrize("key", NAMES)
async def test_files_and_pictures_stay_with_their_message(key: str, tmp_path: Path) -> None:
    """Else a question about a picture has none."""
    conversation, messages = chat_of(
        say("user", "What is it?", body=attachments(PICTURE, POINTER)),
        say("user", "[pear.png]", body=attachments(PICTURE, name="pear.png")),
        say("assistant", "A pear.", body='{"raw": 1}'),
        say("assistant", tool_calls=[call("c1")], body=attachments(PICTURE)),
        say("tool", "ok", tool_results=[result("c1", "ok")]),
    )
    chat = await read_back(key, conversation, messages, tmp_path)
    assert [message.content for message in chat.messages] == [m.content for m in messages]
    kept = [json.loads(m.body)["attachments"] if m.body else [] for m in chat.messages]
    assert [len(each) for each in kept] == [2, 1, 0, 1, 0]
    assert "pear.png" in kept[0][0]["reference"] + kept[1][0]["reference"]
    assert "f-1" in json.dumps(kept[0])


@pytest.mark.parametrize("key", NAMES)
@pytest.mark.parametrize("type_", ["application/pdf", "web_page", "doc"])
async def test_a_file_whose_type_is_no_kind_of_part_is_read_back(
    key: str, type_: str, tmp_path: Path
) -> None:
    """Else the importer reports what the exporter wrote as not understood."""
    part = {"type": type_, "file_id": "f-1", "filename": "pears.pdf"}
    conversation, messages = chat_of(say("user", "Read it", body=attachments(part)))
    chat = await read_back(key, conversation, messages, tmp_path)
    assert [message.content for message in chat.messages] == ["Read it"]
    [kept] = json.loads(chat.messages[0].body or "")["attachments"]
    assert (kept["name"], kept["reference"]) == ("pears.pdf", "f-1")


async def test_the_text_of_a_file_is_not_there_twice(tmp_path: Path) -> None:
    part = {"file_name": "n.txt", "extracted_content": "Pears", "id": "f-1"}
    content = "Read it\n\n[n.txt]\n```\nPears\n```"
    conversation, messages = chat_of(say("user", content, body=attachments(part, name="n.txt")))
    for key in NAMES:
        chat = await read_back(key, conversation, messages, tmp_path)
        assert [message.content for message in chat.messages] == [content]
        assert "n.txt" in (chat.messages[0].body or "")


async def test_openai_has_the_shape_that_its_servers_take() -> None:
    conversation, messages = chat_of(
        say("user", "Oslo?", body=attachments(PICTURE)),
        say("assistant", tool_calls=[call("c1")]),
        say("tool", tool_results=[result("c1", ["a", 1])]),
    )
    line = json.loads(await exported("openai", conversation, messages))
    assert list(line) == ["id", "title", "created_at", "messages"]
    asked, called, answered = (
        {name: value for name, value in message.items() if name != "created_at"}
        for message in line["messages"]
    )
    assert asked == {"role": "user", "content": [{"type": "text", "text": "Oslo?"}, PICTURE]}
    assert called == {"role": "assistant", "content": None, "tool_calls": [call("c1")]}
    assert answered == {"role": "tool", "tool_call_id": "c1", "content": '["a", 1]'}


BRANCHED = chat_of(
    say("user", "Where to?"),
    say("assistant", "Look.", tool_calls=[call("c1"), call("c2")]),
    say("tool", tool_results=[result("c1", "a"), result("c2", "b")]),
    say("assistant", "To Oslo."),
    say("assistant", "To Bergen.", parent_position=3),
    say("user", "By train?", parent_position=4),
    say("user", "When?", parent_position=7),
    say("assistant", "At nine."),
    say("assistant", "To Rome.", parent_position=3),
    head=6,
)


async def test_a_tree_comes_back_with_its_branches_and_its_path(tmp_path: Path) -> None:
    """Else a regenerated answer is lost, or stands where another one was shown."""
    chat = await read_back("chatgpt", *BRANCHED, tmp_path)
    at = {message.content: place for place, message in enumerate(chat.messages, start=1)}

    def before(content: str) -> str:
        parent = parent_of(chat, at[content])
        return chat.messages[parent - 1].content if parent else ""

    assert [before(content) for content in ("To Oslo.", "To Bergen.", "To Rome.")] == ["b"] * 3
    assert before("By train?") == "To Oslo."
    assert before("Where to?") == before("When?") == ""
    assert before("At nine.") == "When?"
    assert at["To Oslo."] < at["To Bergen."] < at["To Rome."]
    shown = [message.content for message in path(chat)]
    assert shown == ["Where to?", "Look.", "a", "b", "To Oslo.", "By train?"]


async def test_a_tree_is_one_that_any_reader_can_follow() -> None:
    """Else another program finds a node that is not there, or none without a parent."""
    [chat] = json.loads(await exported("chatgpt", *BRANCHED))
    mapping = chat["mapping"]
    roots = [node["id"] for node in mapping.values() if node["parent"] is None]
    assert len(roots) == 1
    for id_, node in mapping.items():
        assert id_ == node["id"]
        assert node["message"] is None or node["message"]["id"] == id_
        assert all(mapping[child]["parent"] == id_ for child in node["children"])
        assert node["parent"] is None or id_ in mapping[node["parent"]]["children"]
    assert mapping[chat["current_node"]]["message"]["content"]["parts"] == ["By train?"]


@pytest.mark.parametrize("key", NAMES)
async def test_what_has_no_role_is_no_message_and_ends_no_tree(key: str, tmp_path: Path) -> None:
    conversation, messages = chat_of(
        say("user", "Hi"),
        say(None, body="[1]"),
        say("tool", "a text", body="[2]"),
        say("assistant", "Ho"),
    )
    chat = await read_back(key, conversation, messages, tmp_path)
    found = [(message.role, message.content) for message in chat.messages]
    assert found == [("user", "Hi"), ("assistant", "a text"), ("assistant", "Ho")]


@pytest.mark.parametrize("key", NAMES)
async def test_no_message_is_a_chat_as_well(key: str) -> None:
    conversation, messages = chat_of(title="Empty")
    found = json.loads(await exported(key, conversation, messages))
    chat = found[0] if isinstance(found, list) else found
    assert chat["title"] == "Empty"


@st.composite
def trees(draw: st.DrawFn) -> tuple[Conversation, list[Message]]:
    """A conversation of user's and assistant's texts, with branches anywhere."""
    texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    spoken = []
    for position in range(1, draw(st.integers(1, 12)) + 1):
        parent = draw(st.none() | st.integers(1, position))
        if position == 1:
            parent = None
        content = draw(texts)
        role = draw(st.sampled_from(["user", "assistant", "system"]))
        spoken.append(say(role, content, parent_position=parent))
    assume(any(each["content"].strip() for each in spoken))  # else an import refuses it
    head = draw(st.none() | st.integers(1, len(spoken)))
    return chat_of(*spoken, head=head)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(tree=trees())
async def test_any_tree_comes_back(
    tree: tuple[Conversation, list[Message]], tmp_path: Path
) -> None:
    conversation, messages = tree
    chat = await read_back("chatgpt", conversation, messages, tmp_path)

    def lines(ends: list[int], line: Any) -> list[list[str]]:
        return sorted([message.content for message in line(end)] for end in ends)

    def stored_line(end: int) -> list[Message]:
        found = []
        while end:
            message = messages[end - 1]
            found.append(message)
            parent = message.parent_position
            end = end - 1 if parent is None else 0 if parent == end else parent
        return found[::-1]

    every = list(range(1, len(messages) + 1))
    assert lines(every, stored_line) == lines(every, lambda end: path(chat, end))
    shown = stored_line(conversation.head or len(messages))
    assert [message.content for message in path(chat)] == [message.content for message in shown]
