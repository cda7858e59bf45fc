"""Streams of different statements, one after the other on a connection."""

from typing import Any

import sqlalchemy as sa

from faceplate import Database, Scope, Statement, User


async def test_a_stream_has_the_types_of_its_own_columns(db: Database, user: User) -> None:
    """Else the rows of one stream are read as those of another that was there before."""

    async def stream(scope: Scope, value: Any) -> list[Any]:
        # A statement that is made anew may lie in memory where the one before it lay.
        statement = Statement(type(value), sa.select(sa.literal(value)))
        return [row async for row in scope.stream(statement)]

    for value in [1, "one", 2.5, True, b"\xa2"] * 30:
        assert await db.run(user.id, stream, value) == [value]
