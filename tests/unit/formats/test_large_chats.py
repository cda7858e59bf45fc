"""A large chat is read message by message, and not held whole."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar, Self

import pytest
from tests.chat_files import read_all, write
from tests.formats.gemini_cli import ABOUT, PROMPT, said

from faceplate.importers.formats import (
    cherry_studio,
    gemini_cli,
    jan,
    langchain,
    librechat,
    llamacpp,
    message_trees,
    pydantic_ai,
    typingmind,
)
from faceplate.importers.formats.description import Format

MESSAGES = 5_000


class Counted(dict[str, Any]):
    """A message that counts how many of its kind are in memory."""

    alive: ClassVar = 0
    most: ClassVar = 0

    def __new__(cls, *fields: Any) -> Self:  # a copy that is read from a file calls no __init__
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)
        return super().__new__(cls, *fields)

    def __del__(self) -> None:
        Counted.alive -= 1


class Stored(list[Any]):
    """A list that makes its messages when they are read, as a list in a file does."""

    def __iter__(self) -> Iterator[Any]:
        return map(Counted, super().__iter__())

    def __reversed__(self) -> Iterator[Any]:
        return map(Counted, super().__reversed__())


def in_libre_chat(number: int) -> dict[str, Any]:
    return {"messageId": f"m{number}", "isCreatedByUser": number % 2 == 0, "text": "Hi"}


def in_tree(number: int) -> dict[str, Any]:
    ancestors = [f"m{number - 1}"] if number else []
    return {"id": f"m{number}", "from": "user", "content": "Hi", "ancestors": ancestors}


def in_session(number: int) -> Any:
    return said(f"m{number}", "user", f"Hi {number} " * 100)  # else a shelf holds them all


def in_log(number: int) -> dict[str, Any]:
    return {**PROMPT, "messageId": number}


def in_thread(number: int) -> dict[str, Any]:
    content = [{"type": "text", "text": {"value": "Hi"}}]
    return {"id": f"m{number}", "object": "thread.message", "role": "user", "content": content}


def in_web_interface(number: int) -> dict[str, Any]:
    place = {"convId": "c", "parent": f"m{number - 1}" if number else None}
    return {"id": f"m{number}", "type": "text", "role": "user", "content": "Hi", **place}


def in_history(number: int) -> dict[str, Any]:
    part = {"part_kind": "user-prompt", "content": f"Hi {number}"}
    return {"kind": "request", "parts": [part]}


def in_export(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"Hi {number}", "uuid": f"m{number}"}


def in_langchain(number: int) -> dict[str, Any]:
    return {"type": "human", "data": {"content": f"Hi {number}"}}


def in_rows(session: int) -> dict[str, Any]:
    return {"session_id": f"s{session}", "message": {"type": "human", "content": "Hi"}}


def in_log_of(session: int) -> dict[str, Any]:
    return {**PROMPT, "sessionId": f"s{session}"}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """The temporary files that were opened."""
    open_file = tempfile.TemporaryFile
    files: list[IO[bytes]] = []

    def keep(**how: Any) -> IO[bytes]:
        files.append(open_file(**how))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", keep)
    return files


@pytest.mark.parametrize(
    ("format_", "make"), [(langchain.FORMAT, in_rows), (gemini_cli.FORMAT, in_log_of)]
)
def test_sessions_of_a_file_have_one_temporary_file(
    format_: Format, make: Any, opened: list[IO[bytes]]
) -> None:
    """Else a file of a thousand sessions is not read: the system limits how many are open."""
    listed = [make(number % 20) for number in range(MESSAGES)]
    chats = [*format_.read({"messages": listed})]
    assert [sum(1 for _ in chat.messages) for chat in chats] == [MESSAGES / 20] * 20
    assert len(opened) == 1


def test_chats_of_a_value_have_one_temporary_file(tmp_path: Path, opened: list[IO[bytes]]) -> None:
    """All of them are kept until the last look, whatever their format is."""
    rows = [in_rows(number % 20) for number in range(MESSAGES)]
    chats, refusals = read_all(write(tmp_path / "rows.json", {"data": rows}))
    assert (sum(len(chat.messages) for chat in chats), refusals) == (MESSAGES, [])
    assert sum(not file.closed for file in opened) < 5


@pytest.mark.parametrize(
    ("format_", "make", "fields"),
    [
        (librechat.FORMAT, in_libre_chat, {}),
        (message_trees.FORMAT, in_tree, {}),
        (gemini_cli.FORMAT, in_session, ABOUT),
        (gemini_cli.FORMAT, in_log, {}),
        (jan.FORMAT, in_thread, {}),
        (llamacpp.FORMAT, in_web_interface, {"conv": {"id": "c"}}),
        (pydantic_ai.FORMAT, in_history, {}),
        (langchain.FORMAT, in_langchain, {}),
        (typingmind.FORMAT, in_export, {"chatID": "c"}),
    ],
)
def test_memory_holds_few_messages_of_a_chat(format_: Format, make: Any, fields: Any) -> None:
    """Else the chat of a year takes the memory of the process."""
    listed = Stored(map(make, range(MESSAGES)))
    Counted.most = 0
    chats = format_.read({**fields, "messages": listed})
    assert sum(1 for chat in chats for _ in chat.messages) == MESSAGES
    assert Counted.most < MESSAGES / 2


def test_memory_holds_few_messages_of_a_topic() -> None:
    """Else an old backup of Cherry Studio takes six times its size."""
    listed = Stored({"id": f"m{number}", "role": "user"} for number in range(MESSAGES))
    Counted.most = 0
    tables = {"topics": [{"id": "t", "messages": listed}]}
    chats = cherry_studio.FORMAT.read({"indexedDB": tables})
    assert sum(1 for chat in chats for _ in chat.messages) == MESSAGES
    assert Counted.most < MESSAGES / 2
