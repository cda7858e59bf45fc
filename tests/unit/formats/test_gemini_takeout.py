"""Google Takeout's activity of Gemini: records become the chats that they were part of."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.gemini_takeout import EXAMPLE, record

from faceplate.importers import Chat


def read_chats(tmp_path: Path, value: object) -> dict[str, Chat]:
    chats, refusals = read_all(write(tmp_path / "MyActivity.json", value))
    assert refusals == []
    assert {chat.source for chat in chats} <= {"gemini-takeout"}
    return {chat.key: chat for chat in chats}


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chats = read_chats(tmp_path, EXAMPLE)
    assert {*chats} == {"ab12", "cd34", "ef56", "record 2026-01-15T10:32:00.500Z"}
    found = chats["ab12"]
    assert found.title == "How hot is coffee?"
    assert found.created_at == datetime(2026, 1, 15, 10, 29, 0, 500_000, tzinfo=UTC)
    assert spoken(found) == [
        ("user", "How hot is coffee?"),
        ("assistant", "Ninety degrees."),
        ("user", "And tea?"),
        ("assistant", "Steep **three** minutes.\n\n- Not more"),
    ]
    assert spoken(found, 5)[-1] == ("assistant", "Quite hot.")
    asked = found.messages[2]
    assert asked.created_at == datetime(2026, 1, 15, 10, 31, 0, 500_000, tzinfo=UTC)
    assert [
        (file["kind"], file["name"], file["reference"])
        for file in json.loads(asked.body or "")["attachments"]
    ] == [("image", "cup.png", "cup-1.png"), ("file", "notes.txt", "notes-1.txt")]
    assert "Brewer was used in this chat." in json.dumps(asked.metadata)
    assert spoken(chats["cd34"]) == [("user", "Who wrote Faust?"), ("assistant", "Goethe.")]


def test_a_prompt_without_an_answer_and_one_with_the_same_time_are_kept(tmp_path: Path) -> None:
    value = [record("Prompted Two", 1), record("Prompted One", 1)]
    assert spoken(read_chats(tmp_path, value)["ab12"]) == [("user", "One"), ("user", "Two")]


def test_titles_in_other_languages_are_kept_as_they_are(tmp_path: Path) -> None:
    value = record("Eingegebener Prompt: Hallo", 1, "<p>Guten Tag</p>")
    said = [("user", "Eingegebener Prompt: Hallo"), ("assistant", "Guten Tag")]
    assert spoken(read_chats(tmp_path, [value])["ab12"]) == said


def test_activity_with_an_answer_is_kept(tmp_path: Path) -> None:
    value = record("Created a canvas", 1, "<p>Rye bread</p>")
    assert spoken(read_chats(tmp_path, [value])["ab12"])[-1] == ("assistant", "Rye bread")


def test_a_record_belongs_to_each_branch_of_its_chat(tmp_path: Path) -> None:
    addresses = [{"url": f"https://gemini.google.com/app/{id_}"} for id_ in ("a", "b")]
    both: dict[str, Any] = {"details": addresses}
    value = [
        record("Prompted Left?", 4, "<p>Left.</p>", chat="a"),
        record("Prompted Right?", 3, "<p>Right.</p>", chat="b"),
        record("Branched And", 2, "<p>Same</p>", "<p>Same</p>", **both),
        record("Prompted Hi", 1, "<p>Ho</p>", "<p>Ha</p>", **both),
    ]
    chats = read_chats(tmp_path, value)
    assert [text for _, text in spoken(chats["a"])] == ["Hi", "Ho", "And", "Same", "Left?", "Left."]
    assert [text for _, text in spoken(chats["b"])][:4] == ["Hi", "Ha", "And", "Same"]
    assert "app/b" in json.dumps(chats["a"].messages[0].metadata)
    assert len(chats["a"].messages) == 7


@pytest.mark.parametrize(
    "title", ["送信したメッセージ: Hi", "Запит: Hi", "Prompt: Hi", "Branched Prompted Hi"]
)
def test_what_stands_before_a_prompt_is_taken_away(tmp_path: Path, title: str) -> None:
    assert spoken(read_chats(tmp_path, [record(title, 1)])["ab12"]) == [("user", "Hi")]


def test_what_was_made_is_not_put_in_the_mouth_of_the_user(tmp_path: Path) -> None:
    value = record("Created Gemini Canvas titled Rye", 1, subtitles=[{"name": "print('rye')"}])
    text = "Created Gemini Canvas titled Rye\nprint('rye')"
    assert spoken(read_chats(tmp_path, [value])["ab12"]) == [("assistant", text)]


def test_the_use_of_the_product_is_no_prompt_in_any_language(tmp_path: Path) -> None:
    value = record("使用: Gemini アプリ", 1, chat="", header="Gemini アプリ")
    assert read_chats(tmp_path, [value]) == {}
    asked = record("Prompted What are Gemini Apps?", 1)
    assert spoken(read_chats(tmp_path, [asked])["ab12"]) == [("user", "What are Gemini Apps?")]


def test_an_older_record_names_its_chat_and_files_in_other_fields(tmp_path: Path) -> None:
    address = "https://gemini.google.com/app/c/old1?hl=en"
    value = record("Prompted Hi", 1, chat="", titleUrl=address, attachedFiles=[{"name": "a.pdf"}])
    [[key, found]] = read_chats(tmp_path, [value]).items()
    assert key == "old1"
    assert json.loads(found.messages[0].body or "")["attachments"][0]["name"] == "a.pdf"


def test_answers_of_the_search_are_read(tmp_path: Path) -> None:
    value = record("Searched for tips", 1, "<p>No.</p>", chat="", header="AI Mode", products=[])
    [found] = read_chats(tmp_path, [value]).values()
    assert spoken(found) == [("user", "tips"), ("assistant", "No.")]


def test_a_later_takeout_names_the_same_messages(tmp_path: Path) -> None:
    first, later = (read_chats(tmp_path, value)["ab12"] for value in (EXAMPLE[2:], EXAMPLE))
    assert first.names == later.names


@pytest.mark.parametrize("header", ["YouTube", "Search"])
def test_other_activity_is_no_chat(tmp_path: Path, header: str) -> None:
    value = record("Watched a film", 1, chat="", header=header, products=[header])
    chats, refusals = read_all(write(tmp_path / "MyActivity.json", [value]))
    assert (chats, len(refusals)) == ([], 1)


def test_answers_that_are_no_html_are_reported(tmp_path: Path) -> None:
    value = record("Prompted Hi", 1, safeHtmlItem=[{"value": "spoken"}])
    [_, [refusal]] = read_all(write(tmp_path / "c.json", [value]))
    assert "not understood" in refusal.reason
