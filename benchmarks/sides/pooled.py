"""The sides behind PgBouncer: the same operations, with nothing prepared by name."""

from typing import ClassVar

from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg, ByHand

UNPREPARED = {"statement_cache_size": 0}


class PooledAsyncpg(Asyncpg):
    note = "As next to the server, with `statement_cache_size=0`, as asyncpg asks behind a pooler."
    options = UNPREPARED


class PooledByHand(ByHand):
    note = "As next to the server, with `statement_cache_size=0`."
    options = UNPREPARED


class PooledFaceplate(Faceplate):
    note = "The same units and safeguards with `FACEPLATE_PGBOUNCER=true`."
    settings: ClassVar = {"pgbouncer": True}
