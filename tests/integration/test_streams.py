"""Streams of different statements, one after the other on a connection."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from uuid6 import uuid7

from faceplate import Database, Scope, Statement, User


async def test_a_stream_has_the_types_of_its_own_columns(db: Database, user: User) -> None:
    """Else the rows of one stream are read as those of another that was there before."""

    async def stream(scope: Scope, value: Any) -> list[Any]:
        # A statement that is made anew may lie in memory where the one before it lay.
        statement = Statement(type(value), sa.select(sa.literal(value)))
        return [row async for row in scope.stream(statement)]

    for value in [1, "one", 2.5, True, b"\xa2"] * 30:
        assert await db.run(user.id, stream, value) == [value]


@pytest.mark.parametrize("value", [UUID(int=uuid7().int), b"\xa2", timedelta(1), Decimal("1.5")])
async def test_a_stream_has_arrays_of_any_type(db: Database, user: User, value: Any) -> None:
    """Else the export of a user whose rows have an array of ids fails."""

    async def stream(scope: Scope) -> list[Any]:
        values = sa.literal([value, value], ARRAY(sa.literal(value).type))
        return [row async for row in scope.stream(Statement(list, sa.select(values)))]

    assert await db.run(user.id, stream) == [[value, value]]
