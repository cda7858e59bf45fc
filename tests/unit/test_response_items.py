"""Items of OpenAI's Responses, as messages and back."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid6 import uuid7

from faceplate import Message
from faceplate.integrations._response_items import (
    from_json,
    items_of,
    items_of_bodies,
    new_message,
    to_json,
)
from faceplate.records import MessageBody

NOW = datetime.now(UTC)


def row(**fields: Any) -> Message:
    """A message as a read returns it."""
    whole: dict[str, Any] = {
        "role": None,
        "content": "",
        "tool_calls": None,
        "tool_results": None,
        "body": None,
    }
    whole |= {"metadata": {}, "status": "complete", "model": None, "parent_position": None}
    whole |= {"input_tokens": None, "output_tokens": None, "created_at": NOW, "updated_at": NOW}
    return Message(conversation_id=uuid7(), id=uuid7(), position=1, **(whole | fields))


def read_back(item: Any) -> Any:
    new = new_message(item)
    fields = new._asdict()
    for name in ("id", "created_at"):
        del fields[name]
    fields["metadata"] = new.metadata or {}
    return items_of([row(**fields)])[0]


PROJECTIONS: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "an easy message": ({"role": "user", "content": "Hi"}, "user", "Hi"),
    "parts of an input": (
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
            ],
        },
        "user",
        "What is this?\n[image]\n[a.pdf]",
    ),
    "an output": (
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "Rain.", "annotations": [], "logprobs": []},
                {"type": "output_text", "text": "Bring a coat.", "annotations": []},
            ],
        },
        "assistant",
        "Rain.\nBring a coat.",
    ),
    "a refusal": (
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "I cannot."}],
        },
        "assistant",
        "I cannot.",
    ),
    "reasoning": (
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Think of rain."}],
            "encrypted_content": "secret",
        },
        None,
        "Think of rain.",
    ),
    "reasoning without a summary": (
        {"type": "reasoning", "id": "rs_1", "summary": []},
        None,
        "",
    ),
    "a search": (
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "rain"},
        },
        None,
        'web_search({"type": "search", "query": "rain"})',
    ),
    "a call of MCP": (
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "name": "roll",
            "server_label": "dice",
            "arguments": "{}",
            "output": "4",
        },
        None,
        "roll({})\n4",
    ),
    "a picture": (
        {"type": "image_generation_call", "id": "ig_1", "result": "AAAA"},
        None,
        "[image_generation_call]",
    ),
    "a shell": (
        {
            "type": "local_shell_call",
            "id": "1",
            "call_id": "c",
            "action": {"type": "exec", "command": ["ls"]},
        },
        None,
        'local_shell({"type": "exec", "command": ["ls"]})',
    ),
    "a computer's output": (
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"},
        },
        None,
        "[image]",
    ),
    "an unknown type": ({"type": "telepathy", "thought": "hm"}, None, "[telepathy]"),
    "an unknown role": ({"role": "critic", "content": "Bad"}, None, "Bad"),
    "a message without content": ({"role": "user", "parts": []}, None, ""),
    "nothing": ({}, None, ""),
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_people_read_what_an_item_says(name: str) -> None:
    item, role, content = PROJECTIONS[name]
    new = new_message(item)
    assert (new.role, new.content) == (role, content)
    assert (new.tool_calls, new.tool_results) == (None, None)
    assert read_back(item) == item


def test_calls_and_their_outputs_have_openais_shape() -> None:
    function = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"}
    output = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
    said = [{"type": "input_text", "text": "1"}]
    parts = {"type": "custom_tool_call_output", "call_id": "c2", "output": said}

    assert new_message(function).tool_calls == [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    ]
    assert new_message(custom).tool_calls == [
        {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    ]
    assert new_message(output).tool_results == [{"tool_call_id": "c1", "content": "rain"}]
    assert new_message(parts).tool_results == [{"tool_call_id": "c2", "content": "1"}]
    assert [read_back(item) for item in (function, custom, output, parts)] == [
        function,
        custom,
        output,
        parts,
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "call_id": " ", "name": "a", "arguments": "{}"},
        {"type": "function_call", "call_id": "c", "name": "a" * 300, "arguments": "{}"},
        {"type": "function_call", "call_id": "c", "name": "a\0", "arguments": "{}"},
        {"type": "function_call", "call_id": "c", "name": "a", "arguments": {"not": "text"}},
        {"type": "function_call", "call_id": "c", "name": "a", "arguments": "x" * 1_000_000},
        {"type": "function_call", "name": "a", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "", "output": "rain"},
        {"type": "function_call_output", "output": "rain"},
    ],
)
def test_a_call_that_a_column_would_refuse_is_text(item: dict[str, Any]) -> None:
    new = new_message(item)
    assert new.tool_calls is None
    assert new.tool_results is None
    assert new.content
    assert read_back(item) == item


HOSTILE: list[Any] = [
    {"role": "user", "content": "NUL \0 and \ud800 alone"},
    {"role": "user", "content": "a", "n": 2**200, "minus": -(2**70), "float": 1e300},
    {"b": 1, "role": "user", "a": 2, "content": "order"},
    {"role": "user", "content": "x" * 2_000_000},
    {"role": "user", "content": "\u2028 \x7f \x1f é 漢字 😀"},
    {"role": "user", "content": [{"type": "input_text", "text": None}, 5, None, "loose"]},
    {"role": ["user"], "content": {"a": 1}},
    {"type": 7, "role": "user", "content": "a"},
    {"type": ["message"], "role": "user", "content": "a"},
    {"type": "message", "role": "user", "content": [{"type": ["input_text"]}]},
    {"role": "assistant", "content": None, "tool_calls": []},
]


@pytest.mark.parametrize("item", HOSTILE, ids=range(len(HOSTILE)))
def test_an_item_is_kept_to_the_letter(item: Any) -> None:
    assert json.dumps(read_back(item)) == json.dumps(item)
    new = new_message(item)
    new.content.encode()
    assert "\0" not in new.content
    assert len(new.content) <= 1_000_000
    assert new.body is not None
    new.body.encode()


def test_an_integer_of_more_digits_than_python_reads_is_read() -> None:
    text = '{"role": "user", "content": "a", "n": 1' + "0" * 5_000 + "}"
    assert from_json(text)["n"] == 10**5_000
    assert to_json({"a": "\ud800"}) == '{"a":"\\ud800"}'


def bodies_of(rows: list[Message]) -> list[MessageBody]:
    return [
        MessageBody(each.position, None, each.status, each.role, each.body, None, None, None)
        for each in rows
    ]


def test_bodies_are_read_as_whole_messages_are() -> None:
    """Else a long history reads otherwise than a short one."""
    stored = [new_message(item) for item in [*HOSTILE, *(p[0] for p in PROJECTIONS.values())]]
    rows = [
        row(role=new.role, content=new.content, body=new.body, metadata=new.metadata or {})
        for new in stored
    ]
    plain = [each for each in rows if not each.metadata]
    assert len(plain) > 10
    assert json.dumps(items_of_bodies(bodies_of(plain))) == json.dumps(items_of(plain))
    for each in rows:
        if each.metadata:  # the bodies alone do not tell
            assert items_of_bodies(bodies_of([each])) is None


KNOWN: list[Any] = [
    {"role": "user", "content": "Hi"},
    {"role": "developer", "content": []},
    {"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
    {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}", "status": "new"},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "web_search_call", "id": "ws_1", "action": {}, "status": "completed"},
    {"type": "mcp_approval_request", "server_label": "s", "name": "a", "arguments": "{}"},
]


@pytest.mark.parametrize("item", KNOWN)
def test_a_shape_of_openais_needs_no_mark(item: Any) -> None:
    """Else a session is read twice, and its metadata is not the product's alone."""
    new = new_message(item)
    assert new.metadata is None
    assert items_of_bodies(bodies_of([row(role=new.role, body=new.body)])) == [item]


