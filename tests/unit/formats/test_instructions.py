"""Rows of questions and answers: whatever the columns are called, nobody's words change places."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.chat_files import path as thread
from tests.chat_files import read_all, spoken, write
from tests.formats.instructions import EXAMPLE, chats, said

from faceplate.importers import Chat
from faceplate.importers.formats import instructions
from faceplate.importers.shapes import best_format

SAID = [("user", "Hi"), ("assistant", "Ho")]


def read_one(tmp_path: Path, row: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "rows.json", [row]))
    assert refusals == []
    assert chat.source == "instructions"
    return chat


class TestExample:
    def test_every_row_is_a_chat(self, tmp_path: Path) -> None:
        found, refusals = read_all(write(tmp_path / "rows.json", EXAMPLE))
        assert refusals == []
        assert [spoken(chat) for chat in found] == [
            [
                ("system", "You bake."),
                ("user", "Which flour?"),
                ("assistant", "Wheat."),
                ("user", "How much?"),
                ("assistant", "A pound."),
                ("user", "Name the next step.\nThe dough has risen.<image>"),
                ("assistant", "Knead it again."),
            ],
            [
                ("system", "You bake."),
                ("user", "Which oven?"),
                ("assistant", "A stone oven."),
                ("user", "Why?"),
                ("assistant", "It is even."),
            ],
            [("user", "Bread in a stone oven.\nHow hot?"), ("assistant", "250 degrees.")],
            [("user", "Is it done?"), ("assistant", "Knock on it.\nIt sounds hollow.")],
        ]

    def test_pictures_reasoning_and_times_are_kept(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE[0])
        body = chat.messages[5].body
        assert body is not None
        assert json.loads(body)["attachments"][0]["reference"] == "dough.jpg"
        assert "It comes after rising." in json.dumps(chat.messages[6].metadata)
        assert chat.created_at is not None
        assert chat.created_at.isoformat() == "2025-01-02T03:04:05+00:00"

    def test_a_rejected_answer_is_a_branch(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE[1])
        said = [message.content for message in chat.messages]
        rejected = thread(chat, said.index("A microwave.") + 1)
        assert [message.content for message in rejected] == [
            "You bake.",
            "Which oven?",
            "A microwave.",
        ]


class TestColumns:
    @pytest.mark.parametrize(
        "row",
        [
            {"instruction": "Hi", "input": "", "output": "Ho"},
            {"INSTRUCTION": "Hi", "RESPONSE": "Ho"},
            {"input": "Hi", "output": "Ho"},
            {"prompt": "Hi", "response": "Ho"},
            {"prompt": "Hi", "completion": [said("assistant", "Ho")]},
            {"prompt": [said("user", "Hi")], "completion": "Ho"},
            {"query": "Hi", "response": "Ho", "history": []},
            {"message_1": "Hi", "message_2": "Ho"},
            {"instruction": "", "prompt": "Hi", "output": "", "response": "Ho"},
            {"prompt": "Hi", "chosen": "Ho", "rejected": "No"},
            {"instruction": "Hi", "output": "Ho", "text": "Hi Ho"},
            {
                "chosen_messages": [said("user", "Hi"), said("assistant", "Ho")],
                "rejected_messages": [said("user", "Hi"), said("assistant", "No")],
            },
        ],
    )
    def test_columns_of_every_name_are_read(self, tmp_path: Path, row: dict[str, Any]) -> None:
        assert spoken(read_one(tmp_path, row)) == SAID

    def test_choices_with_the_question_in_them_part_at_the_answer(self, tmp_path: Path) -> None:
        question = said("user", "Hi")
        row = {
            "prompt": "Hi",
            "chosen": [question, said("assistant", "Ho")],
            "rejected": [question, said("assistant", "No")],
            "messages": [question, said("assistant", "Ho")],
        }
        chat = read_one(tmp_path, row)
        assert [message.content for message in chat.messages] == ["Hi", "Ho", "No"]
        assert spoken(chat) == SAID

    def test_two_models_answers_are_branches(self, tmp_path: Path) -> None:
        question = said("user", "Hi")
        row = {
            "model_a": "model-x",
            "model_b": "model-y",
            "conversation_a": [question, said("assistant", "Ho")],
            "conversation_b": [question, said("assistant", "No")],
            "tstamp": 1_700_000_000.5,
        }
        chat = read_one(tmp_path, row)
        assert [(message.content, message.model) for message in chat.messages] == [
            ("Hi", None),
            ("Ho", "model-x"),
            ("No", "model-y"),
        ]
        assert chat.created_at is not None
        assert chat.created_at.year == 2023

    def test_transcripts_are_split_at_their_speakers(self, tmp_path: Path) -> None:
        begin = "\n\nHuman: Hi\n\nAssistant: Ho\n\nho\n\nHuman: And?\n\nAssistant: "
        chat = read_one(tmp_path, {"chosen": f"{begin}Yes", "rejected": f"{begin}No"})
        assert spoken(chat) == [
            ("user", "Hi"),
            ("assistant", "Ho\n\nho"),
            ("user", "And?"),
            ("assistant", "Yes"),
        ]
        assert [message.content for message in chat.messages][-1] == "No"

    def test_numbers_of_rows_are_no_names(self, tmp_path: Path) -> None:
        """Rows of two data sets must not become one chat because both are the first."""
        rows = [{"id": "1", "prompt": text, "response": "Ho"} for text in ("Hi", "Hello")]
        first, second = (read_one(tmp_path, row) for row in rows)
        assert first.key != second.key

    def test_a_column_of_text_that_nobody_knows_is_reported(self, tmp_path: Path) -> None:
        row = {"prompt": "Hi", "response": "Ho", "content": "more"}
        [_], [refusal] = read_all(write(tmp_path / "rows.json", [row]))
        assert "content was not understood" in refusal.reason


class TestRecognition:
    @pytest.mark.parametrize(
        "value",
        [
            {"prompt": "Hi"},
            {"text": "Hi"},
            {"instructions": "Be brief", "input": "Hi", "output": [{"type": "message"}]},
            {"prompt": "Hi", "response": {"choices": []}},
            {"messages": [said("user", "Hi")], "prompt": "Hi", "response": "Ho"},
        ],
    )
    def test_other_objects_are_no_rows(self, value: dict[str, Any]) -> None:
        assert instructions.fits(value) == 0
        assert best_format(value) is not instructions.FORMAT


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_row_is_read(value: dict[str, Any]) -> None:
    """No shape of a row may stop the import."""
    [chat] = instructions.read(value)
    assert chat.messages
