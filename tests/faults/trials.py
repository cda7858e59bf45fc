"""One trial: a unit, for a new user, over a connection on which faults strike."""

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from pydantic import SecretStr
from tests.faults.plans import Plan, counters, named, plans
from tests.faults.proxy import Fault, Message, Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.units import OWNED, Belongings, settle_in

from faceplate import Database, Scope, Settings, Statement, encryption
from faceplate.services import tasks

LEAK_DEADLINE_S = 10.0
UNDER_FAULT = "faceplate under fault"

PASSING = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+[\d:]+)?"), "<time>"),
    (re.compile(r'"\\\\x[0-9a-f]+"'), "<secret>"),
]
"""What differs from one run to the next."""

USERS = "SELECT id FROM faceplate.users WHERE strpos(subject_id, $1) > 0"
ROWS = {
    f"faceplate.{table}": f"SELECT to_jsonb(t)::text FROM faceplate.{table} t WHERE {key} = ANY($1)"
    for table, key in {"users": "id", **dict.fromkeys(OWNED, "user_id")}.items()
} | {
    # The server counts its keys on, whatever becomes of the rows.
    "notes": "SELECT (to_jsonb(t) - 'id')::text FROM public.notes t WHERE user_id = ANY($1)",
    "counters": "SELECT to_jsonb(t)::text FROM public.counters t WHERE user_id = ANY($1)",
}
CLOSE_DRAFTS = "UPDATE faceplate.messages SET status = 'complete' WHERE status = 'streaming'"
"""So that a sweep finds the same in every trial."""
LEAKED = """SELECT count(*) FROM pg_stat_activity
            WHERE application_name = $1 AND state LIKE $2"""

State = dict[str, list[str]]
Use = Literal["writing", "reading", "nothing"]
NOTHING = Statement(int, sa.update(counters).values(n=0).where(sa.false()))


async def touch_nothing(scope: Scope) -> None:
    await scope.execute(NOTHING)


class Trial(NamedTuple):
    """What came of it. Results and states read the same for every user."""

    before: State
    after: State
    result: str | None
    error: Exception | None
    faults: tuple[Fault, ...]
    """The first two that were planned."""
    struck: list[Message]
    messages: int
    """How many went through the proxy."""
    new_ids: set[UUID]
    """Those of the rows that were stored, but for the ids that the caller has given."""


class Bench:
    """Two ways to one server: ``direct``, and ``db``, which goes through ``proxy``."""

    def __init__(
        self, admin: asyncpg.Connection, direct: Database, db: Database, proxy: Proxy
    ) -> None:
        self.admin = admin
        self._direct = direct
        self.db = db
        self.proxy = proxy
        self.unseen: list[dict[str, Any]] = []
        """What the event loop has to say of errors that nobody has caught."""
        asyncio.get_running_loop().set_exception_handler(lambda _, what: self.unseen.append(what))

    async def try_out(
        self, name: str, *faults: Fault, used_for: Use = "writing", in_block: bool = False
    ) -> Trial:
        """Let a new user run the plan ``name`` while ``faults`` strike.

        On a connection that has been used, though not for these statements, or is still to be
        made. ``in_block`` uses `Database.begin`.
        """
        await self.admin.execute(CLOSE_DRAFTS)
        own = await self.settle()
        before = await self.rows(own)
        await self.db.engine.dispose()
        if used_for == "reading":
            await self.db.run(own.user_id, tasks.get, own.task_id)
        elif used_for == "writing":  # so that it knows whether the server answers to marks
            await self.db.run(own.user_id, touch_nothing)
        self.proxy.traffic = Traffic()
        plan = plans(own)[name]
        given = json.dumps([plan.args, plan.kwargs, named(own)], default=str, sort_keys=True)
        self.proxy.plan(*faults)
        result, error = None, None
        try:
            result = await self.run(own, plan, in_block=in_block)
        except Exception as raised:  # noqa: BLE001 - the campaign judges it
            error = raised
        finally:
            struck, messages = self.proxy.struck, sum(self.proxy.traffic.messages.values())
            self.proxy.plan()
        assert self.db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # QueuePool's
        after = await self.rows(own)
        return Trial(
            before=_portrait(own, before),
            after=_portrait(own, after),
            result=_likeness(own, json.dumps(result, default=str, sort_keys=True)),
            error=error,
            faults=faults[:2],
            struck=struck,
            messages=messages,
            new_ids={id_ for id_ in _ids(after) - _ids(before) if str(id_) not in given},
        )

    async def settle(self) -> Belongings:
        """Make a user who has one of everything, and a counter at 1."""
        own = await settle_in(self._direct)
        await self.admin.execute("INSERT INTO public.counters VALUES ($1, 1)", own.user_id)
        return own

    async def check_leaks(self, state: str = "idle in transaction") -> None:
        """Raise if a connection is still in such a state, or a task has failed unseen.

        A server takes its time to notice that a client is gone.
        """
        gc.collect()
        assert not self.unseen, self.unseen
        async with asyncio.timeout(LEAK_DEADLINE_S):
            while await self.admin.fetchval(LEAKED, UNDER_FAULT, f"{state}%"):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)

    async def run(self, own: Belongings, plan: Plan, *, in_block: bool = False) -> Any:
        if in_block:
            async with self.db.begin(own.user_id) as scope:
                return await plan.unit(scope, *plan.args, **plan.kwargs)
        if plan.is_across_users:
            return await self.db.run_system(plan.unit, *plan.args, **plan.kwargs)
        return await self.db.run(own.user_id, plan.unit, *plan.args, **plan.kwargs)

    async def rows(self, own: Belongings) -> State:
        """Return every row of the user, and of the users made by the user's name.

        In one snapshot: a COMMIT whose outcome is unknown may be taking effect just now.
        """
        async with self.admin.transaction(isolation="repeatable_read", readonly=True):
            made = [row["id"] for row in await self.admin.fetch(USERS, own.subject_id)]
            users = [own.user_id, *made]
            return {
                table: [row[0] for row in await self.admin.fetch(query, users)]
                for table, query in ROWS.items()
            }


def _ids(rows: State) -> set[UUID]:
    found = (json.loads(row).get("id") for table in rows.values() for row in table)
    return {UUID(id_) for id_ in found if id_}


def _portrait(own: Belongings, rows: State) -> State:
    return {table: sorted(_likeness(own, row) for row in rows[table]) for table in rows}


def _likeness(own: Belongings, text: str) -> str:
    for field, value in own._asdict().items():
        text = text.replace(str(value), f"<{field}>")
    for pattern, word in PASSING:
        text = pattern.sub(word, text)
    return text


@asynccontextmanager
async def bench(server: OwnServer, **settings: Any) -> AsyncIterator[Bench]:
    """Yield a bench on ``server``; ``settings`` are those of the Database under fault."""
    key = SecretStr(encryption.generate_key())
    admin = await asyncpg.connect(server.admin_url, database="faceplate")
    try:
        async with Proxy(server.url) as proxy:
            quick = {"retry_delay_s": 0.01, "reconnect_timeout_s": 2.0, "connect_timeout_s": 1.0}
            under_fault = Settings(
                database_url=SecretStr(proxy.url),
                application_name=UNDER_FAULT,
                encryption_keys=(key,),
                **(quick | settings),
            )
            direct = Settings(database_url=SecretStr(server.url), encryption_keys=(key,))
            async with Database(direct) as straight, Database(under_fault) as db:
                yield Bench(admin, straight, db, proxy)
    finally:
        await admin.close()
