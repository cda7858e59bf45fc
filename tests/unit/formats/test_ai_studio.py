"""Prompt files of Google AI Studio: chunks become the turns that a reader saw."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.ai_studio import EXAMPLE, prompt

from faceplate.importers import Chat


def read_one(tmp_path: Path, value: object) -> Chat:
    [[found], refusals] = read_all(write(tmp_path / "prompt.json", value))
    assert (found.source, refusals) == ("ai-studio", [])
    return found


@pytest.mark.parametrize("value", [EXAMPLE, EXAMPLE[0]])
def test_everything_is_where_a_reader_finds_it(tmp_path: Path, value: object) -> None:
    found = read_one(tmp_path, value)
    assert found.title == "Which is the larger sum?"
    assert found.created_at == datetime(2025, 9, 1, 8, tzinfo=UTC)
    system, asked, code, output, answer, again, failed = path(found)
    assert (system.role, system.content) == ("system", "Answer briefly.")
    assert (asked.role, asked.content) == ("user", "Which is the larger sum?")
    assert json.loads(asked.body or "")["attachments"][0]["reference"] == "1AbC"
    assert "print(2 + 2)" in (code.tool_calls or [{}])[0]["function"]["arguments"]
    assert (output.role, output.content) == ("tool", "four")
    assert (answer.role, answer.content) == ("assistant", "The second one.")
    assert (code.model, code.output_tokens) == ("gemini-2.5-pro", 9)
    assert answer.created_at == datetime(2025, 9, 1, 8, 0, 5, tzinfo=UTC)
    assert (again.content, again.body is None) == ("And this one?", False)
    assert failed.content == "An internal error has occurred."
    assert (failed.metadata or {})["status"] == "failed"
    assert found.asides == {"reasoning": 1, "attachments": 2}


def test_text_that_stands_in_parts_as_well_is_read_once(tmp_path: Path) -> None:
    chunk = {"role": "model", "text": "Ta", "parts": [{"text": "T"}, {"text": "a"}]}
    assert spoken(read_one(tmp_path, prompt(chunk)))[1:] == [("assistant", "Ta")]


def test_parts_without_a_text_beside_them_are_read(tmp_path: Path) -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    chunk = {"role": "model", "parts": [{"text": "A tree"}, picture]}
    found = read_one(tmp_path, prompt(chunk, systemInstruction={}))
    assert spoken(found) == [("assistant", "A tree")]
    assert found.asides == {"attachments": 1}


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        ({"driveImage": {"id": "x"}}, "[image]"),
        ({"youtubeVideo": {"id": "x"}}, "[video]"),
        ({"driveDocument": "x"}, "[document]"),
        ({"inlineFile": {"mimeType": "text/plain", "data": "aGk="}}, "[text/plain]"),
    ],
)
def test_a_turn_that_is_only_a_file_is_a_turn(
    tmp_path: Path, chunk: dict[str, Any], said: str
) -> None:
    value = prompt({"role": "user", **chunk}, {"role": "model", "text": "Yes"})
    assert spoken(read_one(tmp_path, value))[1:] == [("user", said), ("assistant", "Yes")]


def test_what_was_typed_and_not_sent_is_kept_aside(tmp_path: Path) -> None:
    value = prompt({"role": "user", "text": "Hi"})
    value["chunkedPrompt"]["pendingInputs"] = [{"role": "user", "text": "unsent"}]
    found = read_one(tmp_path, value)
    assert spoken(found)[1:] == [("user", "Hi")]
    assert "unsent" in json.dumps(found.metadata)
    assert found.asides == {"hidden messages": 1}


def test_two_answers_in_a_row_are_two_messages(tmp_path: Path) -> None:
    value = prompt({"role": "model", "text": "One"}, {"role": "model", "text": "Two"})
    said = [("assistant", "One"), ("assistant", "Two")]
    assert spoken(read_one(tmp_path, value))[1:] == said


def test_an_unknown_chunk_is_reported(tmp_path: Path) -> None:
    value = prompt({"role": "user", "text": "Hi"}, {"role": "user", "song": {"text": "tra la"}})
    [_, [refusal]] = read_all(write(tmp_path / "c.json", value))
    assert "song was not understood" in refusal.reason
