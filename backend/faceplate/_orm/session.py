"""The ORM session of a unit, on the unit's transaction and limited to its user.

It adds the owner to what models load. `row_owner` gives new rows their owner and their ids, and a
`UnitConnection` limits every statement to the user.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import (
    Session,
    SessionTransaction,
    UOWTransaction,
)
from sqlalchemy.util import await_only

from faceplate._driver.dialect import UNIT
from faceplate._driver.error_mapping import FLUSH_FAILED
from faceplate._driver.pool import Lease
from faceplate._orm.connection import (
    COMMIT_REFUSED,
    CONNECTION_REFUSED,
    ROLLBACK_REFUSED,
    SAVEPOINT_NOT_ROLLED_BACK,
    UnitConnection,
)
from faceplate._orm.flush_order import OrderedSession
from faceplate._orm.row_owner import set_id, set_owner
from faceplate._orm.unit import Unit
from faceplate.errors import UsageError
from faceplate.models import Private

CLOSED_UNFLUSHED = (
    "the unit's session was closed with unflushed changes: leave it open, and the runner flushes"
    " and closes it"
)

INFO = "unit"
"""The key of the unit in `Session.info`."""


def _unit_of(session: Session) -> Unit:
    unit: Unit = session.info[INFO]
    return unit


class _Savepoint(SessionTransaction):
    """The savepoint of a `begin_nested` block, never released after a failed flush.

    SQLAlchemy would release it silently if the block has caught the flush's error. If it cannot be
    rolled back, as while another task uses the scope, the unit can only be rolled back.
    """

    rollback_reason: str | None = None
    """Why the savepoint must not be released: see `Unit.rollback_reason`."""
    undo: Callable[[], None]
    """It rolls back to the savepoint."""

    def rollback(self, _capture_exception: bool = False, _to_root: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        self._undo_the_rest()
        super().rollback(_capture_exception, _to_root)

    def commit(self, _to_root: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        if self.rollback_reason is not None:
            raise UsageError(self.rollback_reason)
        super().commit(_to_root)

    def __exit__(self, type_: Any, value: Any, traceback: Any) -> None:
        caught = None
        if type_ is None and self.rollback_reason is not None and not self._transaction_is_closed():
            caught = value = UsageError(self.rollback_reason)
            type_ = UsageError
        unit = _unit_of(self.session)
        try:
            self._undo_the_rest()
            super().__exit__(type_, value, traceback)
        except BaseException:
            if not self._transaction_is_closed():
                unit.rollback_reason = SAVEPOINT_NOT_ROLLED_BACK
            raise
        if caught is not None:
            raise caught

    def _undo_the_rest(self) -> None:
        """Undo what each `Statement` did after a flush that failed.

        SQLAlchemy has rolled back to the savepoint at that flush, and would not do it again.
        """
        if not self.is_active and not self._transaction_is_closed():
            self.undo()


class _SyncSession(OrderedSession):
    """The synchronous session under `UnitSession`. It never commits."""

    def begin_nested(self) -> SessionTransaction:
        """Send SAVEPOINT at once, so that it covers each `Statement` of the block, too."""
        nested = super().begin_nested()
        nested.__class__ = _Savepoint
        try:
            connection = self.connection()
            savepoint: Any = connection.get_nested_transaction()
            undo = connection._rollback_to_savepoint_impl  # noqa: SLF001 - SQLAlchemy has no public name for it
            vars(nested)["undo"] = partial(undo, savepoint._savepoint)  # noqa: SLF001 - SQLAlchemy has no public name for it
        except BaseException:
            nested.rollback()
            raise
        return nested

    def prepare_flush(
        self, context: UOWTransaction, new: list[Any], changed: list[Any], deleted: list[Any]
    ) -> None:
        """Give each row its owner and its id, or refuse it, and order the tables."""
        unit = _unit_of(self)
        unit.check_usable()
        for row in (*new, *changed, *deleted):
            if isinstance(row, Private):
                set_owner(unit, row)
        for row in new:
            set_id(unit, row)
        super().prepare_flush(context, new, changed, deleted)
        unit.may_carry = bool(new)

    def flush(self, objects: Any = None) -> None:
        """Flush as SQLAlchemy does, and have the unit rolled back if that fails.

        After a failed flush SQLAlchemy discards the new objects, also if nothing was sent.
        """
        unit = _unit_of(self)
        try:
            super().flush(objects)
        except BaseException:
            unit.drop_carried()
            unit.set_rollback_only(FLUSH_FAILED)
            raise
        finally:
            unit.may_carry = False

    def close(self) -> None:
        """Discard all rows, and have the unit rolled back if any was unflushed."""
        self._note_unflushed()
        super().close()

    def reset(self) -> None:
        self._note_unflushed()
        super().reset()

    def invalidate(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def _note_unflushed(self) -> None:
        if holds_changes(self):
            _unit_of(self).rollback_reason = CLOSED_UNFLUSHED

    def commit(self) -> None:
        raise UsageError(COMMIT_REFUSED)

    def rollback(self) -> None:
        raise UsageError(ROLLBACK_REFUSED)

    def connection(self, bind_arguments: Any = None, execution_options: Any = None) -> Connection:
        _unit_of(self).check_usable()
        self.get_bind(**(bind_arguments or {}))
        return super().connection(None, execution_options)

    def get_bind(self, *args: Any, bind: Any = None, **kwargs: Any) -> Any:
        """Return the unit's connection. Raise UsageError for any other ``bind``."""
        if bind not in (None, self.bind):
            raise UsageError("the session of a unit has one connection, which cannot be changed")
        return super().get_bind(*args, **kwargs)


