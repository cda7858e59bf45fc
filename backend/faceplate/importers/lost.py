"""The last look at a chat: whether every text of its source is stored somewhere.

Each reader reports what it does not understand. This looks for what a reader has dropped without
noticing, whatever its format is: so a mistake in a reader costs an exit code, and not a message.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from faceplate.importers.chats import Chat
from faceplate.importers.fitting import LEFT_OUT, clean_text
from faceplate.importers.formats import Format
from faceplate.importers.shelf import Shelf
from faceplate.importers.unread import each_text, texts
from faceplate.services.messages import NewMessage

_WORD: Final = re.compile(r"\w+")


def count_lost(value: object, chats: Sequence[Chat], format_: Format) -> int:
    """Return how many characters of text in a value are in none of the chats.

    It compares whole texts, then lines, and at last the words of a line that was changed; their
    hashes, as a chat may be larger than what fits in memory. Text below a key that the format
    knows, or below a key that does not name a text, does not count, nor do the format's marks.
    """
    known = frozenset(format_.known)
    waiting: set[int] = set()
    each_text(value, known, lambda text: waiting.add(hash(text)))
    contents = (message.content for chat in chats for message in chat.messages)
    waiting.difference_update(map(hash, contents))
    for part in (part for chat in chats for part in _parts(chat)):
        if not waiting:
            return 0
        _remove_strings(part, waiting)
    if not waiting or any(map(_is_cut, chats)):
        return 0
    missing = Shelf[str]()

    def take(text: str) -> None:
        if hash(text) in waiting:
            missing.append(text)

    each_text(value, known, take)
    return _count_lost_lines(missing, chats, format_)


def _is_cut(chat: Chat) -> bool:
    """Return whether the report says already that metadata of a chat were left out."""
    return LEFT_OUT in chat.metadata or any(
        LEFT_OUT in (message.metadata or {}) or f'"{LEFT_OUT}": [' in (message.body or "")
        for message in chat.messages
    )


def _count_lost_lines(said: Iterable[str], chats: Sequence[Chat], format_: Format) -> int:
    kept = {hash(line) for chat in chats for line in _lines_of(chat)}
    lines = (
        line
        for marked in said
        for text in format_.unmark(marked)
        for line in _inside(text, format_.known)
    )
    lost = Counter(word for line in lines if hash(line) not in kept for word in _WORD.findall(line))
    for line in (line for chat in chats for line in _lines_of(chat)):
        if not lost:
            return 0
        for word in _WORD.findall(line):
            lost.pop(word, None)
    return sum(len(word) * count for word, count in lost.items())


def _parts(chat: Chat) -> Iterator[object]:
    """Yield what a chat has beside its messages, and what these have."""
    yield from (chat.title, chat.metadata)
    for message in chat.messages:
        yield message.content
        yield from _beside_content(message)


def _beside_content(message: NewMessage) -> Iterable[object]:
    return message.metadata, message.tool_calls, message.body, message.model


def _remove_strings(value: object, waiting: set[int]) -> None:
    """Remove the hashes of a value's strings, and of those in JSON in them, from ``waiting``."""
    if isinstance(value, str):
        waiting.discard(hash(value))
        if inner := _parsed(value):
            _remove_strings(inner, waiting)
    elif isinstance(value, dict):
        for item in value.values():
            if item:
                _remove_strings(item, waiting)
    elif isinstance(value, list):
        for item in value:
            if item:
                _remove_strings(item, waiting)


def _lines_of(chat: Chat) -> Iterator[str]:
    beside = (part for message in chat.messages for part in _beside_content(message))
    for value in chain((chat.title, chat.metadata), beside):
        yield from _strings(value)
    for content in _contents(chat):
        for line in _lines(content):
            yield line
            yield from _strings(_parsed(line))  # of a call that is text


def _contents(chat: Chat) -> Iterator[str]:
    """Yield the contents of a chat; a line that goes on in the next piece of a content is whole."""
    waiting = ""
    for message in chat.messages:
        if "piece" in (message.metadata or {}):
            before, _, waiting = (waiting + message.content).rpartition("\n")
            yield before
        else:
            yield waiting
            waiting = message.content
    yield waiting


def _strings(value: object) -> Iterator[str]:
    """Yield the lines of all strings in a value, also of those in the JSON in a string."""
    if isinstance(value, str):
        yield from _lines(value)
        inner = _parsed(value)
        if inner is not None:
            yield from _strings(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)


def _inside(text: str, known: Collection[str]) -> Iterable[str]:
    """Return the lines of a text, or of the texts in it if it is JSON."""
    inner = _parsed(text)
    if inner is None:
        return _lines(text)
    return (line for each in texts(inner, known, is_text=True) for line in _lines(each))


def _parsed(text: str) -> object:
    """Return the object or list that a text is as JSON, or None."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _lines(text: str) -> Iterable[str]:
    """Return the lines of a text as it is stored, without the space around them."""
    clean, _ = clean_text(text)
    return (line.strip() for line in clean.splitlines()) if "\n" in clean else (clean.strip(),)
