"""Chatbot UI exports of each version."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.chatbot_ui import CHATS, EXAMPLE

FIRST = [
    {"id": number, "name": chat["name"], "messages": chat["messages"]}
    for number, chat in enumerate(CHATS, start=1)
]


@pytest.mark.parametrize(
    "value",
    [
        EXAMPLE,
        {**EXAMPLE, "version": 3},
        {"history": CHATS, "folders": None},
        CHATS,
        CHATS[0],
        {"conversationHistory": json.dumps(CHATS), "theme": "dark"},
    ],
)
def test_all_of_an_export_is_where_a_reader_finds_it(tmp_path: Path, value: Any) -> None:
    chats, refusals = read_all(write(tmp_path / "chats.json", value))
    assert refusals == []
    chat = chats[0]
    assert (chat.source, chat.key, chat.title) == ("chatbot-ui", "h-1", "Two beds")
    assert spoken(chat) == [
        ("system", "Answer briefly."),
        ("user", "Which bed is larger?"),
        ("assistant", "The northern one."),
    ]
    assert [message.model for message in chat.messages] == [None, None, "gardener-1"]
    assert chat.metadata["source"]["folderId"] == "f-1"
    if len(chats) > 1:
        assert (chats[1].title, spoken(chats[1])) == ("Water", [("user", "When?")])


def test_the_first_version_has_names_for_titles(tmp_path: Path) -> None:
    """Else its chats are named by their first questions."""
    chats, refusals = read_all(write(tmp_path / "chats.json", FIRST))
    assert refusals == []
    assert [(chat.source, chat.key, chat.title) for chat in chats] == [
        ("chatbot-ui", "1", "Two beds"),
        ("chatbot-ui", "2", "Water"),
    ]


def test_a_dump_without_chats_is_not_its(tmp_path: Path) -> None:
    [chats, refusals] = read_all(write(tmp_path / "chats.json", {"conversationHistory": "[broken"}))
    assert (chats, len(refusals)) == ([], 1)
