"""SillyTavern's chats: swipes as branches, thoughts, files and times, and lists of pairs."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.tavern import EXAMPLE, HEAD, line

from faceplate.importers import Chat, recognise

PAIRS = [["<|BEGIN-VISIBLE-CHAT|>", "Be brief."], ["Hi", "Ho"], ["", "Still there?"]]


def read_one(path: Path) -> Chat:
    [[found], refusals] = read_all(path)
    assert (found.source, refusals) == ("tavern", [])
    return found


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    found = read_one(write(tmp_path / "chat.json", EXAMPLE))
    assert found.key == "Baker 2024-7-12@01h31m37s"
    assert found.created_at == datetime(2024, 7, 12, 1, 31, 37, tzinfo=UTC)
    greeting, question, *answers, thanks = found.messages
    assert (greeting.role, greeting.content) == ("assistant", "Good morning!")
    assert "half wheat" in question.content
    assert json.loads(question.body or "")["attachments"][0]["name"] == "notes.txt"
    shown = next(each for each in answers if each.content == "It is spelt.")
    other = next(each for each in answers if each is not shown)
    assert (shown.model, other.content, other.model) == ("mistral", "Perhaps wheat.", "llama")
    assert other.created_at == datetime(2024, 7, 12, 1, 33, tzinfo=UTC)
    assert "The crumb is pale." in json.dumps(shown.metadata)
    assert json.loads(thanks.body or "")["attachments"][0]["reference"] == "/i/loaf.png"


def test_swipes_are_branches_and_the_chosen_one_is_shown(tmp_path: Path) -> None:
    found = read_one(write(tmp_path / "chat.json", EXAMPLE))
    assert [text for _, text in spoken(found)][2] == "It is spelt."
    assert "Perhaps wheat." not in dict(spoken(found)).values()


def test_a_file_of_lines_is_one_chat(tmp_path: Path) -> None:
    path = tmp_path / "Baker.jsonl"
    path.write_text("\n".join(map(json.dumps, EXAMPLE)), encoding="utf-8")
    assert len(spoken(read_one(path))) == 4


@pytest.mark.parametrize(
    "date",
    [
        "July 12, 2024 1:31am",
        "2024-7-12 @01h 31m 00s 0ms",
        "2024-07-12@01h31m00s",
        "2024-07-12@01h31m00s000ms",
        "2024-07-12T01:31:00Z",
        1_720_747_860,
        1_720_747_860_000,
    ],
)
def test_the_time_of_a_message_has_many_forms(tmp_path: Path, date: object) -> None:
    found = read_one(write(tmp_path / "chat.json", [HEAD, line("Ada", "Hi", date)]))
    assert found.messages[0].created_at == datetime(2024, 7, 12, 1, 31, tzinfo=UTC)


def test_what_a_swipe_says_besides_is_kept(tmp_path: Path) -> None:
    told: dict[str, Any] = {"swipes": ["Ho"], "swipe_id": 0, "swipe_info": [{"tag": "a remark"}]}
    found = read_one(write(tmp_path / "chat.json", [HEAD, line("Baker", "Ho", 1, **told)]))
    assert "a remark" in json.dumps(found.messages[0].metadata)
    assert len(found.messages) == 1


def test_pairs_of_a_question_and_an_answer_are_read(tmp_path: Path) -> None:
    visible = [["", "Be brief."], *PAIRS[1:]]
    path = write(tmp_path / "chat.json", {"internal": PAIRS, "visible": visible})
    found = read_one(path)
    assert spoken(found) == [
        ("assistant", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Ho"),
        ("assistant", "Still there?"),
    ]
    assert "visible" not in json.dumps(found.metadata)


@pytest.mark.parametrize(
    "value",
    [
        {"internal": [["Hi", "Ho"]]},
        {"internal": [["Hi", "Ho", "He"]], "visible": []},
        {"messages": [{"user_name": "Ada", "character_name": "Baker"}]},
    ],
)
def test_other_lists_are_not_taken(tmp_path: Path, value: dict[str, Any]) -> None:
    assert recognise(write(tmp_path / "chat.json", value)) is None
