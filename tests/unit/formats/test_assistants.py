"""Threads of OpenAI's Assistants, in any order and with or without the thread around."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.assistants import EXAMPLE

from faceplate.importers import Chat

SPOKEN = [("user", "One?"), ("assistant", "Two."), ("user", "Three?"), ("assistant", "Four.")]


def said(number: int, **fields: Any) -> dict[str, Any]:
    role, text = SPOKEN[number]
    return {
        "id": f"msg_{number}",
        "object": "thread.message",
        "created_at": 1_700_000_000 + number,
        "thread_id": "thread_1",
        "role": role,
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        **fields,
    }


MESSAGES = [said(number) for number in range(4)]


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "thread.json", value))
    assert refusals == []
    assert chat.source == "assistants"
    return chat


def test_all_of_a_thread_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read_one(tmp_path, EXAMPLE)
    assert (chat.key, chat.title) == ("thread_1", "A bridge")
    assert spoken(chat) == [
        ("user", "What does it bear?"),
        ("assistant", ""),
        ("tool", "four tons a side"),
        ("assistant", ""),
        ("tool", "nine"),
        ("assistant", "It bears nine tons [1]."),
    ]
    files = json.loads(path(chat)[0].body or "")["attachments"]
    assert [(file["kind"], file["reference"]) for file in files] == [
        ("image", "file-2"),
        ("file", "file-1"),
    ]
    moments = [message.created_at for message in path(chat) if message.created_at]
    assert [moment.timestamp() - 1_710_000_000 for moment in moments] == [1, 5, 5, 5, 5, 9]
    assert [message.output_tokens for message in path(chat)] == [None, 12, None, None, None, 8]
    assert path(chat)[-1].model == "gpt-4o"
    kept = (path(chat)[-1].metadata or {})["asides"]["notes of texts"]
    assert kept[0]["annotations"][0]["file_citation"] == {"file_id": "file-1"}


@pytest.mark.parametrize(
    "value",
    [
        MESSAGES,
        MESSAGES[::-1],
        {"object": "list", "data": MESSAGES[::-1], "first_id": "msg_3", "has_more": False},
        {"id": "thread_1", "object": "thread", "messages": MESSAGES},
        {"thread": {"id": "thread_1", "object": "thread"}, "messages": {"data": MESSAGES[::-1]}},
        {"threads": [{"id": "thread_1", "messages": MESSAGES[::-1]}]},
        [{**message, "created_at": 1_700_000_000} for message in MESSAGES[::-1]],
    ],
)
def test_messages_come_in_every_wrapper_and_order(tmp_path: Path, value: object) -> None:
    chat = read_one(tmp_path, value)
    assert (chat.key, spoken(chat)) == ("thread_1", SPOKEN)


def test_the_messages_of_several_threads_are_told_apart(tmp_path: Path) -> None:
    mixed = [{**each, "thread_id": id_} for each in MESSAGES for id_ in ("thread_a", "thread_b")]
    for value in (mixed, {"object": "list", "data": mixed}):
        chats, refusals = read_all(write(tmp_path / "threads.json", value))
        assert [(chat.key, spoken(chat)) for chat in chats] == [
            ("thread_a", SPOKEN),
            ("thread_b", SPOKEN),
        ]
        assert refusals == []


def test_a_message_of_only_a_file_is_a_message(tmp_path: Path) -> None:
    file = said(0, content=[], file_ids=["file-9"])
    chat = read_one(tmp_path, [file, MESSAGES[1]])
    assert spoken(chat)[0] == ("user", "[file]")


def test_an_unfinished_answer_is_marked(tmp_path: Path) -> None:
    chat = read_one(tmp_path, [MESSAGES[0], said(1, status="incomplete")])
    assert (path(chat)[1].metadata or {})["status"] == "interrupted"
