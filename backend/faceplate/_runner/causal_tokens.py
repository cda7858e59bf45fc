"""Causal tokens: a place in the log that a client keeps between its requests."""

from uuid import UUID

import sqlalchemy as sa

from faceplate import _sealing
from faceplate._replicas.position import Position
from faceplate._replicas.primary import POSITION
from faceplate.config import Settings
from faceplate.errors import InvalidInput
from faceplate.scope import Scope
from faceplate.statement import Statement

_PURPOSE = "causal token"
_NOW = Statement(
    Position, sa.text(f"SELECT {POSITION}").columns(timeline=sa.Integer, lsn=sa.BigInteger)
)


async def issue(scope: Scope) -> tuple[str, Position]:
    """Return a token of this moment, and its place."""
    position = await scope.one(_NOW)
    key, text = scope.settings.cursor_key, f"{position.timeline} {position.lsn}"
    return _sealing.seal(key, scope.user_id, _PURPOSE, text), position


def read(settings: Settings, user_id: UUID, token: str) -> Position:
    """Return the place of a token. Raises InvalidInput unless it is one for this user."""
    text = _sealing.unseal(settings.cursor_key, user_id, _PURPOSE, token)
    if text is None:
        raise InvalidInput("token", "is not a causal token of this user")
    timeline, lsn = map(int, text.split())
    return Position(timeline, lsn)
