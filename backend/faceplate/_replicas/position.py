"""Positions in the write-ahead log, by which servers and reads are compared."""

from typing import Final, NamedTuple


class Position(NamedTuple):
    """A place in the write-ahead log. A server at the later of two places has all of the earlier.

    That holds where both are of one history: see `faceplate._replicas.timelines`.
    """

    timeline: int
    """The timeline; each promotion of a standby begins another one."""
    lsn: int
    """The log sequence number, in bytes."""

    def __str__(self) -> str:
        """Return it as PostgreSQL prints it, behind the timeline."""
        return f"{self.timeline}:{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"


START: Final = Position(0, 0)
"""The place that every server has reached."""
