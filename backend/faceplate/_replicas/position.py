"""Positions in the write-ahead log, by which servers and reads are compared."""

from typing import Final, NamedTuple


class Position(NamedTuple):
    """A place in the write-ahead log. A server at the later of two places has all of the earlier.

    That holds where both are of one history: see `faceplate._replicas.primary`.
    """

    timeline: int
    """The timeline; each promotion of a standby begins another one."""
    lsn: int
    """The log sequence number, in bytes."""


START: Final = Position(0, 0)
"""The place that every server has reached."""
