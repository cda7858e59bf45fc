"""The ranges of a conversation's messages: which are a path, and which hang on a message.

A range begins with a message that has a parent_position, or with the first one; each other message
in it follows the one before it. A range may hold positions of removed messages.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from faceplate.column_types import Count


class Range(NamedTuple):
    """Positions from ``first`` to ``last``, both included."""

    first: int
    last: int

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and self.first <= position <= self.last


class Ranges:
    """All ranges of a conversation, by the positions of messages with a parent, in order."""

    def __init__(self, positions: Sequence[int] | None, parents: Sequence[int] | None) -> None:
        self._firsts = [1, *(positions or ())]
        self._parents = [1, *(parents or ())]  # the first message follows nothing

    def parent_of(self, position: int) -> int:
        """Return the position that the message at ``position`` follows; 0 if it follows nothing.

        Within a range that is the position before, whose message may have been removed.
        """
        index = self._index(position)
        first, parent = self._firsts[index], self._parents[index]
        if position > first:
            return position - 1
        return 0 if parent == first else parent

    def first_of(self, position: int) -> int:
        """Return the first position of the range that ``position`` is in."""
        return self._firsts[self._index(position)]

    def begins_branch(self, position: int) -> bool:
        """Return whether the message at ``position`` has a parent_position."""
        return position in self._firsts[1:]

    def has_branch(self, position: int) -> bool:
        """Return whether a later message names the one at ``position`` as its parent."""
        later = zip(self._firsts[1:], self._parents[1:], strict=True)
        return any(parent == position < first for first, parent in later)

    def path(self, end: int) -> list[Range]:
        """Return the ranges of the path that ends at the message ``end``, in order."""
        found: list[Range] = []
        while end > 0:
            first = self.first_of(end)
            found.append(Range(first, end))
            end = self.parent_of(first)
        found.reverse()
        return found

    def subtree(self, position: int) -> list[Range]:
        """Return the ranges of a message and of everything that hangs on it, in order."""
        index = self._index(position)
        found = [Range(position, self._last(index))]
        firsts = [position]
        for number in range(index + 1, len(self._firsts)):
            first, parent = self._firsts[number], self._parents[number]
            above = bisect_right(firsts, parent) - 1
            if parent != first and above >= 0 and parent in found[above]:
                found.append(Range(first, self._last(number)))
                firsts.append(first)
        return found

    def _index(self, position: int) -> int:
        return bisect_right(self._firsts, position) - 1

    def _last(self, index: int) -> int:
        following = self._firsts[index + 1 : index + 2]
        return following[0] - 1 if following else Count.MAXIMUM


def multirange(ranges: Sequence[Range]) -> str:
    """Return the ranges as PostgreSQL writes an int4multirange.

    The last position that an integer can hold has no successor, so that it has no upper bound.
    """
    ends = (f"{last}]" if last < Count.MAXIMUM else ")" for _, last in ranges)
    items = (f"[{range_.first},{end}" for range_, end in zip(ranges, ends, strict=True))
    return "{" + ",".join(items) + "}"
