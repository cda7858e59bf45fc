"""What an examination of the database finds: one sentence each, and the layer that falls by it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

OWNER_CRITERION = "owner criterion"
COMPOSITE_KEYS = "composite keys"
ROW_LEVEL_SECURITY = "row-level security"


class Flaw(NamedTuple):
    text: str
    """What is, the object by its name, and what to do."""
    layer: str | None = ROW_LEVEL_SECURITY
    """The layer that does not hold because of it, if it is a gap."""
    is_gap: bool = True
    """Whether a promise falls by it. If not, it is a warning."""
    depends_on_revision: bool = False
    """Whether a newer revision than this version knows may have meant it so."""


def warning(text: str) -> Flaw:
    return Flaw(text, layer=None, is_gap=False)


def as_warnings(flaws: Iterable[Flaw]) -> Iterator[Flaw]:
    """Yield the same, with what a newer revision may have meant as warnings."""
    for flaw in flaws:
        yield flaw._replace(is_gap=False) if flaw.depends_on_revision else flaw
