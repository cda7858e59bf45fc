"""Files of browser extensions: the words, who said them, and when, in each of their shapes."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.chat_exporters import EXAMPLE

from faceplate.importers import Chat, recognise

SAID = [("user", "Hi"), ("assistant", "Ho")]


def read_one(tmp_path: Path, value: object) -> Chat:
    [[found], refusals] = read_all(write(tmp_path / "chat.json", value))
    assert (found.source, refusals) == ("chat-exporter", [])
    return found


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    found = read_one(tmp_path, EXAMPLE)
    assert (found.key, found.title) == ("fig-1", "Figs")
    assert found.created_at == datetime(2025, 12, 14, 2, 35, 19, tzinfo=UTC)
    assert spoken(found) == [
        ("user", "Are figs fruit?"),
        ("assistant", "**Strictly**, they are flowers."),
        ("user", "Really?"),
    ]
    assert found.messages[1].created_at == datetime(2025, 12, 14, 2, 35, 25, tzinfo=UTC)
    assert "ada@example.com" in json.dumps(found.metadata)


@pytest.mark.parametrize(
    "value",
    [
        {"messages": [{"role": "Prompt", "say": "Hi"}, {"role": "Response", "say": "Ho"}]},
        {"messages": [{"role": "user", "say": "Hi"}, {"role": "Assistant", "say": "Ho"}]},
        {
            "meta": {"title": "T", "exportedAt": "2025-01-01"},
            "chats": [
                {"index": 0, "type": "prompt", "message": ["Hi"]},
                {"index": 1, "type": "response", "message": [{"type": "p", "data": "Ho"}]},
            ],
        },
        [{"type": "user", "content": "Hi"}, {"type": "assistant", "content": "Ho"}],
        [{"user": "Hi"}, {"assistant": "Ho"}],
        {
            "metadata": {"exportDate": "2025-01-01", "totalMessages": 2},
            "conversations": [{"id": 0, "user": {"message": "Hi"}, "assistant": {"message": "Ho"}}],
        },
    ],
)
def test_every_shape_is_read(tmp_path: Path, value: object) -> None:
    assert spoken(read_one(tmp_path, value)) == SAID


def test_a_chat_may_have_its_id_title_and_time_beside_the_messages(tmp_path: Path) -> None:
    """Else chats have no title, and each later export of a chat is another one."""
    said = [{"sender": "user", "text": "Hi"}, {"sender": "assistant", "text": "Ho"}]
    value = {"id": "chat-7", "title": "My chat", "created": "2025-01-02T03:04:05Z"}
    found = read_one(tmp_path, {**value, "model": "fig-1", "system": "Be brief.", "messages": said})
    assert (found.key, found.title) == ("chat-7", "My chat")
    assert found.created_at == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert spoken(found) == [("system", "Be brief."), *SAID]
    assert found.messages[2].model == "fig-1"


@pytest.mark.parametrize(
    "value",
    [
        [{"isUser": True, "text": "Hi"}, {"isUser": False, "text": "", "content": "Ho"}],
        [{"isUser": True, "text": "Hi", "body": "Hi"}, {"isUser": False, "text": "Ho"}],
        [{"role": "Prompt", "say": "Hi"}, {"role": "Response", "say": "", "content": "Ho"}],
    ],
)
def test_an_empty_text_is_not_the_text(tmp_path: Path, value: object) -> None:
    assert spoken(read_one(tmp_path, {"messages": value})) == SAID


def test_blocks_of_a_page_become_markdown(tmp_path: Path) -> None:
    cells = [{"type": "td", "data": text} for text in ("a", "b")]
    blocks: list[dict[str, Any]] = [
        {"type": "h2", "data": "Plan"},
        {"type": "ol", "data": [{"type": "li", "data": "mix"}, {"type": "li", "data": "bake"}]},
        {"type": "ul", "data": [{"type": "li", "data": "eat"}]},
        {"type": "pre", "language": "py", "data": "x = 1"},
        {"type": "table", "data": [{"type": "tbody", "data": [{"type": "tr", "data": cells}]}]},
    ]
    value = {"meta": {}, "chats": [{"type": "response", "message": blocks}]}
    text = "## Plan\n1. mix\n2. bake\n- eat\n```py\nx = 1\n```\n| a | b |"
    assert spoken(read_one(tmp_path, value)) == [("assistant", text)]


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2025/12/4 2:35:19", datetime(2025, 12, 4, 2, 35, 19, tzinfo=UTC)),
        ("12/4/2025 2:35:19", datetime(2025, 12, 4, 2, 35, 19, tzinfo=UTC)),
        ("12/4/2025, 2:35:19 PM", datetime(2025, 12, 4, 14, 35, 19, tzinfo=UTC)),
        ("25/12/2025 2:35:19", datetime(2025, 12, 25, 2, 35, 19, tzinfo=UTC)),
        ("2025-12-04T02:35:19.000Z", datetime(2025, 12, 4, 2, 35, 19, tzinfo=UTC)),
        ("the day before", None),
    ],
)
def test_times_without_a_zone_are_read(tmp_path: Path, time: str, moment: datetime | None) -> None:
    value = {"messages": [{"role": "Prompt", "say": "Hi", "time": time}]}
    [message] = read_one(tmp_path, value).messages
    assert message.created_at == moment
    assert ("the day before" in json.dumps(message.metadata)) == (moment is None)


def test_a_role_of_its_own_is_kept_and_reported(tmp_path: Path) -> None:
    value = {"messages": [{"role": "Narrator", "say": "Once"}]}
    [chat], [refusal] = read_all(write(tmp_path / "chat.json", value))
    assert "message 1: its role was not understood" in refusal.reason
    [message] = chat.messages
    assert (message.role, (message.metadata or {})["role"]) == ("assistant", "narrator")


def test_contents_with_parts_and_no_type_are_read(tmp_path: Path) -> None:
    """One exporter writes OpenAI's roles, and contents as ChatGPT has them."""
    messages = [
        {"role": role, "content": {"parts": [{"text": text}]}, "timestamp": 1_700_000_000_000}
        for role, text in SAID
    ]
    file = write(tmp_path / "c.json", {"title": "T", "source": "Claude", "messages": messages})
    [[found], refusals] = read_all(file)
    assert (found.source, spoken(found), refusals) == ("openai", SAID, [])


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "Hi"}],
        [{"type": "user", "content": "Hi", "uuid": "u"}],
        [{"user": "ada", "text": "Hi"}],
        {"chats": [{"type": "direct", "message": "Hi"}]},
    ],
)
def test_other_lists_are_not_taken(tmp_path: Path, value: object) -> None:
    assert recognise(write(tmp_path / "c.json", value)) != "chat-exporter"
