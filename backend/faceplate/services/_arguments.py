"""Checks of arguments that have no column type."""

from collections.abc import Iterable, Iterator
from typing import Any

from faceplate.column_types import Count
from faceplate.errors import InvalidInput


def check_kind(name: str, value: object, *kinds: type[Any]) -> None:
    """Raise InvalidInput unless the argument ``name`` is of one of ``kinds``."""
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInput(name, f"must be a {wanted}, not {type(value).__name__}")


def check_repeatable(name: str, value: object) -> None:
    """Raise InvalidInput unless the argument ``name`` can be iterated over again and again."""
    if not isinstance(value, Iterable):
        raise InvalidInput(name, f"must be iterable, and {type(value).__name__} is not")
    if isinstance(value, Iterator):
        raise InvalidInput(name, "must be iterable more than once, as a list is")


def checked_position(name: str, position: object) -> int:
    """Return a position of a message, 0 for none; beyond any message, one that none has.

    A range of positions needs one after its last. Raises InvalidInput for what is no whole number,
    0 or more.
    """
    if isinstance(position, bool) or not isinstance(position, int) or position < 0:
        raise InvalidInput(name, "must be a whole number, 0 or more")
    return min(position, Count.MAXIMUM - 1)


def optional_position(name: str, position: object) -> int | None:
    """Return a position as `checked_position` does, or None."""
    return None if position is None else checked_position(name, position)


def checked_after(after: object, *, branch: object) -> int | None:
    """Return the position that a new message follows, or None for the end of the path."""
    check_kind("branch", branch, bool)
    if after is not None:
        return checked_position("after", after)
    if branch:
        raise InvalidInput("after", "is required with branch: where the branch begins")
    return None
