"""The text that a reader has left in the fields that it does not know.

Every format gains fields. What a reader does not take is kept beside its chat or message; where it
has text, the import says so, since it may be what somebody wrote.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

_TEXT_KEYS: Final = frozenset(
    (
        *("text", "content", "contents", "parts", "value", "say", "said", "message", "messages"),
        *("body", "output", "output_text", "response", "responses", "answer", "question", "prompt"),
        *("completion", "reasoning", "reasoning_content", "thinking", "thought", "thoughts"),
        *("transcript", "markdown", "html", "code", "result", "results", "extracted_content"),
        *("fragments", "history", "blocks", "refusal", "tool_calls"),
        *("function_call"),
    )
)
_LABELS: Final = frozenset(
    ("type", "kind", "id", "uuid", "role", "content_type", "status", "language", "phase", "format")
)
"""The keys of words that name a thing, and are nobody's text."""
_WORD: Final = re.compile(r"\w")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def find_text(fields: object, known: Collection[str] = ()) -> Iterator[tuple[str, int]]:
    """Yield the key of each field that has text, and how many characters.

    A value is text if a key on the way to it has the name of a text, such as ``content``; what
    stands under a ``known`` key does not count. A key that may be content itself is not quoted.
    """
    if not isinstance(fields, dict):
        return
    for key, value in fields.items():
        chars = _count(value, key.lower() in _TEXT_KEYS, known) if key not in known else 0
        if chars:
            yield key if _PLAIN_KEY.fullmatch(key) else "a field", chars


def _count(value: object, is_text: bool, known: Collection[str]) -> int:  # noqa: FBT001 - an inner step
    if isinstance(value, str):
        return len(value) if is_text and _WORD.search(value) else 0
    if isinstance(value, list):
        return sum(_count(item, is_text, known) for item in value)
    if isinstance(value, dict):
        return sum(
            _count(item, is_text or key.lower() in _TEXT_KEYS, known)
            for key, item in value.items()
            if key not in known and key not in _LABELS
        )
    return 0
