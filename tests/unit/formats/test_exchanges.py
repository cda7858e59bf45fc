"""Requests to models with their replies: no reply is lost beside its request."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.exchanges import EXAMPLE

from faceplate.importers import Chat

ASKED = {"role": "user", "content": "Rain?"}
SAID = {"role": "assistant", "content": "Soon."}
BOTH = [("user", "Rain?"), ("assistant", "Soon.")]
COMPLETION = {
    "id": "chatcmpl-1",
    "created": 1_700_000_000,
    "model": "gpt-5",
    "choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-4",
    "content": [{"type": "text", "text": "Soon."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 4, "output_tokens": 2},
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-5",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Soon.", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 4, "output_tokens": 2},
}


def read_one(tmp_path: Path, value: object) -> Chat:
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(value))
    [chat], refusals = read_all(file)
    assert refusals == []
    assert chat.source == "exchanges"
    return chat


def test_all_of_an_exchange_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read_one(tmp_path, EXAMPLE)
    assert chat.key == "ledger-7"
    assert spoken(chat) == [
        ("system", "Answer in one word."),
        ("user", "Is the ledger balanced?"),
        ("assistant", ""),
        ("tool", "a difference of three"),
        ("assistant", "Hardly."),
    ]
    assert spoken(chat, 6)[-1] == ("assistant", "Almost.")
    assert (chat.messages[5].metadata or {})["status"] == "interrupted"
    answer = path(chat)[-1]
    assert (answer.model, answer.input_tokens, answer.output_tokens) == ("gpt-5-2024-08", 41, 3)
    assert (answer.metadata or {})["asides"]["reasoning"] == ["Three are missing."]
    [file] = json.loads(path(chat)[1].body or "")["attachments"]
    assert (file["name"], file["reference"]) == ("ledger.pdf", "file-1")


@pytest.mark.parametrize(
    "value",
    [
        {"request": {"model": "m", "messages": [ASKED]}, "response": COMPLETION},
        {"request": {"body": {"messages": [ASKED]}}, "response": {"body": COMPLETION}},
        {"id": "x", "startTime": 1_700_000_000.5, "messages": [ASKED], "response": COMPLETION},
        {"messages": [ASKED], **COMPLETION},
        {"prompt": "Rain?", **COMPLETION},
        {"prompt": "Rain?", "model": "m", "choices": [{"text": "Soon.", "index": 0}]},
        {"messages": [ASKED], "response": "Soon."},
        {"input": [ASKED], "output": SAID},
        {"input": {"messages": [ASKED]}, "output": COMPLETION},
        {"request": {"model": "m", "messages": [ASKED]}, "response": MESSAGE},
        {"request": {"model": "m", "input": "Rain?"}, "response": RESPONSE},
        {"request": {"model": "m", "input": [ASKED]}, "response": {"body": RESPONSE}},
        {
            "request": {"model": "m", "messages": [ASKED]},
            "response": {"model": "m", "message": SAID, "done": True, "eval_count": 2},
        },
        {"messages": [ASKED, SAID], "choices": [{"message": SAID}]},
        {"request_body": {"messages": [ASKED]}, "response_body": COMPLETION},
        {"request": json.dumps({"messages": [ASKED]}), "response": json.dumps(COMPLETION)},
        {"input": json.dumps([ASKED]), "output": json.dumps(SAID)},
        {"prompt_messages": [ASKED], "completion_message": SAID},
    ],
)
def test_request_and_reply_are_one_chat(tmp_path: Path, value: dict[str, Any]) -> None:
    chat = read_one(tmp_path, value)
    assert (spoken(chat), chat.title) == (BOTH, "Rain?")


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (
            {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [ASKED]}},
            {"response": {"status_code": 200, "body": COMPLETION}, "error": None},
        ),
        (
            {"url": "/v1/responses", "body": {"model": "m", "input": "Rain?"}},
            {"response": {"status_code": 200, "body": RESPONSE}, "error": None},
        ),
        (
            {"params": {"model": "m", "messages": [ASKED]}},
            {"result": {"type": "succeeded", "message": MESSAGE}},
        ),
    ],
)
def test_the_files_of_a_batch_have_questions_and_answers(
    tmp_path: Path, request_: dict[str, Any], reply: dict[str, Any]
) -> None:
    asked = read_one(tmp_path, {"custom_id": "job-1", **request_})
    assert (asked.key, spoken(asked)) == ("job-1", BOTH[:1])
    answered = read_one(tmp_path, {"id": "batch_req_1", "custom_id": "job-1", **reply})
    assert (answered.key, spoken(answered)) == ("batch_req_1", BOTH[1:])
    assert path(answered)[0].output_tokens == 2


def test_a_preference_has_both_answers(tmp_path: Path) -> None:
    value = {
        "input": {"messages": [ASKED], "tools": []},
        "preferred_output": [SAID],
        "non_preferred_output": [{**SAID, "content": "Never."}],
    }
    chat = read_one(tmp_path, value)
    assert (spoken(chat), spoken(chat, 3)) == (BOTH, [BOTH[0], ("assistant", "Never.")])


def test_a_reply_that_calls_a_tool_does_not_wait(tmp_path: Path) -> None:
    """The log has no more of it: the result is in the next request."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    value = {"messages": [ASKED], "choices": [{"message": message}]}
    [_, answer] = path(read_one(tmp_path, value))
    assert (answer.tool_calls, answer.content) == (None, '[f]\n```\n{"a": 1}\n```')