OTHERS: dict[str, Any] = {
    "a product's": {"attachments": []},
    "a product's with a type": {"type": "note", "text": "secret"},
    "a product's message": {"role": "user", "content": "secret", "rating": 5},
    "Agent Framework's": {
        "type": "message",
        "role": "user",
        "contents": [{"type": "text", "text": "secret"}],
    },
    "ChatKit's message": {
        "id": "msg_1",
        "type": "user_message",
        "content": [{"type": "input_text", "text": "secret"}],
    },
    "ChatKit's hidden context": {"type": "hidden_context_item", "content": "secret"},
    "ChatKit's own hidden context": {"type": "sdk_hidden_context_item", "content": "secret"},
    "Chat Completions'": {"role": "assistant", "content": "secret", "tool_calls": []},
    "Anthropic's": {"role": "user", "content": [{"type": "text", "text": "secret"}]},
    "Google's": {"author": "user", "content": {"role": "user", "parts": [{"text": "secret"}]}},
    "no object": "secret",
    "nothing": None,
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_body_of_another_program_is_no_item(name: str) -> None:
    """Else a model gets what is not meant for it, or what its server refuses."""
    body = json.dumps(OTHERS[name])
    assert items_of([row(body=body)]) == []
    said = row(role="user", content="Hi", body=body)
    assert items_of([said]) == [{"role": "user", "content": "Hi"}]
    assert items_of_bodies(bodies_of([said])) is None
    if isinstance(OTHERS[name], dict):
        assert read_back(OTHERS[name]) == OTHERS[name]  # but an item where it was given as one


@pytest.mark.parametrize("body", ['"no JSON"', "5", "[{}]", "null"])
def test_what_is_no_object_is_no_item(body: str) -> None:
    """Else a run of the SDK fails at an item that is bare text."""
    kept = MessageBody(1, None, "complete", "user", None, "Hi", None, None)
    no_item = MessageBody(2, None, "complete", None, body, None, None, None)
    wanted = [{"role": "user", "content": "Hi"}]
    assert items_of_bodies([kept, no_item]) is None
    assert items_of([row(role="user", content="Hi"), row(role=None, body=body)]) == wanted


def test_messages_of_other_programs_become_items() -> None:
    weather = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    sql = {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    rows = [
        row(role="user", content="Will it rain?"),
        row(role="assistant", content="I look.", tool_calls=[weather, sql]),
        row(
            role="tool",
            tool_results=[
                {"tool_call_id": "c1", "content": {"rain": True}},
                {"tool_call_id": "c2", "content": "no table", "is_error": True},
            ],
        ),
        row(role="assistant", content="", status="streaming"),
        row(role="assistant", content=""),
        row(role="assistant", content="Yes.", body='{"attachments": []}'),
    ]
    assert items_of(rows) == [
        {"role": "user", "content": "Will it rain?"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
        {"type": "function_call_output", "call_id": "c1", "output": '{"rain": true}'},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "Error: no table"},
        {"role": "assistant", "content": "Yes."},
    ]
