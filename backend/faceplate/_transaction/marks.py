"""The marks that decorators put on a unit: see `faceplate.scope`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from faceplate._driver.preamble import READ_COMMITTED

_NAME = "_faceplate_marks"


class Marks(NamedTuple):
    """What a unit says of itself."""

    replayable: bool = False
    one_statement: bool = False
    shareable: bool = False
    isolation: str = READ_COMMITTED
    """The isolation level of its transaction, as written in BEGIN."""


_NONE = Marks()


def marks_of(unit: Callable[..., Any]) -> Marks:
    """Return the marks of a unit."""
    found: Marks = getattr(unit, _NAME, _NONE)
    return found


def mark(unit: Callable[..., Any], **changed: Any) -> None:
    """Change some of the marks of a unit."""
    unit.__dict__[_NAME] = marks_of(unit)._replace(**changed)
