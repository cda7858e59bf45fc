"""LM Studio's files: versions as branches, and the steps of an answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.lm_studio import EXAMPLE, block, message, single, steps, text

from faceplate.importers import Chat
from faceplate.services.messages import NewMessage


def read(tmp_path: Path, value: object = EXAMPLE) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "1735787040000.conversation.json", value))
    assert refusals == []
    assert chat.source == "lm-studio"
    return chat


def read_answer(tmp_path: Path, *made: Any) -> list[NewMessage]:
    """What follows a question with an answer of these steps."""
    listed = [message(single("user", text("Hi"))), message(steps(*made))]
    return path(read(tmp_path, {**EXAMPLE, "systemPrompt": "", "messages": listed}))[1:]


def test_all_of_a_file_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read(tmp_path)
    assert (chat.key, chat.title) == ("1735787040000", "Two beds")
    assert chat.created_at is not None
    assert chat.created_at.isoformat() == "2025-01-02T03:04:00+00:00"
    assert chat.updated_at is not None
    assert chat.updated_at.isoformat() == "2025-01-02T03:05:00+00:00"
    assert spoken(chat) == [
        ("system", "Answer briefly."),
        ("user", "Which bed is larger?"),
        ("assistant", "I measure."),
        ("tool", "seven rows"),
        ("assistant", "The northern one."),
        ("user", "Thanks."),
    ]
    _, question, asked, result, answer, _ = path(chat)
    [file] = json.loads(question.body or "")["attachments"]
    assert (file["kind"], file["name"]) == ("image", "1735 - beds.png")
    [call] = asked.tool_calls or []
    assert (call["id"], call["function"]) == (
        "t-1",
        {"name": "measure", "arguments": '{"place": "south"}'},
    )
    assert result.tool_results == [{"tool_call_id": "t-1", "content": "seven rows"}]
    assert (asked.model, asked.input_tokens, asked.output_tokens) == ("gardener-1", 12, 40)
    [reasoning] = (asked.metadata or {})["asides"]["reasoning"]
    assert reasoning["content"][0]["text"] == "I have to measure."
    assert answer.model == "gardener-1"


def test_the_version_that_is_not_shown_is_a_branch(tmp_path: Path) -> None:
    chat = read(tmp_path)
    end = next(place for place, each in enumerate(chat.messages, 1) if "southern" in each.content)
    assert [said for _, said in spoken(chat, end)][1:] == [
        "Which bed is larger?",
        "The southern one.",
    ]
    assert chat.messages[end - 1].model == "gardener"


@pytest.mark.parametrize("selected", [None, 9, -1, "1"])
def test_without_a_valid_selection_the_first_version_is_shown(
    tmp_path: Path, selected: Any
) -> None:
    versions = message(single("user", text("One")), single("user", text("Two")), selected=selected)
    assert spoken(read(tmp_path, {**EXAMPLE, "messages": [versions]}))[1:] == [("user", "One")]


def test_the_prompt_of_a_later_version_is_in_the_configuration(tmp_path: Path) -> None:
    fields = [{"key": "llm.prediction.systemPrompt", "value": "Be kind."}]
    value = {**EXAMPLE, "systemPrompt": "", "perChatPredictionConfig": {"fields": fields}}
    assert spoken(read(tmp_path, value))[0] == ("system", "Be kind.")


@pytest.mark.parametrize(
    ("request_", "content"),
    [
        ({"callId": 7, "name": "f", "arguments": {}}, "plain text"),
        ({"toolCallRequestId": "x", "callId": 7, "name": "f", "parameters": {}}, "[1, 2]"),
    ],
)
def test_calls_of_every_kind_have_their_results(
    tmp_path: Path, request_: Any, content: str
) -> None:
    ids = {key: request_[key] for key in ("callId", "toolCallRequestId") if key in request_}
    asked, result = read_answer(
        tmp_path,
        block({"type": "toolCallRequest", **request_}),
        block({"type": "toolCallResult", **ids, "content": content}),
    )
    [call] = asked.tool_calls or []
    assert call["function"] == {"name": "f", "arguments": "{}"}
    assert result.tool_results == [{"tool_call_id": call["id"], "content": content}]
    assert "asides" not in {**(asked.metadata or {}), **(result.metadata or {})}


def test_a_reply_that_was_stopped_says_so(tmp_path: Path) -> None:
    info = {"stats": {"stopReason": "userStopped"}}
    [reply] = read_answer(tmp_path, block(text("The nor"), genInfo=info))
    assert (reply.metadata or {})["status"] == "interrupted"


def test_a_step_of_a_later_version_is_reported(tmp_path: Path) -> None:
    made = steps(block(text("Yes.")), {"type": "hologram", "text": "Three dimensions"})
    value = {**EXAMPLE, "messages": [message(single("user", text("Hi"))), message(made)]}
    [chat], [refusal] = read_all(write(tmp_path / "chat.json", value))
    assert spoken(chat)[-1] == ("assistant", "Yes.")
    assert "was not understood" in refusal.reason


def test_chats_without_a_time_have_names_of_their_own(tmp_path: Path) -> None:
    """Else the second one would be taken for an edited version of the first."""
    chats = [
        {**EXAMPLE, "createdAt": None, "messages": [message(single("user", text(said)))]}
        for said in ("One", "Two")
    ]
    found, refusals = read_all(write(tmp_path / "chats.json", chats))
    assert (len({chat.key for chat in found}), refusals) == (2, [])


def test_a_chat_without_messages_is_empty(tmp_path: Path) -> None:
    chat = read(tmp_path, {**EXAMPLE, "systemPrompt": "", "messages": []})
    assert (chat.title, chat.messages) == ("Two beds", [])
