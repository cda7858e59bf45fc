"""big-AGI's exports: fragments of each kind, and the texts of before."""

import json
from pathlib import Path

from tests.chat_files import read_all, spoken, write
from tests.formats.big_agi import CHAT, EXAMPLE, OLDER, content, said


def test_all_of_a_conversation_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [chat, _], refusals = read_all(write(tmp_path / "x.json", EXAMPLE))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("big-agi", "chat-1", "Two trees")
    assert spoken(chat) == [
        ("system", "Answer briefly."),
        ("user", "Which tree is taller?\n\n[trees.txt]\n```\nOak: nine metres.\n```"),
        ("assistant", "I measure."),
        ("tool", "nine metres"),
        ("assistant", "The oak."),
    ]
    answer = chat.messages[2]
    assert (answer.model, answer.input_tokens, answer.output_tokens) == ("anthropic-tree-1", 120, 7)
    assert (answer.metadata or {})["status"] == "interrupted"
    files = json.loads(chat.messages[1].body or "{}")["attachments"]
    assert [(file["name"], file.get("reference")) for file in files] == [
        ("trees.txt", None),
        ("oak.png", "u-1"),
    ]
    assert chat.asides == {"reasoning": 1, "attachments": 2}


def test_a_conversation_alone_and_an_older_one_are_read(tmp_path: Path) -> None:
    for value in (CHAT, OLDER):
        [chat], refusals = read_all(write(tmp_path / "x.json", value))
        assert (refusals, chat.source, chat.key) == ([], "big-agi", value["id"])
    assert spoken(chat) == [("user", "Why green?"), ("assistant", "Chlorophyll.")]
    assert (chat.title, chat.messages[1].model) == ("Leaves", "gpt-4")


def test_errors_are_read_and_unknown_parts_are_reported(tmp_path: Path) -> None:
    failed = said("f", "assistant", content("error", error="The service is away."))
    odd = said("gg", "assistant", content("hologram", text="A tree in the air"))
    value = {**CHAT, "messages": [*CHAT["messages"], failed, odd]}
    [chat], [refusal] = read_all(write(tmp_path / "x.json", value))
    assert chat.messages[-2].content == "The service is away."
    assert (chat.messages[-2].metadata or {})["status"] == "failed"
    assert (
        refusal.reason == "imported, but message 7: part 1 was not understood, with 17 characters"
    )
