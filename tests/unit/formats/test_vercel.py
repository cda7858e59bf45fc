"""Messages of the Vercel AI SDK: the parts of its versions, each once and in its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.vercel import EXAMPLE

from faceplate.importers import Chat

ASK = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Go."}]}


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert refusals == []
    assert chat.source == "vercel"
    return chat


def answer(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    reply = {"id": "m2", "role": "assistant", "parts": list(parts), **fields}
    return {"id": "v-1", "messages": [ASK, reply]}


def tool(state: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool-f", "toolCallId": "c", "state": state, "input": {"a": 1}, **fields}


def test_all_of_a_chat_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read_one(tmp_path, EXAMPLE)
    assert (chat.key, chat.title) == ("kiln", "A kiln")
    assert spoken(chat) == [
        ("user", "How hot is the kiln?"),
        ("assistant", ""),
        ("tool", '{"degrees": "thousand"}'),
        ("assistant", "It has a thousand degrees."),
        ("user", "And this glaze?"),
        ("assistant", ""),
        ("tool", "no such table"),
        ("assistant", ""),
        ("tool", "it melts earlier"),
        ("assistant", "It would run off."),
    ]
    messages = path(chat)
    names = [call["function"]["name"] for message in messages for call in message.tool_calls or ()]
    assert names == ["probe", "lookUp", "ask"]
    assert [(m.metadata or {}).get("status") for m in messages if m.role == "tool"] == [
        None,
        "failed",
        None,
    ]
    files = [json.loads(m.body)["attachments"][0] for m in messages if m.body]
    assert [(file["kind"], file["name"]) for file in files] == [
        ("image/png", "kiln.png"),
        ("image/png", "glaze.png"),
    ]
    assert (messages[5].model, messages[5].output_tokens) == ("gpt-5", 21)
    assert messages[5].created_at is not None
    assert messages[5].created_at.timestamp() == 1_743_494_430
    assert chat.asides["reasoning"] == 2


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (tool("output-available", output="ok"), "ok"),
        (tool("output-available", output={"b": [2]}), '{"b": [2]}'),
        (tool("output-available", output=""), ""),
        (tool("output-error", errorText="broken"), "broken"),
        (tool("output-error", input=None, rawInput={"a": 1}, errorText="broken"), "broken"),
        (tool("output-denied", approval={"id": "p", "approved": False, "reason": "no"}), "no"),
        ({**tool("output-available", output="ok"), "type": "dynamic-tool", "toolName": "f"}, "ok"),
    ],
)
def test_tools_have_their_results(tmp_path: Path, part: dict[str, Any], said: str) -> None:
    chat = read_one(tmp_path, answer(part, {"type": "text", "text": "Done."}))
    _, asked, result, _ = path(chat)
    [call] = asked.tool_calls or []
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert (result.role, result.content) == ("tool", said)


@pytest.mark.parametrize("state", ["input-streaming", "input-available", "approval-requested"])
def test_a_call_without_a_result_does_not_wait_for_one(tmp_path: Path, state: str) -> None:
    chat = read_one(tmp_path, answer(tool(state)))
    assert spoken(chat)[1:] == [("assistant", '[f]\n```\n{"a": 1}\n```')]


def test_version_3_has_no_parts(tmp_path: Path) -> None:
    invocation = {
        "state": "result",
        "toolCallId": "c",
        "toolName": "f",
        "args": {"a": 1},
        "result": "ok",
    }
    reply = {"role": "assistant", "content": "Done.", "toolInvocations": [invocation]}
    value = {"messages": [{"role": "user", "content": "Go."}, reply]}
    assert spoken(read_one(tmp_path, value)) == [
        ("user", "Go."),
        ("assistant", ""),
        ("tool", "ok"),
        ("assistant", "Done."),
    ]


def test_content_that_the_parts_do_not_have_is_kept(tmp_path: Path) -> None:
    chat = read_one(tmp_path, answer({"type": "text", "text": "One."}, content="Two."))
    assert spoken(chat)[1] == ("assistant", "One.\nTwo.")


def test_rows_of_a_database_are_grouped_by_their_chat(tmp_path: Path) -> None:
    rows = [
        {**ASK, "chatId": id_, "attachments": [], "createdAt": "2025-01-01T00:00:00Z"}
        for id_ in ("a", "b")
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    chats, refusals = read_all(file)
    assert [(chat.key, spoken(chat)) for chat in chats] == [
        (id_, [("user", "Go.")]) for id_ in "ab"
    ]
    assert refusals == []


class TestModelMessages:
    @pytest.mark.parametrize(
        ("output", "said"),
        [
            ({"result": {"b": 2}}, '{"b": 2}'),
            ({"output": {"type": "text", "value": "ok"}}, "ok"),
            ({"output": {"type": "json", "value": {"b": 2}}}, '{"b": 2}'),
            ({"output": {"type": "error-text", "value": "broken"}}, "broken"),
            ({"output": {"type": "content", "value": [{"type": "text", "text": "ok"}]}}, "ok"),
            ({"output": {"type": "execution-denied", "reason": "no"}}, "no"),
        ],
    )
    @pytest.mark.parametrize("key", ["args", "input"])
    def test_calls_and_results_are_parts(
        self, tmp_path: Path, key: str, output: dict[str, Any], said: str
    ) -> None:
        call = {"type": "tool-call", "toolCallId": "c", "toolName": "f", key: {"a": 1}}
        result = {"type": "tool-result", "toolCallId": "c", "toolName": "f", **output}
        value = [
            {"role": "user", "content": [{"type": "text", "text": "Go."}]},
            {"role": "assistant", "content": [{"type": "text", "text": "So."}, call]},
            {"role": "tool", "content": [result]},
            {"role": "assistant", "content": "Done."},
        ]
        chat = read_one(tmp_path, {"messages": value})
        assert [role for role, _ in spoken(chat)] == ["user", "assistant", "tool", "assistant"]
        assert said in spoken(chat)[2][1]
        assert path(chat)[1].tool_calls is not None

    def test_pictures_are_attachments(self, tmp_path: Path) -> None:
        image = {"type": "image", "image": "https://a.test/i.png", "mimeType": "image/png"}
        call = {"type": "tool-call", "toolCallId": "c", "toolName": "f", "args": {}}
        value = [
            {"role": "user", "content": [image]},
            {"role": "assistant", "content": [call]},
        ]
        [file] = json.loads(path(read_one(tmp_path, {"messages": value}))[0].body or "")[
            "attachments"
        ]
        assert (file["kind"], file["reference"]) == ("image/png", "https://a.test/i.png")


def test_what_stands_beside_the_parts_is_kept(tmp_path: Path) -> None:
    """The rows of a database have files and calls in columns of their own."""
    file = {"name": "plum.png", "url": "https://example.com/plum.png", "contentType": "image/png"}
    message = {
        "id": "m-1",
        "role": "user",
        "parts": [{"type": "text", "text": "Ripe?"}],
        "attachments": [file],
    }
    [chats, refusals] = read_all(write(tmp_path / "c.json", [message]))
    assert refusals == []
    [asked] = chats[0].messages
    assert asked.content == "Ripe?"
    assert asked.body is not None
    assert file["url"] in asked.body
