"""Chats of GitHub Copilot in Visual Studio Code."""

from pathlib import Path

from tests.chat_files import read_all, spoken, write
from tests.formats.copilot_chat import EXAMPLE


def test_all_of_a_chat_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "chat.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("copilot-chat", "session-1", "Two paths")
    assert spoken(chat) == [
        ("user", "Which path is shorter?"),
        ("assistant", "The one in `north.txt`, I think."),
        ("tool", "nine metres"),
        ("assistant", "It is."),
        ("user", "And the other?"),
        ("assistant", "It is"),
    ]
    assert chat.messages[1].model == "copilot/path-1"
    assert (chat.messages[-1].metadata or {})["status"] == "interrupted"
    assert chat.asides["reasoning"] == 1


def test_why_an_answer_failed_is_read(tmp_path: Path) -> None:
    failed = {"message": "Hi", "result": {"errorDetails": {"message": "Out of reach."}}}
    [chat], refusals = read_all(write(tmp_path / "chat.json", {"requests": [failed]}))
    assert refusals == []
    assert spoken(chat) == [("user", "Hi"), ("assistant", "Out of reach.")]
    assert (chat.messages[1].metadata or {})["status"] == "failed"
