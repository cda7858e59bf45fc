"""Where a unit that only reads has run, and when it runs on a replica."""

import asyncio
from uuid import UUID

import sqlalchemy as sa
from uuid6 import uuid7

from faceplate import Database, Scope, Statement, read_only

IS_STANDBY = Statement(bool, sa.text("SELECT pg_is_in_recovery()"))


@read_only
async def is_standby(scope: Scope) -> bool:
    """Whether it runs on a replica."""
    return await scope.one(IS_STANDBY)


async def until_read_from(db: Database, user: UUID | None = None) -> None:
    """Return when a unit of this user, or of anybody new, runs on a replica."""
    async with asyncio.timeout(30):
        while not await db.run(user or uuid7(), is_standby):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
