"""The text that a reader has left in the fields that it does not know.

Every format gains fields. What a reader does not take is kept beside its chat or message; where it
has text, the import says so, since it may be what somebody wrote.
"""

import re
from collections.abc import Collection, Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import REPEATED

_TEXT_KEYS: Final = frozenset(
    (
        *("text", "content", "contents", "parts", "value", "say", "said", "body", "output"),
        *("output_text", "answer", "question", "prompt", "completion", "reasoning"),
        *("reasoning_content", "thinking", "thought", "thoughts", "transcript", "markdown"),
        *("html", "code", "result", "results", "extracted_content", "blocks", "refusal"),
        *("note", "notes", "comment", "comments", "alternative", "alternatives"),
        *("instruction", "instructions", "additional_instructions", "preprompt", "promptprefix"),
        *("system", "system_prompt", "systemprompt", "system_message", "systemmessage"),
        *("system_instruction", "systeminstruction", "system_role", "systemrole"),
    )
)
_CONTAINER_KEYS: Final = frozenset(
    (
        *("messages", "message", "history", "fragments", "response", "responses"),
        *("tool_calls", "function_call", "replies", "children", "feedback", "annotations"),
    )
)
"""The keys of text, or of objects whose own keys say what is text in them."""
_LABELS: Final = frozenset(
    (
        *("type", "kind", "id", "uuid", "name", "role", "content_type", "status", "state"),
        *("language", "phase", "format"),
    )
)
"""The keys of words that name a thing, and are nobody's text."""
_NAMES: Final = ("name", "title")
"""How the keys of other such words end."""
_HOLDERS: Final = (str, list, dict)
_WORD: Final = re.compile(r"\w")
_MIN_PROSE_WORDS: Final = 3
_MIN_PROSE_SIGNS: Final = 5  # of a script that may have no spaces
_MAX_LOOKED_AT: Final = 20
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}(?:(?: \d+)? \(repeated\))?")


def find_text(fields: object, known: Collection[str] = ()) -> Iterator[tuple[str, int]]:
    """Yield the key of each field that has text, and how many characters.

    A value is text if a key on the way to it has the name of a text, such as ``content``; what
    stands under a ``known`` key does not count. A key that may be content itself is not quoted.
    """
    if not isinstance(fields, dict):
        return
    for key, value in fields.items():
        if value:
            chars = sum(len(text) for text in texts({key: value}, known) if _WORD.search(text))
            if chars:
                yield key if _PLAIN_KEY.fullmatch(key) else "a field", chars


def count_asides(fields: JsonObject | None, known: Collection[str]) -> Iterator[str]:
    """Yield the key of each field that has text which `find_text` does not report.

    It is text if it has some words.
    """
    for key, value in (fields or {}).items():
        if not value or not isinstance(value, _HOLDERS) or key.lower().endswith(_NAMES):
            continue
        if _has_prose(value) or (key in known and any(find_text({key: value}))):
            if key not in known and isinstance(value, dict):
                yield from count_asides(value, known)
            elif key in known or not any(find_text({key: value}, known)):
                yield key if _PLAIN_KEY.fullmatch(key) else "other fields"


def _has_prose(value: object) -> bool:
    """Return whether a value has a text of some words."""
    if isinstance(value, str):
        return _is_prose(value)
    if isinstance(value, list):
        return any(map(_has_prose, value))
    return isinstance(value, dict) and any(map(_has_prose, value.values()))


def _is_prose(text: str) -> bool:
    if not text.isascii():
        return sum(not sign.isascii() for sign in text[:100]) >= _MIN_PROSE_SIGNS
    words = text.split(maxsplit=_MAX_LOOKED_AT) if text.count(" ") + 1 >= _MIN_PROSE_WORDS else []
    return sum(word.strip(".,:;!?()'\"").isalpha() for word in words) >= _MIN_PROSE_WORDS


def count_text(part: object, known: Collection[str]) -> int:
    """Return how many characters of text a part of a message has, whatever its keys are."""
    said = texts(part, known, is_text=True)
    return sum(len(text) for text in said if _WORD.search(text))


def texts(value: object, known: Collection[str] = (), *, is_text: bool = False) -> list[str]:
    """Return the texts in a value, as `find_text` counts them, and none that is empty."""
    found: list[str] = []
    _collect(value, known, found, is_text=is_text)
    return found


def _collect(value: object, known: Collection[str], found: list[str], *, is_text: bool) -> None:
    """Add the texts in a value to ``found``."""
    if isinstance(value, str):
        if is_text and value:
            found.append(value)
    elif isinstance(value, list):
        for item in value:
            _collect(item, known, found, is_text=is_text)
    elif isinstance(value, dict):
        for key, item in value.items():
            if item and isinstance(item, _HOLDERS) and key not in known:
                _collect_field(key.lower(), item, known, found, is_text=is_text)


def _collect_field(
    name: str, item: object, known: Collection[str], found: list[str], *, is_text: bool
) -> None:
    if name in _CONTAINER_KEYS:
        _collect_direct(item, found)
        _collect(item, known, found, is_text=False)
        return
    is_said = is_text or name in _TEXT_KEYS or name.endswith(REPEATED)
    if isinstance(item, str) and (name in _LABELS or not is_said):
        return
    _collect(item, known, found, is_text=is_said)


def _collect_direct(value: object, found: list[str]) -> None:
    """Add the text under the key of a container; a word in a list of words alone is a name."""
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, list):
        has_objects = any(isinstance(item, dict) for item in value)
        found.extend(
            item for item in value if isinstance(item, str) and (has_objects or " " in item)
        )
