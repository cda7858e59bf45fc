"""Chats of Gemini in Google Workspace."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.gemini_workspace import EXAMPLE, turn

from faceplate.importers import Chat, recognise


def read_one(path: Path) -> Chat:
    [[found], refusals] = read_all(path)
    assert (found.source, refusals) == ("gemini-workspace", [])
    return found


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    found = read_one(write(tmp_path / "conversation_1775576272.txt", EXAMPLE))
    assert (found.key, found.title) == ("2026-04-07T15:00:00.250000+00:00", "Shorter letter")
    assert found.created_at == datetime(2026, 4, 7, 15, 0, 0, 250_000, tzinfo=UTC)
    assert [(role, text) for role, text in spoken(found)] == [
        ("user", "Shorten my letter"),
        ("assistant", "It is half as long.\nDear Ada, yes."),
        ("user", "And a stamp?"),
        ("assistant", "Here it is."),
    ]
    answer, stamp = found.messages[1], found.messages[3]
    assert answer.created_at == datetime(2026, 4, 7, 15, 1, 0, 250_000, tzinfo=UTC)
    assert "The second half repeats." in json.dumps(answer.metadata)
    [file] = json.loads(stamp.body or "")["attachments"]
    assert (file["kind"], file["name"]) == ("image", "stamp.png")


@pytest.mark.parametrize(
    "strange",
    [
        {"tool_turn": {"text": "seven words"}},
        turn("system_turn", 4, text=[{"table": "seven words"}]),
        turn("system_turn", 4, text="seven words"),
        turn("user_turn", 4, prompt=["seven words"]),
    ],
)
def test_what_is_not_known_is_kept_and_reported(tmp_path: Path, strange: dict[str, Any]) -> None:
    value = {**EXAMPLE, "conversation_turns": [*EXAMPLE["conversation_turns"], strange]}
    [[found], refusals] = read_all(write(tmp_path / "c.json", value))
    kept = [message.content + json.dumps(message.metadata) for message in found.messages]
    assert "seven words" in "".join([*kept, json.dumps(found.metadata)])
    assert 1 <= len(refusals) <= 2


@pytest.mark.parametrize("turns", [[], "none", [{"turn": "user"}]])
def test_other_turns_are_not_taken(tmp_path: Path, turns: object) -> None:
    assert recognise(write(tmp_path / "c.json", {"conversation_turns": turns})) is None
