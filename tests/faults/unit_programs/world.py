"""Where programs run: two users, a pool, a relay that may fail as a pooler does, an operator."""

import asyncio
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    suppress,
)
from typing import Any, NamedTuple

import asyncpg
from pydantic import SecretStr
from sqlalchemy import make_url
from tests.databases import Operator
from tests.faults.unit_programs.ledger import Finding, Person
from tests.faults.unit_programs.relay import Relay
from uuid6 import uuid7

from faceplate import Database, Settings
from faceplate._driver.preamble import ROLE

IDLE_DEADLINE_S = 5.0
OWNER = "faceplate"
UNITS_LOGIN = "faceplate_unit"
"""The logins of an embedded server."""
LIMITS: dict[str, Any] = {
    "lock_timeout_s": 0.2,
    "statement_timeout_s": 5.0,
    "pool_timeout_s": 0.25,
    "retry_delay_s": 0.005,
    "reconnect_timeout_s": 5.0,
    "connect_timeout_s": 10.0,
}
Route = Callable[[], AbstractContextManager[str]]
TOKEN = re.compile(r"~[0-9a-f]{8}~\d+\.\d+")
MARK = re.compile(r"~([0-9a-f]{8})~")

_SETTLE = """
INSERT INTO faceplate.users (id, subject_id) VALUES ('{user_id}', '~{mark}~ subject');
INSERT INTO faceplate.conversations (user_id, id, title, message_count)
     VALUES ('{user_id}', '{conversation_id}', '~{mark}~ title', 2);
INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role, content)
     VALUES ('{user_id}', '{conversation_id}', '{message_id}', 1, 'user', '~{mark}~ first'),
            ('{user_id}', '{conversation_id}', gen_random_uuid(), 2, 'user', '~{mark}~ second');
INSERT INTO faceplate.tasks (user_id, id, title) VALUES ('{user_id}', '{task_id}', '~{mark}~ task');
INSERT INTO faceplate.mcp_configs (user_id, id, name, config)
     VALUES ('{user_id}', '{config_id}', '~{mark}~ config', '{{}}');
"""
_ROWS = " UNION ALL ".join(
    f"""SELECT user_id, '{table}', id, (to_jsonb(t) - 'updated_at' - 'secrets')::text
          FROM faceplate.{table} t WHERE user_id = ANY($1)"""
    for table in ("conversations", "messages", "tasks", "mcp_configs")
)
_BUSY = """SELECT coalesce(string_agg(state || ': ' || left(query, 80), '; '), '')
             FROM pg_stat_activity
            WHERE application_name = $1
              AND (state LIKE 'idle in transaction%' OR state = 'active')"""
_KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"


class Row(NamedTuple):
    person: Person
    table: str
    text: str

    @property
    def is_original(self) -> bool:
        """Whether it was there before the program, and no step has written into it."""
        return TOKEN.search(self.text) is None


