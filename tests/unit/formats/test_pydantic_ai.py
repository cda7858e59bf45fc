"""pydantic-ai's histories: each part must become a message of the right role."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.chat_files import read_all, spoken, write
from tests.formats.pydantic_ai import EXAMPLE, call, chats, part, request, response, result

from faceplate.importers import Chat
from faceplate.importers.formats import pydantic_ai
from faceplate.importers.shapes import best_format


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "history.json", value))
    assert refusals == []
    return chat


ERROR = '[{"type": "missing", "loc": ["at"], "msg": "Field required", "input": {}}]'


class TestExample:
    def test_a_history_is_read_whole(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        assert (chat.source, chat.key, chat.title) == ("pydantic-ai", "r1", "What is it?")
        assert spoken(chat) == [
            ("system", "Be brief."),
            ("system", "You know cats."),
            ("user", "What is it?\nQuickly."),
            ("assistant", "I look."),
            ("tool", '{"heard": "meow"}'),
            ("tool", ERROR),
            ("assistant", ""),
            ("tool", '[{"title": "Cats"}]'),
            ("assistant", "A cat."),
            ("user", "Say more."),
            ("system", "Be very brief."),
            ("user", "And now?"),
            ("assistant", "Still a"),
        ]

    def test_calls_and_results_are_linked(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        calls = [call for message in chat.messages for call in message.tool_calls or ()]
        assert [each["id"] for each in calls] == ["c1", "c2", "b1"]
        assert calls[1]["function"] == {"name": "listen", "arguments": '{"times": 2}'}
        answered = {
            each["tool_call_id"]: each["content"]
            for message in chat.messages
            for each in message.tool_results or ()
        }
        assert answered["c1"] == ERROR
        assert answered["c2"] == '{"heard": "meow"}'

    def test_times_models_and_tokens_are_kept(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        user, answer = chat.messages[2], chat.messages[3]
        assert user.created_at is not None
        assert user.created_at.isoformat() == "2025-01-02T03:04:05.000006+00:00"
        assert answer.created_at is not None
        assert answer.created_at.isoformat() == "2025-01-02T03:04:09+00:00"
        assert (answer.model, answer.input_tokens, answer.output_tokens) == ("model-x", 90, 8)
        assert chat.created_at == user.created_at

    def test_what_is_beside_the_text_is_kept(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        asked, looked, last = chat.messages[2], chat.messages[3], chat.messages[-1]
        assert asked.body is not None
        picture, pdf = json.loads(asked.body)["attachments"]
        assert (picture["kind"], picture["reference"]) == (
            "image/png",
            "https://pictures.example/cat.png",
        )
        assert pdf["kind"] == "application/pdf"
        assert "I look at it" in json.dumps(looked.metadata)
        assert (last.metadata or {})["status"] == "interrupted"


class TestForms:
    def test_each_line_may_be_a_history(self, tmp_path: Path) -> None:
        file = tmp_path / "histories.jsonl"
        runs = [
            [{**message, "run_id": run, "conversation_id": "k"} for message in EXAMPLE]
            for run in ("r1", "r2")
        ]
        file.write_text("\n".join(map(json.dumps, runs)), encoding="utf-8")
        found, refusals = read_all(file)
        assert ([chat.key for chat in found], refusals) == (["r1", "r2"], [])

    def test_each_line_may_be_a_message(self, tmp_path: Path) -> None:
        file = tmp_path / "history.jsonl"
        file.write_text("\n".join(map(json.dumps, EXAMPLE)), encoding="utf-8")
        [chat], refusals = read_all(file)
        assert (len(spoken(chat)), refusals) == (13, [])

    def test_a_row_around_a_history_names_the_chat(self, tmp_path: Path) -> None:
        row = {"id": 7, "title": "Cats", "messages": EXAMPLE, "created_at": 1_700_000_000}
        chat = read_one(tmp_path, [row])
        assert (chat.key, chat.title) == ("7", "Cats")
        assert chat.created_at is not None
        assert chat.created_at.year == 2023

    def test_older_names_of_token_counts_are_read(self, tmp_path: Path) -> None:
        usage = {"request_tokens": 5, "response_tokens": 2}
        chat = read_one(tmp_path, [response(part("text", content="Hi"), usage=usage)])
        assert (chat.messages[0].input_tokens, chat.messages[0].output_tokens) == (5, 2)

    def test_files_of_a_result_are_attachments(self, tmp_path: Path) -> None:
        picture = {"kind": "binary", "data": "iVBOR", "media_type": "image/png"}
        chat = read_one(
            tmp_path,
            [
                request(part("user-prompt", content="Draw")),
                response(call("c1", "draw", {})),
                request(result("c1", "draw", ["drawn", picture])),
                response(part("text", content="There.")),
            ],
        )
        drawn = chat.messages[2]
        assert (drawn.role, drawn.content) == ("tool", "drawn")
        assert drawn.body is not None
        assert json.loads(drawn.body)["attachments"][0]["kind"] == "image/png"

    def test_a_part_of_an_unknown_kind_is_reported(self, tmp_path: Path) -> None:
        history = [request(part("user-prompt", content="Hi"), part("later", content="new"))]
        [_], refusals = read_all(write(tmp_path / "history.json", history))
        assert "not understood, with 3 characters" in str(refusals)


class TestRecognition:
    def test_histories_are_recognised(self) -> None:
        assert best_format({"messages": EXAMPLE}) is pydantic_ai.FORMAT

    @pytest.mark.parametrize(
        "message",
        [
            {"kind": "request", "parts": [{"text": "Hi"}]},
            {"kind": "request", "parts": "Hi"},
            {"role": "user", "content": "Hi"},
        ],
    )
    def test_other_messages_are_not(self, message: dict[str, Any]) -> None:
        assert pydantic_ai.fits({"messages": [message]}) == 0


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_history_is_read(value: dict[str, Any]) -> None:
    """No shape of a history may stop the import."""
    [chat] = pydantic_ai.read(value)
    assert chat.id == "r1"