def test_the_error_of_a_request_is_said(tmp_path: Path) -> None:
    value = {"request": {"messages": [ASKED]}, "response": {"error": {"message": "overloaded"}}}
    [chat], refusals = read_all(write(tmp_path / "log.json", value))
    assert (spoken(chat), len(refusals)) == (BOTH[:1], 1)


@pytest.mark.parametrize("choices", [["rain", "sun"], [{"label": "rain"}], []])
def test_choices_of_another_kind_are_no_replies(tmp_path: Path, choices: Any) -> None:
    """The answers that a test offers were said by nobody, and must not vanish."""
    value = {"messages": [ASKED], "choices": choices}
    [chat], _ = read_all(write(tmp_path / "test.json", value))
    assert (chat.source, spoken(chat)) == ("openai", BOTH[:1])
    assert chat.metadata["source"]["choices"] == choices


ONE: Final = {"role": "assistant", "content": "One."}
TWO: Final = {"role": "assistant", "content": "Two."}
HI: Final = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [HI], "choices": [{"message": ONE}, {"message": TWO}]},
        {"messages": [HI, ONE], "choices": [{"message": ONE}, {"message": TWO}]},
        {"messages": [HI], "responses": ["One.", "Two."]},
        {"messages": [HI], "candidates": [ONE, TWO]},
        {"prompt": "Hi", "responses": ["One.", "Two."]},
        {"prompt": "Hi", "choices": [{"text": "One."}, {"text": "Two."}]},
    ],
)
def test_several_replies_to_one_request_are_branches(tmp_path: Path, value: Any) -> None:
    """Else they stand one after the other, or one of them is only in the metadata."""
    [chat], refusals = read_all(write(tmp_path / "log.json", value))
    assert refusals == []
    assert spoken(chat) == [("user", "Hi"), ("assistant", "One.")]
    assert spoken(chat, 3) == [("user", "Hi"), ("assistant", "Two.")]


def test_several_replies_without_their_request_are_branches(tmp_path: Path) -> None:
    value = {"object": "chat.completion", "choices": [{"message": ONE}, {"message": TWO}]}
    [chat], _ = read_all(write(tmp_path / "log.json", value))
    assert (spoken(chat), spoken(chat, 2)) == ([("assistant", "One.")], [("assistant", "Two.")])


LINKED: Final = [
    {**HI, "id": "m1", "parentId": None},
    {**ONE, "id": "m2", "parentId": "m1"},
    {**HI, "id": "m3", "parentId": "m2"},
]


@pytest.mark.parametrize(
    ("replies", "ends"),
    [
        ({"responses": ["Two.", "Three."]}, {4: "Two.", 5: "Three."}),
        ({"choices": [{"message": {**TWO, "parentId": "gone"}}]}, {4: "Two."}),
        ({"response": "Two."}, {4: "Two."}),
    ],
)
def test_replies_follow_a_request_whose_messages_name_their_parents(
    tmp_path: Path, replies: Any, ends: dict[int, str]
) -> None:
    """Else the reply stands alone, or each message of the request does."""
    [chat], refusals = read_all(write(tmp_path / "log.json", {"messages": LINKED, **replies}))
    assert (chat.source, refusals) == ("exchanges", [])
    asked = [("user", "Hi"), ("assistant", "One."), ("user", "Hi")]
    for end, text in ends.items():
        assert spoken(chat, end) == [*asked, ("assistant", text)]
