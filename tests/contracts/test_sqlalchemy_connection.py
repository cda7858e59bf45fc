"""What faceplate relies on in SQLAlchemy's connection: docs/private-parts.md, S11 to S13, S22."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn
from tests.contracts.recorded import Author, Connection, fail_in, given, on_connection

from faceplate._orm.connection import is_flushed_update


async def test_each_statement_goes_by_execute_clauseelement_with_its_rows(
    engine: AsyncEngine,
) -> None:
    """Else a session's statements lack the owner's value, and are refused."""

    def use(connection: Connection) -> None:
        assert connection.execute(sa.select(given)).scalar_one() == "in"
        assert connection.scalar(sa.select(given)) == "in"
        insert = sa.insert(Author).values(name=given)
        connection.execute(insert, [{"id": 1}, {"id": 2}])
        assert connection.execute(sa.select(Author.name)).scalars().all() == ["in", "in"]
        assert connection.calls.count("clause") == 4
        with orm.Session(connection) as session:
            connection.calls.clear()
            assert session.scalar(sa.select(given)) == "in"
            assert session.get(Author, 1) is not None
            session.add(Author(id=3))
            session.flush()
            session.execute(sa.insert(Author), [{"id": 4}])
            session.execute(sa.update(Author).values(name=given))
            assert connection.calls.count("clause") == 5
            assert set(session.scalars(sa.select(Author.name))) == {"in"}

    await on_connection(engine, use)


async def test_whatever_is_executed_comes_to_execute_context(engine: AsyncEngine) -> None:
    """Else the session of a unit that has ended sends on."""

    def use(connection: Connection) -> None:
        def calls(execute: Callable[[], Any]) -> list[str]:
            connection.calls.clear()
            execute()
            return [call for call in connection.calls if call != "begin"]

        table = sa.Table("contract", sa.MetaData(), sa.Column("n", sa.Integer), prefixes=["TEMP"])
        assert calls(lambda: connection.execute(sa.text("SELECT 1"))) == ["clause", "context"]
        assert calls(lambda: connection.exec_driver_sql("SELECT 1")) == ["context"]
        create = sa.schema.CreateTable(table)
        assert calls(lambda: connection.execute(create)) == ["ddl", "context"]
        drop = sa.schema.DropTable(table)
        assert calls(lambda: connection.execute(drop)) == ["ddl", "context"]
        assert calls(lambda: connection.scalar(sa.func.now())) == ["clause", "context"]
        with orm.Session(connection) as session:
            session.add(Author(id=1))
            assert calls(session.flush)[-1] == "context"
            bulk = calls(lambda: session.bulk_insert_mappings(sa.inspect(Author), [{"id": 2}]))
            assert bulk[-1] == "context"
            assert calls(lambda: session.get(Author, 2))[-1] == "context"

    await on_connection(engine, use)


async def test_what_is_compiled_already_goes_by_execute_compiled_or_not_at_all(
    engine: AsyncEngine,
) -> None:
    """Else a compiled statement is sent without its owner."""

    def use(connection: Connection) -> None:
        made: Any = sa.select(sa.true()).compile(dialect=connection.dialect)
        if hasattr(sa.Connection, "_execute_compiled"):  # SQLAlchemy 2.0
            connection.execute(made)
            assert "compiled" in connection.calls
        else:
            with pytest.raises(sa.exc.ObjectNotExecutableError):
                connection.execute(made)
            assert connection.calls == []

    await on_connection(engine, use)


async def test_a_connection_begins_and_ends_its_transaction_by_three_methods(
    engine: AsyncEngine,
) -> None:
    """Else a session ends the transaction of its unit."""
    sent: list[str] = []
    for name in ("begin", "commit", "rollback"):
        event.listen(engine.sync_engine, name, lambda *_, name=name: sent.append(name))

    def use(connection: Connection) -> None:
        connection.commit()
        connection.calls.clear()
        sent.clear()
        before: Any = connection._transaction
        assert before is None
        with connection.begin() as transaction:
            assert connection._transaction is transaction
            assert connection.calls == ["begin"]
        assert connection.calls == ["begin", "commit"]
        connection.calls.clear()
        fail_in(connection.begin())
        assert connection.calls == ["begin", "rolled back", "rollback"]
        connection.calls.clear()
        connection.execute(sa.select(sa.true()))  # begins by itself
        assert "begin" in connection.calls
        assert sent == []

    await on_connection(engine, use)


async def test_a_sessions_rollback_comes_to_its_connections_transaction(
    engine: AsyncEngine,
) -> None:
    """Else a unit returns as if what a session has rolled back were written."""

    def use(connection: Connection) -> None:
        connection.commit()
        session = orm.Session(connection)
        session.execute(sa.select(sa.true()))
        session.rollback()
        assert "rolled back" in connection.calls

    await on_connection(engine, use)


class Proxy:
    """Stands for the pool's proxy of a connection."""

    def __init__(self, proxied: Any) -> None:
        self.proxied = proxied
        self.invalidated: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.proxied, name)

    def close(self) -> None:
        raise ZeroDivisionError

    def invalidate(self, e: Any = None, soft: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        self.invalidated.append(e)
        self.proxied.invalidate(e, soft)


async def test_a_connection_works_over_a_proxy_of_another_kind(engine: AsyncEngine) -> None:
    """Else a unit's session has no connection, or gives back the one that its unit still uses."""

    def use() -> None:
        proxy: Any = Proxy(engine.sync_engine.raw_connection())
        connection = Connection(engine.sync_engine, proxy)
        connection.execution_options(contract="kept")
        assert connection._execution_options["contract"] == "kept"
        assert connection.execute(sa.select(given)).scalar_one() == "in"
        assert connection.connection is proxy
        with pytest.raises(sa.exc.DBAPIError):
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
        assert len(proxy.invalidated) == 1
        assert proxy.invalidated[0] is not None

    await greenlet_spawn(use)


async def test_an_update_of_a_flush_is_told_from_others(engine: AsyncEngine) -> None:
    """Else each UPDATE takes a round trip, or a program is told that its own has found a row."""

    def use(connection: Connection) -> None:
        told: list[bool] = []

        def note(*arguments: Any) -> None:
            if arguments[2].startswith("UPDATE"):
                told.append(is_flushed_update(arguments[4]))

        event.listen(connection, "before_cursor_execute", note)
        with orm.Session(connection) as session:
            author = Author(id=1, name="a")
            session.add_all([author, Author(id=2, name="a")])
            session.flush()
            author.name = "b"
            session.flush()
            table: Any = Author.__table__
            connection.execute(sa.update(table).values(name=given))
            session.execute(sa.update(Author).values(name=given))
            session.execute(sa.update(Author), [{"id": 1, "name": "c"}])
            session.execute(sa.update(Author), [{"id": 1, "name": "c"}, {"id": 2, "name": "c"}])
            assert told == [True, False, False, False, False]

    await on_connection(engine, use)