class _AsyncUnitConnection(AsyncConnection):
    """The connection that the session returns. It is usable as long as the unit runs."""

    @property
    def _proxied(self) -> Connection:
        connection = super()._proxied
        connection.get_execution_options()[UNIT].check_usable()
        return connection


class UnitSession(AsyncSession):
    """The ORM session of a unit. It is usable as long as the unit runs."""

    _sync: Session

    @property
    def sync_session(self) -> Session:
        """The synchronous session. Raises UsageError if the unit has ended."""
        _unit_of(self._sync).check_usable()
        return self._sync

    @sync_session.setter
    def sync_session(self, session: Session) -> None:
        self._sync = session

    # SQLAlchemy delegates methods such as `add` to the session of this name.
    _proxied = sync_session


def open_session(unit: Unit, engine: AsyncEngine, lease: Lease) -> UnitSession:
    """Return a session that sends each statement through ``unit``."""
    connection = UnitConnection(engine.sync_engine, lease, unit.user_id)
    connection.execution_options(**{UNIT: unit})
    return UnitSession(
        _AsyncUnitConnection(engine, connection),
        sync_session_class=_SyncSession,
        expire_on_commit=False,
        info={INFO: unit},
    )


def close_session(session: UnitSession) -> None:
    """Discard the session's objects, flushed or not, and its references to itself."""
    sync = session._sync  # noqa: SLF001 - of this module
    sync.expunge_all()
    # Otherwise only the garbage collector would free both, with all that they refer to.
    sync._transaction = None  # noqa: SLF001 - SQLAlchemy has no public name for it
    sync.bind._transaction = None  # type: ignore[union-attr]  # noqa: SLF001 - its connection, and no public name


def rollback_reason_of(session: UnitSession) -> str | None:
    """Return the rollback reason of the innermost open savepoint that has one."""
    savepoint = open_savepoint(session)
    while isinstance(savepoint, _Savepoint):
        if savepoint.rollback_reason is not None:
            return savepoint.rollback_reason
        savepoint = savepoint.parent
    return None


def open_savepoint(session: UnitSession) -> Any:
    """Return the innermost open savepoint, or None."""
    return session._sync.get_nested_transaction()  # noqa: SLF001 - of this module


def holds_changes(session: Session) -> bool:
    """Return whether there is something to flush, without a flush's greenlet."""
    return bool(session.new or session.deleted or session.identity_map.check_modified())


@event.listens_for(_SyncSession, "before_attach")
def _set_owner_on_attach(session: Session, row: Any) -> None:
    unit = _unit_of(session)
    unit.check_usable()
    if isinstance(row, Private):
        set_owner(unit, row)


@event.listens_for(_SyncSession, "after_flush")
def _send_carried(session: Session, _context: UOWTransaction) -> None:
    unit = _unit_of(session)
    unit.may_carry = False
    if unit.is_carrying:
        await_only(unit.send_carried())
