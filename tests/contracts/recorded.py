"""A connection of SQLAlchemy's that notes what it is called for, and two tables."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

CREATE = """
CREATE TEMP TABLE IF NOT EXISTS author (id int PRIMARY KEY, name text);
CREATE TEMP TABLE IF NOT EXISTS book (id int PRIMARY KEY, author_id int REFERENCES author (id));
"""


class Base(orm.DeclarativeBase):
    pass


class Book(Base):  # ahead of Author, so that only what a flush is told puts it behind
    __tablename__ = "book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int]


class Author(Base):
    __tablename__ = "author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str | None]


class Transaction(sa.RootTransaction):
    __slots__ = ()

    def _do_rollback(self) -> None:
        self.connection.calls.append("rolled back")  # type: ignore[attr-defined]  # a Connection below
        super()._do_rollback()


class Connection(sa.Connection):
    """Notes what SQLAlchemy calls, and begins and ends no transaction."""

    def __init__(self, engine: Any, proxy: Any = None) -> None:
        super().__init__(engine, proxy)
        self.calls: list[str] = []
        self.fails = ""

    def begin(self) -> sa.RootTransaction:
        return Transaction(self) if self._transaction is None else super().begin()

    def _begin_impl(self, _transaction: Any) -> None:
        self.calls.append("begin")

    def _rollback_impl(self) -> None:
        self.calls.append("rollback")

    def _commit_impl(self) -> None:
        self.calls.append("commit")

    def _rollback_to_savepoint_impl(self, name: str) -> None:
        self.calls.append("rollback to savepoint")
        self._fail("rollback to savepoint")
        super()._rollback_to_savepoint_impl(name)

    def _release_savepoint_impl(self, name: str) -> None:
        self.calls.append("release savepoint")
        self._fail("release savepoint")
        super()._release_savepoint_impl(name)

    def _execute_context(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append("context")
        return super()._execute_context(*arguments, **named)

    def _execute_clauseelement(self, elem: Any, distilled_parameters: Any, options: Any) -> Any:
        self.calls.append("clause")
        rows: Any = distilled_parameters or ({},)
        given = [{**row, "given": "in"} for row in rows]
        return super()._execute_clauseelement(elem, given, options)

    def _execute_ddl(self, *arguments: Any) -> Any:
        self.calls.append("ddl")
        return super()._execute_ddl(*arguments)

    def _execute_compiled(self, *arguments: Any) -> Any:
        self.calls.append("compiled")
        return super()._execute_compiled(*arguments)  # type: ignore[misc]  # 2.1 has it no more

    def _fail(self, call: str) -> None:
        if call == self.fails:
            raise ZeroDivisionError


async def on_connection(engine: AsyncEngine, use: Callable[[Connection], Any]) -> Any:
    """Return what ``use`` returns, called in a greenlet."""
    await engine.dispose()

    def call() -> Any:
        connection = Connection(engine.sync_engine)
        try:
            connection.exec_driver_sql(CREATE.split(";", maxsplit=1)[0])
            connection.exec_driver_sql(CREATE.split(";")[1])
            connection.calls.clear()
            return use(connection)
        finally:
            connection.close()

    return await greenlet_spawn(call)


given = sa.bindparam("given", type_=sa.Text(), required=True)


def fail_in(block: AbstractContextManager[Any]) -> None:
    """End a block by an error."""
    with pytest.raises(ZeroDivisionError), block:
        raise ZeroDivisionError
