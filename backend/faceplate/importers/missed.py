"""The text of a message in which its reader has found nothing to say.

A program that renames the field of its text would otherwise have each message imported empty. The
keys of text are many, so this knows the words that they are made of.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.source import Aside, Attachment, Message, Piece
from faceplate.importers.unread import find_text

_KEY_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_TEXT: Final = frozenset(
    (
        *("text", "texts", "content", "contents", "message", "messages", "msg", "body", "say"),
        *("said", "value", "output", "answer", "response", "reply", "question", "query"),
        *("prompt", "input", "parts", "markdown", "html", "transcript", "completion"),
    )
)
_NOTES: Final = frozenset(
    (
        *("id", "ids", "uuid", "type", "kind", "status", "state", "role", "name", "source"),
        *("format", "time", "at", "date", "timestamp", "count", "tokens", "model", "models", "url"),
        *("version", "slug", "key", "language", "mode", "length", "size", "reason", "index"),
        *("sender", "author", "parent", "children", "by", "device", "error", "details", "options"),
        *("config", "settings", "metadata", "info", "hash", "signature", "feedback", "usage"),
    )
)
"""How the keys end of what is no text, although they may begin as one of text."""
_FILE_TEXT: Final = frozenset(("text", "content", "contents"))
"""The same of a file, which may also have a prompt that it was made by."""
_WORD: Final = re.compile(r"\w")


def find_missed(message: Message, known: Collection[str]) -> JsonObject | None:
    """Return the fields of a message that have text, by the words in their keys, or None.

    Its asides were understood, but for notes, and so was each ``known`` key. Text in other fields
    may be reported already: then there is nothing more to say.
    """
    if not isinstance(message.original, dict) or any(find_text(message.rest, known)):
        return None
    thought = {text for piece in message.pieces for text in _understood(piece)}
    return {
        key: value
        for key, value in message.original.items()
        if any(text not in thought for text in _texts(key, value, known, certainty=0))
    } or None


def count_missed(file: Attachment, known: Collection[str]) -> int:
    """Return how many characters of text a file has, of which its reader has found none.

    A text has spaces: what has none may be the file itself, as base64.
    """
    if file.text or not isinstance(file.part, dict):
        return 0
    texts = _texts("", file.part, known, certainty=0, words=_FILE_TEXT)
    return sum(len(text) for text in texts if " " in text and not text.startswith("data:"))


def _understood(piece: Piece) -> Iterator[str]:
    if isinstance(piece, Aside) and not piece.kind.startswith("notes"):
        yield from _strings(piece.value)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _texts(
    key: str,
    value: object,
    known: Collection[str],
    *,
    certainty: int,
    words: Collection[str] = _TEXT,
) -> Iterator[str]:
    """Yield the texts in a value; ``certainty`` is 2 in one of a text, 1 if it may be one.

    A key that goes on behind the word of a text, such as ``responseStyle``, may be a note's: then
    a value is a text if it has several words.
    """
    parts = [word.lower() for word in _KEY_WORD.findall(key)]
    if key in known or (parts and parts[-1] in _NOTES):
        return
    if any(part in words for part in parts):
        certainty = max(certainty, 2 if parts[-1] in words else 1)
    if isinstance(value, str):
        may_be_note = certainty == 1 and value.isascii() and " " not in value.strip()
        if certainty and not may_be_note and _WORD.search(value):
            yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(name, item, known, certainty=certainty, words=words)
    elif isinstance(value, list):
        for item in value:
            yield from _texts("", item, known, certainty=certainty, words=words)
