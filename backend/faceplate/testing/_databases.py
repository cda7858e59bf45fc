"""The databases of a test run: a migrated template, and a clone of it for each worker.

Between tests, `WorkerDatabase.clean` deletes rows and sets sequences back, which takes a
millisecond. Where a test has changed anything else (rows that the migrations wrote, a table), it
clones the database anew. It compares the database with what it was after the migrations, and so
needs to know no model.
"""

import secrets
from typing import Any, Final

from faceplate._driver.connection import DriverConnection
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.error_mapping import FOREIGN_ERRORS
from faceplate.database import Database
from faceplate.records import User
from faceplate.services import users
from faceplate.testing._server import Server, open_connection, settings_of

TABLES: Final = """
SELECT format('%I.%I', n.nspname, c.relname) AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
ORDER BY name
"""
SEQUENCES: Final = """
SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences ORDER BY name
"""
# A revision of the catalogs: a CREATE, ALTER, GRANT or DROP changes a count or a transaction id.
CATALOGS: Final = (
    *("pg_attribute", "pg_class", "pg_constraint", "pg_namespace", "pg_policy", "pg_proc"),
    *("pg_trigger", "pg_type"),
)
# What a test has left in a transaction would hold up the deletion, or write into the next test.
END_TRANSACTIONS: Final = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND usename = current_user AND state <> 'idle'
"""


class WorkerDatabase:
    """The database of one worker."""

    def __init__(self, server: Server, template: str, name: str) -> None:
        self.url = server.url_of(name)
        self._server = server
        self._template = template
        self._name = name
        self._connection: DriverConnection | None = None
        self._database: Database | None = None
        self._query = ""
        self._at_first: dict[str, str] = {}
        self._empty: set[str] = set()
        self._sequences: set[str] = set()

    async def create(self) -> None:
        """Clone the template, in place of what is there."""
        await self.close()
        await clone(self._server, self._template, self._name)
        self._connection = await open_connection(self.url)
        tables = [row["name"] for row in await self._connection.fetch(TABLES)]
        self._sequences = {row["name"] for row in await self._connection.fetch(SEQUENCES)}
        exists = [f"SELECT '{t}', (EXISTS (SELECT FROM {t}))::text" for t in tables]
        filled = {
            name
            for name, is_filled in await self._fetch(" UNION ALL ".join(exists))
            if is_filled == "true"
        }
        self._empty = {*tables} - filled
        self._query = " UNION ALL ".join(self._parts(filled))
        self._at_first = dict(await self._fetch(self._query))

    def _parts(self, filled: set[str]) -> list[str]:
        rows = "count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0)"
        return [
            *(f"SELECT '{t}', (EXISTS (SELECT FROM {t}))::text" for t in sorted(self._empty)),
            *(f"SELECT '{t}', {rows} FROM {t} t" for t in sorted(filled)),
            *(
                f"SELECT '{s}', last_value || ' ' || is_called FROM {s}"
                for s in sorted(self._sequences)
            ),
            *(
                f"SELECT '{c}', count(*) || ' ' || max(xmin::text::bigint) FROM pg_catalog.{c}"
                for c in CATALOGS
            ),
        ]

    async def clean(self) -> None:
        """Bring the database back to what it was after the migrations."""
        try:
            if not (changed := await self._changes()):
                return
            await self._delete(changed)
            if not await self._changes():
                return
        except (*DRIVER_ERRORS, *FOREIGN_ERRORS):
            pass  # a dropped table, a rule or a policy of the project's that refuses the deletion
        await self.create()

    async def make_user(self) -> User:
        """Return a new user."""
        name = f"test-{secrets.token_hex(8)}"
        if self._database is None:
            self._database = await Database(settings_of(self.url)).__aenter__()
        email = f"{name}@example.com"
        return await self._database.run_system(users.create, subject_id=name, email=email)

    async def close(self) -> None:
        """Close the connections, if there are any."""
        if self._database is not None:
            await self._database.dispose()
        if self._connection is not None:
            await self._connection.close()
        self._database = self._connection = None

    async def _changes(self) -> set[str]:
        now = dict(await self._fetch(self._query))
        return {name for name, state in now.items() if state != self._at_first[name]}

    async def _delete(self, changed: set[str]) -> None:
        tables, sequences = sorted(changed & self._empty), sorted(changed & self._sequences)
        statements = [END_TRANSACTIONS, "SET LOCAL row_security = off"]
        if tables:
            # In one statement, at whose end foreign keys are checked: any order will do.
            *others, last = (f"DELETE FROM {table}" for table in tables)
            parts = ", ".join(f"d{number} AS ({sql})" for number, sql in enumerate(others))
            statements.append(f"WITH {parts} {last}" if parts else last)
        for name in sequences:
            value, _, is_called = self._at_first[name].partition(" ")
            statements.append(f"SELECT setval('{name}', {value}, {is_called})")
        # Sent together, they are one transaction in one round trip.
        await self.connection.execute("; ".join(statements))

    async def _fetch(self, query: str) -> list[Any]:
        return await self.connection.fetch(query) if query else []

    @property
    def connection(self) -> DriverConnection:
        """A connection as the owner, in the loop that has created the database."""
        if self._connection is None:
            raise RuntimeError("the database of the tests was closed")
        return self._connection


async def clone(server: Server, template: str, name: str) -> None:
    """Make a database out of ``template``, in place of what is there by this name."""
    owner = await open_connection(server.owner_url)
    try:
        await owner.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await owner.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        if template != "template0":  # a clone gets no privileges; the migrations took this one
            await owner.execute(f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    finally:
        await owner.close()
