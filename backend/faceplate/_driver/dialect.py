"""SQLAlchemy's asyncpg dialect: free pings, JSON by the driver, units' sessions."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from faceplate._driver.connection import Connection
from faceplate._driver.session_effects import compiled_changes_session
from faceplate.column_types.json_values import encode_json
from faceplate.errors import FaceplateError

UNIT = "faceplate_unit"
"""The execution option that holds the unit of a session's statement."""
SESSION_UNCHANGED = "faceplate_session_unchanged"
"""The execution option for text that does not change the state of its session."""


class Dialect(PGDialect_asyncpg):
    """SQLAlchemy's asyncpg dialect with a ping that is free on a warm connection.

    The driver's codecs, set once for each connection, encode and decode JSON. So a statement of
    SQLAlchemy's and one of the driver's get the same Python values.
    """

    supports_statement_cache = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
            **kwargs, json_serializer=_as_is, json_deserializer=_as_is
        )

    async def setup_asyncpg_json_codec(self, conn: Any) -> None:
        await _set_codec(conn.driver_connection, "json")

    async def setup_asyncpg_jsonb_codec(self, conn: Any) -> None:
        await _set_codec(conn.driver_connection, "jsonb")

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _execute(cursor, statement, parameters, context)

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: Any = None
    ) -> None:
        _run(partial(cursor.executemany, statement, parameters), cursor, statement, context)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        _execute(cursor, statement, (), context)

    def do_close(self, dbapi_connection: Any) -> None:
        """Close a connection that the pool has no place for, without waiting for the server.

        Its last caller has the answer already, and a server that is silent would keep it for ever.
        """
        dbapi_connection.driver_connection.terminate()

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close a connection that cannot be used, without waiting for the server.

        SQLAlchemy would wait, and a caller that is cancelled then leaves its place in the pool to
        the garbage collector.
        """
        dbapi_connection.driver_connection.terminate()

    def do_ping(self, dbapi_connection: Any) -> bool:
        driver: Connection = dbapi_connection.driver_connection
        skip_next_ping, driver.skip_next_ping = driver.skip_next_ping, False
        if skip_next_ping:  # it is leased already: a loss since then is for the unit to see
            return True
        if driver.is_closed():
            return False
        if driver.is_quiet():
            return True
        try:
            dbapi_connection.run_async(lambda _: driver.ping())
        except FaceplateError:
            return False
        return True


registry.register("postgresql.faceplate", __name__, Dialect.__name__)


def _execute(cursor: Any, sql: str, parameters: Any, context: Any) -> None:
    """Run a statement once; that of a unit as the unit's other statements are run."""
    unit = None if context is None else context.execution_options.get(UNIT)
    if unit is None or cursor.server_side:
        _run(partial(cursor.execute, sql, parameters), cursor, sql, context)
    else:
        unit.execute_in_session(cursor, sql, parameters, context)


def _run(run: Callable[[], None], cursor: Any, sql: str, context: Any) -> None:
    """Run a statement of SQLAlchemy's, through the unit that it is of, and log it."""
    unit = None if context is None else context.execution_options.get(UNIT)
    driver: Connection = cursor._connection  # noqa: SLF001 - SQLAlchemy has no public name for it
    started_s = time.monotonic()
    try:
        if unit is None:
            if not _leaves_session_unchanged(context, sql):
                driver.note_session_change(sql)
            run()
        else:
            unit.run_in_session(run, cursor, sql, context)
    finally:
        driver.log(sql, time.monotonic() - started_s)


def _leaves_session_unchanged(context: Any, sql: str) -> bool:
    """Return whether a statement does not change the state of its session."""
    if context is not None and context.execution_options.get(SESSION_UNCHANGED):
        return True
    return not compiled_changes_session(getattr(context, "compiled", None), sql)


async def _set_codec(driver: Connection, name: str) -> None:
    # As text, since a value of JSONB in the binary format begins with a byte that is no JSON.
    await driver.set_type_codec(
        name, schema="pg_catalog", format="text", encoder=encode_json, decoder=orjson.loads
    )


def _as_is(value: Any) -> Any:
    return value


DIALECT: sa.Dialect = Dialect()
"""The dialect that compiles statements before there is a connection."""
