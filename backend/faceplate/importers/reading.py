"""The common part of the readers: the loop over values, and fields."""

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Chat, Place, Refusal, Unreadable
from faceplate.importers.fitting import clean_text
from faceplate.importers.json_values import LIST_KEYS, read_values
from faceplate.importers.trees import Node
from faceplate.importers.turns import to_seconds

_MAX_MODEL_CHARS: Final = 255

Reader = Callable[[Place, JsonObject], Iterable[Chat | Refusal]]
"""Returns the chats of the value at this place; may raise Unreadable."""


def read_each(
    reader: Reader,
    path: Path,
    on_progress: Callable[[int], None] | None,
    *,
    list_keys: tuple[str, ...] = LIST_KEYS,
) -> Generator[Chat | Refusal, None, None]:
    """Yield the chats that ``reader`` returns for each value, or a Refusal.

    One value is in memory at a time. ``on_progress`` is called with the number of bytes read.
    Raises OSError if the file cannot be read.
    """
    for item in read_values(path, on_progress, list_keys=list_keys):
        if isinstance(item, Refusal):
            yield item
        elif not isinstance(item.value, dict):
            yield Refusal(item.place, "not an object")
        else:
            yield from _read_one(reader, item.place, item.value)


def make_node(parent: object, children: object, moment: object) -> Node:
    """Return a node of a tree from fields of a source, which may have any type."""
    return Node(
        parent if isinstance(parent, str) else None,
        [child for child in children if isinstance(child, str)]
        if isinstance(children, list)
        else [],
        to_seconds(moment),
    )


def model_name(value: object) -> str | None:
    """Return the name of a model as its column takes it, or None."""
    name = clean_text(value)[0] if isinstance(value, str) else ""
    return name if name.strip() and len(name) <= _MAX_MODEL_CHARS else None


def first_text(*values: object) -> str:
    """Return the first value that is text and not empty, or empty text."""
    return next((value for value in values if isinstance(value, str) and value), "")


def _read_one(reader: Reader, place: Place, value: JsonObject) -> Iterator[Chat | Refusal]:
    try:
        yield from reader(place, value)
    except Unreadable as error:
        yield Refusal(place, str(error))
    except RecursionError:
        yield Refusal(place, "nested too deeply")
