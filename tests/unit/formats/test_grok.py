"""Grok exports: both kinds of time, senders by any name, calls in steps, pictures, branches."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.grok import EXAMPLE, card, chat, export, response

from faceplate.importers import Chat

TIME = "2025-01-01T00:00:01Z"


def read_one(tmp_path: Path, value: object) -> Chat:
    [[found], refusals] = read_all(write(tmp_path / "prod-grok-backend.json", value))
    assert (found.source, refusals) == ("grok", [])
    return found


@pytest.mark.parametrize("value", [EXAMPLE, EXAMPLE[0], export(*EXAMPLE)])
def test_everything_is_where_a_reader_finds_it(tmp_path: Path, value: object) -> None:
    found = read_one(tmp_path, value)
    assert (found.key, found.title) == ("g-1", "Mars")
    assert found.created_at == datetime(2025, 5, 1, 10, tzinfo=UTC)
    assert found.updated_at == datetime(2025, 5, 1, 10, 5, tzinfo=UTC)
    asked, search, result, answer = path(found)
    assert (asked.role, asked.content, asked.model) == ("user", "Why is Mars red?", None)
    assert asked.created_at == datetime(2025, 5, 1, 10, 0, 1, tzinfo=UTC)
    assert json.loads(asked.body or "")["attachments"][0]["reference"] == "asset-1"
    assert search.tool_calls is not None
    assert search.tool_calls[0]["function"] == {
        "name": "web_search",
        "arguments": '{"query": "mars colour"}',
    }
    assert result.tool_results is not None
    assert result.tool_results[0]["tool_call_id"] == "t-1"
    assert "Iron oxide covers it." in result.content
    assert (answer.role, answer.content) == ("assistant", "Because of rust.")
    assert answer.model == "grok-4"
    pictures = json.loads(answer.body or "")["attachments"]
    assert [each["reference"] for each in pictures] == [
        "https://i.example/mars.png",
        "https://i.example/red.png",
    ]
    assert spoken(found, 5)[-1] == ("assistant", "Dust.")
    assert found.asides == {"reasoning": 3, "attachments": 3, "card_attachments_json": 1}


def test_responses_without_parents_keep_the_order_of_the_list(tmp_path: Path) -> None:
    value = chat(
        response("a", None, "human", "One"),
        response("b", None, "assistant", "Two"),
        response("c", None, "human", "Three"),
        response("d", None, "assistant", "Four"),
    )
    said = [("user", "One"), ("assistant", "Two"), ("user", "Three"), ("assistant", "Four")]
    assert spoken(read_one(tmp_path, value)) == said


def test_an_edited_first_question_is_a_branch(tmp_path: Path) -> None:
    value = chat(
        response("a", None, "human", "One"),
        response("b", "a", "assistant", "Two"),
        response("ccc", "gone", "human", "Three"),
        response("dddd", "ccc", "assistant", "Four"),
    )
    found = read_one(tmp_path, value)
    assert spoken(found) == [("user", "Three"), ("assistant", "Four")]
    assert spoken(found, 2) == [("user", "One"), ("assistant", "Two")]


@pytest.mark.parametrize(
    ("fields", "said", "status"),
    [
        ({"error": "Failed to respond."}, "Failed to respond.", "failed"),
        ({"query": "a red planet", "query_type": "imagine"}, "a red planet", None),
        ({"generated_image_urls": ["https://i.example/1.png"]}, "[image]", None),
        ({"message": "Half a", "partial": True}, "Half a", "interrupted"),
    ],
)
def test_a_response_without_text_is_a_turn(
    tmp_path: Path, fields: dict[str, object], said: str, status: str | None
) -> None:
    answer = response("b", "a", "assistant", "")
    answer["response"] |= fields
    value = chat(response("a", None, "human", "Hi"), answer)
    found = read_one(tmp_path, value)
    assert spoken(found)[1] == ("assistant", said)
    assert (found.messages[1].metadata or {}).get("status") == status


@pytest.mark.parametrize(
    "moment", [{"$date": "2025-05-01T10:00:00Z"}, "2025-05-01T10:00:00Z", 1_746_093_600_000]
)
def test_times_have_several_forms(tmp_path: Path, moment: object) -> None:
    found = read_one(tmp_path, chat(response("a", None, "human", "Hi", create_time=moment)))
    assert found.messages[0].created_at == datetime(2025, 5, 1, 10, tzinfo=UTC)


def test_responses_may_stand_without_an_object_around_them(tmp_path: Path) -> None:
    flat = [response("a", None, "human", "Hi")["response"], {"sender": "Grok", "message": "Ho"}]
    assert spoken(read_one(tmp_path, chat(*flat))) == [("user", "Hi"), ("assistant", "Ho")]


def test_calls_without_results_stay_readable(tmp_path: Path) -> None:
    tagged = {"tool_usage_card": card("x", "browse", '{"url": "u"}') + card("y", "see", "plain")}
    steps = [{"tagged_text": tagged}, {"tagged_text": {"raw_function_result": "a page"}}]
    value = chat(response("a", None, "human", "Hi"), response("b", "a", "grok", "Ok", steps=steps))
    _, called, result, answer = read_one(tmp_path, value).messages
    assert (called.content, result.content, answer.content) == (
        "[see]\n```\nplain\n```",
        "a page",
        "Ok",
    )
    assert [call["id"] for call in called.tool_calls or ()] == ["x"]


def test_many_open_cards_take_linear_time(tmp_path: Path) -> None:
    steps = [{"tagged_text": {"tool_usage_card": "<xai:tool_usage_card>" * 50_000}}]
    value = chat(response("a", None, "assistant", "Ok", steps=steps))
    chats, _ = read_all(write(tmp_path / "c.json", value))
    assert len(chats) == 1


def test_a_chat_without_responses_is_empty(tmp_path: Path) -> None:
    assert read_one(tmp_path, chat()).messages == []


def step(*results: dict[str, Any], markup: bool = True, raw: str = "") -> dict[str, Any]:
    """A step as exports of 2026 have it: its call twice, and its result in two envelopes."""
    given = {"args": {"query": "odin"}}
    tagged = {"tool_usage_card": card("t", "WebSearch", json.dumps(given))} if markup else {}
    return {
        "tag_order": [*tagged, "raw_function_result"],
        "tagged_text": {**tagged, "raw_function_result": raw},
        "tool_usage_cards": [
            {"tool_usage_card_id": "t", "intent": None, "tool": {"WebSearch": given}}
        ],
        "tool_usage_results": list(results),
        "web_search_results": [],
    }


@pytest.mark.parametrize("markup", [True, False])
@pytest.mark.parametrize("raw", ["", "exit 0"])
def test_a_call_that_is_said_twice_is_one(tmp_path: Path, raw: str, *, markup: bool) -> None:
    result = {"tool_usage_card_id": "t", "result": {"WebSearchResults": [{"title": "Odin"}]}}
    steps = [step(result, markup=markup, raw=raw)]
    value = chat(response("b", None, "assistant", "A language.", steps=steps))
    [[found], refusals] = read_all(write(tmp_path / "c.json", [value]))
    assert refusals == []
    [call] = [call for message in found.messages for call in message.tool_calls or []]
    assert json.loads(call["function"]["arguments"]) == {"query": "odin"}
    [answer] = [each for message in found.messages for each in message.tool_results or []]
    assert json.loads(answer["content"]) == {"WebSearchResults": [{"title": "Odin"}]}
    assert len(found.messages) == (4 if raw else 3)
    assert raw in [message.content for message in found.messages]
    assert found.messages[-1].content == "A language."


def test_the_model_that_answered_counts_more_than_the_mode(tmp_path: Path) -> None:
    about = {"request_metadata": {"model": "build", "resolved_model": "grok-4-mini"}}
    value = chat(response("b", None, "assistant", "Hi", model="build", metadata=about))
    [[found], _] = read_all(write(tmp_path / "c.json", [value]))
    assert found.messages[0].model == "grok-4-mini"
    assert '"mode": "build"' in json.dumps(found.messages[0].metadata)


def test_the_answers_of_the_web_interface_are_read(tmp_path: Path) -> None:
    """Else their times and branches are lost, as the fields have other names there."""
    responses = [
        {"responseId": "r1", "message": "Far?", "sender": "human", "createTime": TIME},
        {"responseId": "r2", "message": "No", "sender": "assistant", "parentResponseId": "r1"},
        {"responseId": "r3", "message": "Yes", "sender": "assistant", "parentResponseId": "r1"},
    ]
    about = {"conversationId": "c-1", "title": "Stars", "createTime": TIME, "modifyTime": TIME}
    whole = {"conversation": about, "responses": responses}
    for value, name in ((whole, ("c-1", "Stars")), ({"responses": responses}, None)):
        [chat], refusals = read_all(write(tmp_path / "grok.json", value))
        assert (chat.source, refusals, chat.parents) == ("grok", [], [None, None, 1])
        assert chat.messages[0].created_at == chat.created_at is not None
        assert name is None or (chat.key, chat.title) == name
