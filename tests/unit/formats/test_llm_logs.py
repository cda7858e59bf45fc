"""The log of llm: rows of one conversation are one chat."""

import json
from pathlib import Path

from tests.chat_files import read_all, spoken, write
from tests.formats.llm_logs import EXAMPLE, row


def test_all_of_a_log_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    """Else each answer is a chat without its time and its title."""
    [chat, other], refusals = read_all(write(tmp_path / "logs.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("llm", "conversation-1", "Two kites")
    assert spoken(chat) == [
        ("system", "You fly kites."),
        ("user", "Which kite flies?\n\n[kites.md]\n```\nA red kite\n```"),
        ("assistant", "I ask."),
        ("tool", "five knots"),
        ("assistant", "The red one."),
    ]
    assert (other.key, other.title) == ("conversation-2", "Hello")
    answer = chat.messages[-1]
    assert (answer.model, answer.input_tokens, answer.output_tokens) == ("model-one", 8, 12)
    assert answer.created_at is not None
    assert answer.created_at.minute == 2
    assert chat.asides["reasoning"] == 1
    files = json.loads(chat.messages[1].body or "")["attachments"]
    assert [file["kind"] for file in files] == ["fragment", "image/png"]


def test_a_row_without_a_conversation_is_one(tmp_path: Path) -> None:
    rows = [row(f"r-{n}", n, f"Q{n}", f"A{n}", conversation_id=None) for n in (1, 2)]
    found, refusals = read_all(write(tmp_path / "logs.json", rows))
    assert ([chat.key for chat in found], refusals) == (["r-1", "r-2"], [])


def test_a_row_alone_is_a_conversation(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "log.json", row("r-1", 1, "Q", "A")))
    assert (chat.source, spoken(chat), refusals) == ("llm", [("user", "Q"), ("assistant", "A")], [])


def test_a_system_prompt_may_be_of_fragments(tmp_path: Path) -> None:
    """Else what the model was told is only in the metadata of the answer."""
    fragment = {"hash": "f1", "content": "You fly kites.", "aliases": ["pilot"]}
    rows = [
        row("r-1", 1, "Q1", "A1", system_fragments=[fragment]),
        row("r-2", 2, "Q2", "A2", system="Briefly", system_fragments=[fragment]),
        row("r-3", 3, "Q3", "A3", system="Briefly", system_fragments=[fragment]),
    ]
    [chat], refusals = read_all(write(tmp_path / "logs.json", rows))
    assert refusals == []
    prompts = [content for role, content in spoken(chat) if role == "system"]
    told = "[pilot]\n```\nYou fly kites.\n```"
    assert prompts == [told, f"Briefly\n\n{told}"]
    assert spoken(chat)[0] == ("system", told)
