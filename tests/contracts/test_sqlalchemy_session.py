"""What faceplate relies on in SQLAlchemy's session: docs/private-parts.md, S14 to S17, S21."""

import gc
import weakref
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import unitofwork
from sqlalchemy.util import greenlet_spawn
from tests.contracts.recorded import Author, Book, Connection, fail_in, given, on_connection


class Block(orm.SessionTransaction):
    """A nested block that notes how it ends."""

    ends: list[Any]

    def commit(self, _to_root: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        self.ends.append("commit")
        super().commit(_to_root)

    def __exit__(self, type_: Any, value: Any, traceback: Any) -> None:
        self.ends.append(type_)
        super().__exit__(type_, value, traceback)


def nested(session: orm.Session, ends: list[Any]) -> Any:
    block: Any = session.begin_nested()
    block.__class__ = Block
    block.ends = ends
    session.connection()
    return block


async def test_a_savepoint_ends_by_the_methods_of_its_connection(engine: AsyncEngine) -> None:
    """Else a unit returns although a block of it could not be undone."""

    def use(connection: Connection) -> None:
        def end(error: type[Exception] | None = None) -> list[str]:
            connection.calls.clear()
            with orm.Session(connection) as session, session.begin_nested():
                session.connection()
                if error is not None:
                    raise error
            return connection.calls

        assert "release savepoint" in end()
        with pytest.raises(KeyError):
            end(KeyError)
        assert "rollback to savepoint" in connection.calls
        connection.fails = "release savepoint"
        with pytest.raises(ZeroDivisionError):
            end()
        connection.fails = "rollback to savepoint"
        with pytest.raises(ZeroDivisionError):
            end(KeyError)

    await on_connection(engine, use)


async def test_a_nested_block_may_be_of_another_class(engine: AsyncEngine) -> None:
    """Else a unit returns although a block of it is half done."""

    def use(connection: Connection) -> None:
        session = orm.Session(connection)
        ends: list[Any] = []
        block = nested(session, ends)
        with block:
            inmost: Any = session.get_nested_transaction()
            assert inmost is block
            assert not block._transaction_is_closed()
            savepoint: Any = connection.get_nested_transaction()
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
            connection._rollback_to_savepoint_impl(savepoint._savepoint)
            assert savepoint.is_active
        assert block._transaction_is_closed()
        assert ends == [None, "commit"]
        ends.clear()
        fail_in(nested(session, ends))
        assert ends == [ZeroDivisionError]
        ends.clear()
        outer = nested(session, ends)
        with nested(session, []) as inner:
            assert inner.parent is outer
        outer.__exit__(ValueError, ValueError(), None)  # what an error inside would do
        assert outer._transaction_is_closed()
        assert ends == [ValueError]
        session.close()

    await on_connection(engine, use)


async def test_an_async_session_and_connection_go_by_proxied(engine: AsyncEngine) -> None:
    """Else a session and its connection work on when their unit has ended."""

    class RefusedError(Exception):
        pass

    is_closed = False

    class OwnConnection(AsyncConnection):
        @property
        def _proxied(self) -> Any:
            if is_closed:
                raise RefusedError
            return super()._proxied

    class OwnSession(AsyncSession):
        @property
        def sync_session(self) -> Any:
            if is_closed:
                raise RefusedError
            return self.below

        @sync_session.setter
        def sync_session(self, session: Any) -> None:
            self.below = session

        _proxied = sync_session

    connection = OwnConnection(engine, await greenlet_spawn(lambda: Connection(engine.sync_engine)))
    session = OwnSession(connection)
    assert await session.scalar(sa.select(given)) == "in"
    own = await session.connection()
    assert own is connection
    author = Author(id=1)
    session.add(author)
    session.expunge(author)
    is_closed = True
    for use in (
        lambda: session.add(author),
        lambda: session.new,
        session.in_transaction,
        lambda: author in session,
        lambda: connection.info,
        connection.in_transaction,
    ):
        with pytest.raises(RefusedError):
            use()
    for sent in (
        lambda: session.execute(sa.select(given)),
        lambda: session.get(Author, 1),
        session.flush,
        lambda: connection.execute(sa.select(given)),
        lambda: connection.exec_driver_sql("SELECT 1"),
    ):
        with pytest.raises(RefusedError):
            await sent()
    is_closed = False
    await session.close()
    await connection.close()


async def test_a_flush_writes_in_the_order_of_its_dependencies(engine: AsyncEngine) -> None:
    """Else a row is written before the one that it refers to, and refused."""
    names = vars(unitofwork)
    save = names.get("_SaveUpdateAll") or names["SaveUpdateAll"]
    delete = names.get("_DeleteAll") or names["DeleteAll"]
    author, book = sa.inspect(Author), sa.inspect(Book)

    def use(connection: Connection) -> None:
        for swaps in (False, True):
            sent: list[str] = []
            first, second = (book, author) if swaps else (author, book)
            session = orm.Session(connection)

            @event.listens_for(session, "before_flush")
            def order(
                _: Any, context: Any, __: Any, first: Any = first, second: Any = second
            ) -> None:
                context.dependencies.add((save(context, first), save(context, second)))
                context.dependencies.add((delete(context, second), delete(context, first)))

            def note(_: Any, __: Any, statement: str, *___: Any, sent: list[str] = sent) -> None:
                sent.append(" ".join(statement.split()[:3]))

            event.listen(connection, "before_cursor_execute", note)
            if swaps:
                connection.exec_driver_sql("ALTER TABLE book DROP CONSTRAINT book_author_id_fkey")
            rows = [Book(id=1, author_id=1), Author(id=1)]
            session.add_all(rows)
            session.flush()
            for row in rows:
                session.delete(row)
            session.flush()
            written = [one for one in sent if one.startswith(("INSERT", "DELETE"))]
            tables = [mapper.class_.__tablename__ for mapper in (first, second)]
            assert written == [f"INSERT INTO {name}" for name in tables] + [
                f"DELETE FROM {name}" for name in reversed(tables)
            ]
            event.remove(connection, "before_cursor_execute", note)

    await on_connection(engine, use)


async def test_an_identity_map_tells_whether_a_row_was_changed(engine: AsyncEngine) -> None:
    """Else a unit's changes are not written, or each session takes a greenlet more."""

    def use(connection: Connection) -> None:
        session = orm.Session(connection)
        author = Author(id=1, name="a")
        session.add(author)
        assert not session.identity_map.check_modified()
        session.flush()
        assert not session.identity_map.check_modified()
        author.name = "b"
        assert session.identity_map.check_modified()
        session.flush()
        assert not session.identity_map.check_modified()
        session.close()

    await on_connection(engine, use)


async def test_a_session_and_its_connection_refer_to_themselves_by_their_transactions(
    engine: AsyncEngine,
) -> None:
    """Else the collector has to free each unit's session, and all that it refers to."""

    def use(connection: Connection) -> None:
        session = orm.Session(connection)
        session.add(Author(id=1, name="a"))
        session.flush()
        session.expunge_all()
        session._transaction = connection._transaction = None
        left = weakref.ref(session)
        gc.disable()
        try:
            del session
            assert left() is None
        finally:
            gc.enable()

    await on_connection(engine, use)
