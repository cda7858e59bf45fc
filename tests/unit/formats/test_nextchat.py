"""NextChat backups: whole, and a session alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.nextchat import EXAMPLE, SESSION


@pytest.mark.parametrize("value", [EXAMPLE, [SESSION], {"sessions": [SESSION]}])
def test_all_of_a_backup_is_where_a_reader_finds_it(tmp_path: Path, value: Any) -> None:
    [chat], refusals = read_all(write(tmp_path / "backup.json", value))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("nextchat", "ses-1", "Two beds")
    assert chat.created_at is not None
    assert chat.created_at.isoformat() == "2025-01-02T03:04:05+00:00"
    assert spoken(chat) == [
        ("system", "Answer briefly."),
        ("user", "Which bed is larger?"),
        ("assistant", ""),
        ("tool", "seven rows"),
        ("assistant", "The northern one."),
    ]
    _, question, asked, result, _ = path(chat)
    [picture] = json.loads(question.body or "")["attachments"]
    assert picture["reference"] == "https://example.com/beds.png"
    assert (asked.tool_calls or [])[0]["function"]["name"] == "measure"
    assert result.tool_results == [{"tool_call_id": "t-1", "content": "seven rows"}]
    assert asked.model == "gardener-1"
    assert chat.metadata["source"]["mask"]["name"] == "Gardener"


@pytest.mark.parametrize(
    ("shown", "hour"),
    [
        ("1/2/2025, 3:04:05 PM", 15),
        ("2025/1/2 15:04:05", 15),
        ("02/01/2025, 15:04:05", 15),
        ("2.1.2025, 15:04:05", 15),
        ("yesterday", 3),  # that of the last change of the session
    ],
)
def test_times_are_read_as_browsers_show_them(tmp_path: Path, shown: str, hour: int) -> None:
    messages = [{"id": "a", "date": shown, "role": "user", "content": "Hi"}]
    [chat], _ = read_all(write(tmp_path / "backup.json", [{**SESSION, "messages": messages}]))
    moment = path(chat)[-1].created_at
    assert moment is not None
    assert (moment.month, moment.day, moment.hour) == (1, 2, hour)


@pytest.mark.parametrize(("field", "status"), [("isError", "failed"), ("streaming", "interrupted")])
def test_an_answer_that_did_not_complete_says_so(tmp_path: Path, field: str, status: str) -> None:
    messages = [{"id": "a", "date": "", "role": "assistant", "content": "So", field: True}]
    [chat], _ = read_all(write(tmp_path / "backup.json", [{**SESSION, "messages": messages}]))
    assert (path(chat)[-1].metadata or {})["status"] == status


def test_a_tool_that_failed_says_why(tmp_path: Path) -> None:
    tool = {"id": "t", "function": {"name": "f", "arguments": "{}"}, "errorMsg": "No rows"}
    message = {**SESSION["messages"][1], "tools": [{**tool, "isError": True}]}
    [chat], _ = read_all(write(tmp_path / "backup.json", [{**SESSION, "messages": [message]}]))
    _, _, result, _ = path(chat)
    assert (result.content, (result.metadata or {})["status"]) == ("No rows", "failed")
