"""Which names of theirs our classes override: docs/private-parts.md, A15 and S19."""

from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql.asyncpg import (
    PGCompiler_asyncpg,
    PGDialect_asyncpg,
    PGExecutionContext_asyncpg,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.pool import AsyncAdaptedQueuePool

from faceplate._driver import connection, connection_state, dialect, pool, preparing, unprepared
from faceplate._orm import connection as unit_connection
from faceplate._orm import flush_order, owner_criterion, ownership, session

MADE = {"__annotations__", "__doc__", "__firstlineno__", "__module__", "__orig_bases__"}
MADE |= {
    "__parameters__",
    "__slotnames__",
    "__slots__",
    "__static_attributes__",
    "__dict__",
    "__weakref__",
}
MADE |= {"__abstractmethods__", "_abc_impl", "_bind_translate_chars", "_bind_translate_re"}
"""What Python and SQLAlchemy give to each class."""
SQLALCHEMY: dict[tuple[type[Any], type[Any]], str] = {
    (pool.Pool, AsyncAdaptedQueuePool): (
        "__init__ _do_get _do_return_conn _invalidate _pool _queue_class recreate"
    ),
    (dialect.Dialect, PGDialect_asyncpg): (
        "__init__ do_close do_execute do_execute_no_params do_executemany do_ping do_terminate"
        " setup_asyncpg_json_codec setup_asyncpg_jsonb_codec supports_statement_cache"
    ),
    (owner_criterion.OwnerCompiler, PGCompiler_asyncpg): (
        "_compose_select_body visit_delete visit_insert visit_on_conflict_do_update"
        " visit_textclause visit_textual_select visit_update"
    ),
    (ownership.Owner, sa.BindParameter): "__eq__ __hash__ inherit_cache",
    (unit_connection.UnitContext, PGExecutionContext_asyncpg): "pre_exec",
    (unit_connection.UnitConnection, sa.Connection): (
        "__init__ _begin_impl _commit_impl _execute_clauseelement _execute_context _execute_ddl"
        " _release_savepoint_impl _rollback_impl _rollback_to_savepoint_impl begin close commit"
        " connection detach rollback"
    ),
    (unit_connection._UnitTransaction, sa.RootTransaction): "_do_rollback",
    (flush_order.OrderedSession, orm.Session): "",
    (session._SyncSession, orm.Session): (
        "begin_nested close commit connection flush get_bind invalidate reset rollback"
    ),
    (session._Savepoint, orm.SessionTransaction): "__exit__ commit rollback",
    (session._AsyncUnitConnection, AsyncConnection): "_proxied",
    (session.UnitSession, AsyncSession): "sync_session",
}
GONE = {"_execute_compiled"}
"""What SQLAlchemy 2.0 has and 2.1 has no more."""


def overridden(ours: type[Any], theirs: type[Any]) -> set[str]:
    """Return the names that a class of ours has in common with the class that it extends."""
    theirs_all = {*dir(theirs)}.union(
        *(vars(one).get("__annotations__", ()) for one in theirs.mro())
    )
    ours_all = {*vars(ours), *vars(ours).get("__annotations__", ())}
    return (ours_all & theirs_all) - MADE


def test_our_connection_overrides_two_names_of_asyncpgs() -> None:
    """Else the driver calls a method of ours for one of its own, or the reverse."""
    tracked = connection_state.TrackedConnection
    assert overridden(tracked, asyncpg.Connection) == {"_protocol", "is_in_transaction"}
    assert overridden(preparing.PreparingConnection, asyncpg.Connection) == {"prepare"}
    assert overridden(preparing.PreparingConnection, tracked) == {"prepare"}
    assert overridden(connection.Connection, asyncpg.Connection) == set()
    assert overridden(unprepared.UnpreparedConnection, asyncpg.Connection) == set()


@pytest.mark.parametrize(("ours", "theirs"), SQLALCHEMY, ids=lambda one: str(one.__name__))
def test_our_classes_override_these_names_of_sqlalchemys(
    ours: type[Any], theirs: type[Any]
) -> None:
    """Else a check of ours is passed over without a word, as SQLAlchemy calls another method."""
    assert overridden(ours, theirs) - GONE == set(SQLALCHEMY[ours, theirs].split())
