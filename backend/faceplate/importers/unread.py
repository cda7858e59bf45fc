"""The text that a reader has left in the fields that it does not know.

Every format gains fields. What a reader does not take is kept beside its chat or message; where it
has text, the import says so, since it may be what somebody wrote.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
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
        *("sourcetext", "targettext", "arguments", "tool_input", "toolinput"),
        *("instruction", "instructions", "additional_instructions", "preprompt", "promptprefix"),
        *("system", "system_prompt", "systemprompt", "system_message", "systemmessage"),
        *("system_instruction", "systeminstruction", "system_role", "systemrole"),
    )
)
_CONTAINER_KEYS: Final = frozenset(
    (
        *("messages", "message", "history", "fragments", "response", "responses"),
        *("tool_calls", "toolcalls", "function_call", "functioncall", "replies", "children"),
        *("feedback", "annotations"),
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
    chars = 0

    def count(text: str) -> None:
        nonlocal chars
        if _WORD.search(text):
            chars += len(text)

    for key, value in fields.items():
        if value and isinstance(value, _HOLDERS) and key not in known:
            chars = 0
            each_text({key: value}, known, count)
            if chars:
                yield key if _PLAIN_KEY.fullmatch(key) else "a field", chars


def count_asides(fields: JsonObject | None, known: Collection[str]) -> Iterator[str]:
    """Yield the key of each field that has text which `find_text` does not report.

    It is text if it has some words.
    """
    for key, value in (fields or {}).items():
        if not value or not isinstance(value, _HOLDERS):
            continue
        has_text = _has_prose(value) or (key in known and any(find_text({key: value})))
        if not has_text or key.lower().endswith(_NAMES):
            continue
        if key not in known and isinstance(value, dict):
            yield from count_asides(value, known)
        elif key in known or not any(find_text({key: value}, known)):
            yield key if _PLAIN_KEY.fullmatch(key) else "other fields"


def _has_prose(value: object) -> bool:
    """Return whether a value has a text of some words."""
    if isinstance(value, str):
        return _is_prose(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_has_prose(item) for item in items if item and isinstance(item, _HOLDERS))


def _is_prose(text: str) -> bool:
    if not text.isascii():
        return sum(not sign.isascii() for sign in text[:100]) >= _MIN_PROSE_SIGNS
    if text.count(" ") + 1 < _MIN_PROSE_WORDS:
        return False
    words = text.split(maxsplit=_MAX_LOOKED_AT)
    return sum(word.strip(".,:;!?()'\"").isalpha() for word in words) >= _MIN_PROSE_WORDS


def count_text(part: object, known: Collection[str]) -> int:
    """Return how many characters of text a part of a message has, whatever its keys are."""
    said = texts(part, known, is_text=True)
    return sum(len(text) for text in said if _WORD.search(text))


def texts(value: object, known: Collection[str] = (), *, is_text: bool = False) -> list[str]:
    """Return the texts in a value, as `find_text` counts them, and none that is empty."""
    found: list[str] = []
    each_text(value, known, found.append, is_text=is_text)
    return found


def each_text(
    value: object, known: Collection[str], take: Callable[[str], None], *, is_text: bool = False
) -> None:
    """Call ``take`` with each text in a value, which is not empty, as `texts` returns them."""
    if isinstance(value, dict):
        for key, item in value.items():
            if item and isinstance(item, _HOLDERS) and key not in known:
                name = key.lower()
                is_container = name in _CONTAINER_KEYS
                is_said = is_text or name in _TEXT_KEYS or name.endswith(REPEATED)
                if not isinstance(item, str):
                    if is_container and isinstance(item, list):
                        _each_direct(item, take)
                    each_text(item, known, take, is_text=is_said and not is_container)
                elif is_container or (is_said and name not in _LABELS):
                    take(item)
    elif isinstance(value, list):
        for item in value:
            each_text(item, known, take, is_text=is_text)
    elif is_text and value and isinstance(value, str):
        take(value)


def _each_direct(listed: Sequence[object], take: Callable[[str], None]) -> None:
    """Take the texts in the list of a container; a word in a list of words alone is a name."""
    strings = [item for item in listed if isinstance(item, str)]
    has_objects = bool(strings) and any(isinstance(item, dict) for item in listed)
    for text in strings:
        if has_objects or " " in text:
            take(text)
