"""The findings of the checks: a sentence each, and the affected layer."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

OWNER_CRITERION = "owner criterion"
COMPOSITE_KEYS = "composite keys"
ROW_LEVEL_SECURITY = "row-level security"


class Flaw(NamedTuple):
    """A difference between the database and what isolation needs."""

    text: str
    """The object's name, what is wrong with it, and what to do."""
    layer: str | None = ROW_LEVEL_SECURITY
    """The layer that does not hold because of a gap."""
    is_gap: bool = True
    """Whether a promise does not hold because of it. If not, it is a warning."""
    depends_on_revision: bool = False
    """Whether a revision that this version does not know may have intended it."""


def warning(text: str) -> Flaw:
    """Return a flaw that breaks no promise."""
    return Flaw(text, layer=None, is_gap=False)


def as_warnings(flaws: Iterable[Flaw]) -> Iterator[Flaw]:
    """Yield ``flaws``; a flaw that a newer revision may have intended becomes a warning."""
    for flaw in flaws:
        yield flaw._replace(is_gap=False) if flaw.depends_on_revision else flaw
