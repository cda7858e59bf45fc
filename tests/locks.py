"""Who waits for whom."""

import asyncio
from typing import Any

from sqlalchemy import text

from faceplate import Database, Scope, SystemScope

WAITS = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid)))"
# Of all nodes, each by its number and the process there; that of the coordinator is 1.
WAITS_ON_CITUS = (
    "SELECT EXISTS (SELECT FROM citus_lock_waits WHERE blocking_gpid = 10000000000 + :pid)"
)


async def pid(scope: Scope | SystemScope) -> int:
    session = scope.session
    return int((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def until_blocked_by(db: Database, holder: int) -> None:
    """Return when some transaction waits for a lock that ``holder`` has."""

    async def is_blocked(scope: SystemScope) -> Any:
        waits = WAITS_ON_CITUS if scope.is_on_citus else WAITS
        return await scope.session.scalar(text(waits), {"pid": holder})

    async with asyncio.timeout(20):
        while not await db.run_system(is_blocked):
            pass
