"""A program that renames the field of a text: the import says so, and stores no empty message."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from tests.chat_files import open_webui, read_all, reply, write
from tests.formats import examples

from faceplate.importers import Chat

EXAMPLES: Final = examples()
KEYS: Final = ("text", "content", "value", "say")
ASK: Final = {"role": "user", "content": "Where?"}


def calls(*ids: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    made = [{"id": id_, "type": "function", "function": function} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def renamed(value: Any, key: str) -> Any:
    """Return a value in which a key has another name, wherever its value is not empty."""
    if isinstance(value, dict):
        return {f"{n}2" if n == key and v else n: renamed(v, key) for n, v in value.items()}
    return [renamed(each, key) for each in value] if isinstance(value, list) else value


def words(chats: list[Chat]) -> set[str]:
    """Return the words that a reader of the chats sees."""
    return {
        word
        for chat in chats
        for message in chat.messages
        for word in re.findall(r"\w+", message.content + json.dumps(message.tool_calls))
    }


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_text_under_another_key_is_reported(tmp_path: Path, name: str, key: str) -> None:
    """Else a version of a program has each of its messages imported empty, and nobody knows."""
    before, _ = read_all(write(tmp_path / "chats.json", EXAMPLES[name]))
    after, refusals = read_all(write(tmp_path / "chats.json", renamed(EXAMPLES[name], key)))
    assert refusals or words(before) - {key} <= words(after)


CALL: Final = {"name": "find", "input": {"bird": "wren"}}
OUTPUT: Final = [
    {"type": "function_call", "call_id": "c", "name": "find", "arguments": '{"bird": "wren"}'},
    {"type": "function_call_output", "call_id": "c", "output": "In the hedge"},
    {"type": "message", "content": [{"type": "output_text", "text": "There."}]},
]
ASKED: Final = {"id": "q", "role": "user", "content": [{"type": "text", "text": "Where?"}]}
TOOL_USE: Final = {
    "messages": [
        ASKED,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", **CALL}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
    ]
}
CALLS: Final = {
    "messages": [
        ASKED,
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {**CALL, "type": "f"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "In the hedge"},
    ]
}
PARTS: Final = {
    "id": "v",
    "messages": [
        {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Where?"}]},
        {
            "id": "2",
            "role": "assistant",
            "parts": [
                {
                    "type": "tool-find",
                    "toolCallId": "t",
                    "state": "output-available",
                    "input": {"bird": "wren"},
                    "output": "In the hedge",
                }
            ],
        },
    ],
}
ROWS: Final = [
    {
        "conversations": [
            {"from": "human", "value": "Where?"},
            {"from": "function_call", "value": '{"name": "find", "arguments": {}}'},
            {"from": "observation", "value": "In the hedge"},
        ]
    }
]
OPEN_WEBUI: Final = open_webui(
    [reply("q", None, "user", "Where?"), {**reply("a", "q", "assistant", ""), "output": OUTPUT}]
)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (TOOL_USE, "name"),
        (TOOL_USE, "input"),
        (CALLS, "name"),
        (CALLS, "input"),
        (CALLS, "content"),
        (PARTS, "input"),
        (PARTS, "output"),
        (ROWS, "value"),
        (OPEN_WEBUI, "arguments"),
        (OPEN_WEBUI, "output"),
        (OPEN_WEBUI, "text"),
    ],
)
def test_a_call_or_result_without_what_it_says_is_reported(
    tmp_path: Path, value: Any, key: str
) -> None:
    """Else a tool was asked nothing, or has said nothing, in a chat that counts as whole."""
    _, complete = read_all(write(tmp_path / "chats.json", value))
    _, refusals = read_all(write(tmp_path / "chats.json", renamed(value, key)))
    assert (complete, bool(refusals)) == ([], True)


def test_a_reply_that_was_stopped_is_not_reported(tmp_path: Path) -> None:
    """It has no text, and what is said about it is none."""
    thought = {"type": "thinking", "thinking": "Where do wrens live?", "signature": "s"}
    stopped = {
        "role": "assistant",
        "content": [thought],
        "model": "m-1",
        "stop_reason": "max_tokens",
        "message_type": "reply",
        "statusHistory": [{"action": "searching"}],
    }
    chats, refusals = read_all(write(tmp_path / "chats.json", {"messages": [ASKED, stopped]}))
    assert (len(chats), refusals) == (1, [])


def test_what_is_said_about_an_empty_reply_is_no_text(tmp_path: Path) -> None:
    """Else each reply that a filter has stopped is reported, and shown as an empty message."""
    filtered = {"hate": {"filtered": True, "severity": "high"}}
    choice = {
        "index": 0,
        "finish_reason": "content_filter",
        "message": {"role": "assistant", "content": ""},
        "content_filter_results": filtered,
    }
    response = {"id": "x", "object": "chat.completion", "choices": [choice]}
    value: dict[str, Any] = {"messages": [ASK], "response": response}
    assert read_all(write(tmp_path / "chats.json", value))[1] == []
    about = {"reply_to": "m1", "responseStyle": "short", "textDirection": "ltr"}
    value = {"messages": [ASK, {"role": "assistant", "content": "", **about}, ASK]}
    assert read_all(write(tmp_path / "chats.json", value))[1] == []


def test_a_call_whose_code_was_not_exported_is_whole(tmp_path: Path) -> None:
    """Else each use of a code interpreter is reported as not understood."""
    call = {
        "type": "code_interpreter_call",
        "id": "ci",
        "status": "completed",
        "code": None,
        "container_id": "cntr_1",
        "outputs": None,
    }
    text = {"type": "output_text", "text": "Yes"}
    said = {"type": "message", "role": "assistant", "content": [text]}
    value = {"id": "resp_1", "object": "response", "input": "Where?", "output": [call, said]}
    assert read_all(write(tmp_path / "chats.json", value))[1] == []


def test_what_was_missed_in_a_result_takes_no_other_result_away(tmp_path: Path) -> None:
    """Else the answer of one tool stands under the call of another."""
    results = [
        {"role": "tool", "tool_call_id": "a", "content2": "four"},
        {"role": "tool", "tool_call_id": "b", "content": "five"},
    ]
    value = {"messages": [ASK, calls("a", "b"), *results]}
    [chat], refusals = read_all(write(tmp_path / "chats.json", value))
    assert refusals
    assert [
        (message.content, message.tool_results[0]["tool_call_id"])
        for message in chat.messages
        if message.tool_results
    ] == [("", "a"), ("five", "b")]
