"""Causal tokens: a place in the log that a client keeps between its requests."""

from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from faceplate import _sealing
from faceplate._replicas.position import Position
from faceplate._replicas.primary import POSITION, SYSTEM
from faceplate.config import Settings
from faceplate.errors import InvalidInput
from faceplate.scope import Scope
from faceplate.statement import Statement

_PURPOSE = "causal token"


class Moment(NamedTuple):
    """What a token holds: a place in the log of one cluster."""

    system: int
    timeline: int
    lsn: int

    @property
    def position(self) -> Position:
        """The place."""
        return Position(self.timeline, self.lsn)


_NOW = Statement(
    Moment,
    sa.text(f"SELECT {SYSTEM} AS system, {POSITION}").columns(
        system=sa.BigInteger, timeline=sa.Integer, lsn=sa.BigInteger
    ),
)


async def issue(scope: Scope) -> tuple[str, Moment]:
    """Return a token of this moment, and what it holds."""
    now = await scope.one(_NOW)
    text = " ".join(map(str, now))
    return _sealing.seal(scope.settings.cursor_key, scope.user_id, _PURPOSE, text), now


def read(settings: Settings, user_id: UUID, token: str) -> Moment:
    """Return what a token holds. Raises InvalidInput unless it is one for this user."""
    text = _sealing.unseal(settings.cursor_key, user_id, _PURPOSE, token)
    if text is None:
        raise InvalidInput("token", "is not a causal token of this user")
    return Moment(*map(int, text.split()))
