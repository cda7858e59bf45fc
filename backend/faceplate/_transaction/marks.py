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
    read_only: bool = False
    isolation: str = READ_COMMITTED
    """The isolation level of its transaction, as written in BEGIN."""

    @property
    def may_autocommit(self) -> bool:
        """Whether its statement may be a transaction by itself. READ ONLY needs a BEGIN."""
        return self.one_statement and not self.read_only and self.isolation == READ_COMMITTED

    @property
    def needs_no_outcome(self) -> bool:
        """Whether nobody asks what became of its COMMIT: it runs again, or has written nothing."""
        return self.replayable or self.read_only


_NONE = Marks()


def marks_of(unit: Callable[..., Any]) -> Marks:
    """Return the marks of a unit."""
    found: Marks = getattr(unit, _NAME, _NONE)
    return found


def mark(unit: Callable[..., Any], **changed: Any) -> None:
    """Change some of the marks of a unit."""
    unit.__dict__[_NAME] = marks_of(unit)._replace(**changed)