class Snapshot:
    """Every row of the two users at one moment."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.stored: Counter[str] = Counter()
        for row in rows:
            self.stored.update(TOKEN.findall(row.text))

    def originals(self, person: Person) -> set[str]:
        """Return what a person had from the start, but for how many messages a chat has."""
        return {
            re.sub(r'"message_count": \d+', "", row.text)
            for row in self.rows
            if row.person is person and row.is_original
        }

    def miscounted(self) -> list[Finding]:
        """Return each chat whose count is not that of its messages."""
        positions: dict[str, list[int]] = {}
        chats: dict[str, int] = {}
        for row in self.rows:
            values = json.loads(row.text)
            if row.table == "messages":
                positions.setdefault(values["conversation_id"], []).append(values["position"])
            elif row.table == "conversations":
                chats[values["id"]] = values["message_count"]
        return [
            Finding("positions have a gap", f"{count} and {sorted(positions.get(chat, []))}")
            for chat, count in chats.items()
            if sorted(positions.get(chat, [])) != list(range(1, count + 1))
        ]


class World:
    """``db`` is reached through ``relay``; ``operator`` is an administrator beside it."""

    def __init__(
        self, settings: Settings, route: Route, relay: Relay, operators: list[Operator]
    ) -> None:
        self.settings = settings
        self.relay = relay
        self.operator, self._blocker = operators
        self._route = route
        self._open_route = ExitStack()
        self.db = Database(settings)
        self._is_calm = False
        self._is_blocked = False
        self._turn = asyncio.Lock()
        self.unseen: list[str] = []
        asyncio.get_running_loop().set_exception_handler(self._hear)

    @property
    def pool_size(self) -> int:
        return self.settings.pool_size

    def _hear(self, _: Any, what: dict[str, Any]) -> None:
        self.unseen.append(f"{what.get('message')}: {what.get('exception')!r}")

    async def renew(self) -> None:
        """Begin with new connections, and a new pooler, whatever was left on those before."""
        await self.close()
        await self.kill()
        self.relay.lead_to(self._open_route.enter_context(self._route()))
        self.db = Database(self.settings)
        await self.db.__aenter__()

    async def close(self) -> None:
        """Close the pool, and end the pooler."""
        await self.calm_down()
        await self.db.dispose()
        self._open_route.close()

    async def settle(self, name: str) -> Person:
        """Make a user who has two messages, a task and a configuration."""
        ids = [uuid7() for _ in range(5)]
        person = Person(name, ids[0], secrets.token_hex(4), *ids[1:])
        await self.operator.execute(_SETTLE.format(**vars(person)))
        return person

    async def forget(self, *people: Person) -> None:
        """Remove users, so that the next program finds no others."""
        self._is_calm = False
        ids = [person.user_id for person in people]
        await self.operator.execute("DELETE FROM faceplate.users WHERE id = ANY($1)", ids)

    async def snapshot(self, *people: Person) -> Snapshot:
        """Return every row of theirs, as the administrator sees it."""
        await self._as_operator("ROLLBACK")  # of a lock that a task took after its program's end
        by_id = {person.user_id: person for person in people}
        rows = await self.operator.fetch(_ROWS, list(by_id))
        return Snapshot([Row(by_id[row[0]], row[1], row[3]) for row in rows])

    async def busy(self) -> str:
        """Return what its connections still do or hold, when they have had time to end."""
        loop = asyncio.get_running_loop()
        until = loop.time() + IDLE_DEADLINE_S
        name = self.settings.application_name
        while found := await self.operator.fetchval(_BUSY, name):
            if loop.time() > until:
                return str(found)
            await asyncio.sleep(0.01)
        return ""

    async def kill(self) -> None:
        """End every server process of the pool."""
        await self._as_operator(_KILL.replace("$1", f"'{self.settings.application_name}'"))

    async def block(self, table: str) -> None:
        """Lock a table as a migration does, unless somebody holds it at the moment."""
        if self._is_calm:  # a task that goes on after its program's end
            return
        self._is_blocked = True
        await self._as_operator(
            "BEGIN; SET LOCAL lock_timeout = '20ms';"
            f"LOCK TABLE faceplate.{table} IN ACCESS EXCLUSIVE MODE"
        )

    async def calm_down(self) -> None:
        """Let nothing strike any more, and no lock be held, before the next program."""
        self._is_calm = True
        self.relay.calm_down()
        await self.unblock()

    async def unblock(self) -> None:
        if self._is_blocked:
            await self._as_operator("ROLLBACK")
            self._is_blocked = False

    async def _as_operator(self, sql: str) -> None:
        """Run it to its end, even where the unit that has asked for it is cancelled."""

        async def run() -> None:
            async with self._turn:
                with suppress(asyncpg.PostgresError):  # a lock that is not free at once
                    await self._blocker.execute(sql)

        await asyncio.shield(run())


@asynccontextmanager
async def world(
    route: Route, admin_url: str, *, login: str, pool_size: int, pgbouncer: bool
) -> AsyncIterator[World]:
    """Yield a world whose pool leads to the URL of ``route``, which is opened anew after faults.

    Units log in as ``login``, and what reaches across users as the owner, faceplate.
    """
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(Relay(admin_url))
        operators = []
        for _ in range(2):
            operators.append(
                await asyncpg.connect(
                    admin_url, database="faceplate", server_settings={"lock_timeout": "10s"}
                )
            )
            stack.push_async_callback(operators[-1].close)
        if login != OWNER:
            await operators[0].execute(f"GRANT {ROLE} TO {login}")
        settings = Settings(
            database_url=_as(login, relay.url),
            owner_url=None if login == OWNER else _as(OWNER, relay.url),
            application_name=f"programs {secrets.token_hex(4)}",
            pool_size=pool_size,
            max_overflow=0,
            pgbouncer=pgbouncer,
            **LIMITS,
        )
        made = World(settings, route, relay, operators)
        try:
            yield made
        finally:
            await made.close()


def _as(login: str, url: str) -> SecretStr:
    return SecretStr(make_url(url).set(username=login).render_as_string(hide_password=False))
