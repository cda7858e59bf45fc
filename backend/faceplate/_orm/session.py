"""The ORM session of a unit: on the unit's transaction, under the unit's isolation.

It adds the owner to what is loaded through models, gives new rows their owner and their ids, and
refuses rows of another user. Below it, a `UnitConnection` holds every statement to the user.
"""

from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Connection,
    TypeDecorator,
    Uuid,
    event,
    inspect,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import (
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
    with_loader_criteria,
)
from sqlalchemy.pool import PoolProxiedConnection

from faceplate._driver.dialect import UNIT
from faceplate._driver.error_mapping import FLUSH_FAILED
from faceplate._orm.connection import (
    COMMIT_REFUSED,
    CONNECTION_REFUSED,
    ROLLBACK_REFUSED,
    SAVEPOINT_NOT_ROLLED_BACK,
    UnitConnection,
    other_user_error,
)
from faceplate._orm.flush_order import OrderedSession
from faceplate._orm.ownership import OWNER, Owner
from faceplate._orm.unit import Unit
from faceplate.column_types import Id
from faceplate.errors import UsageError
from faceplate.models import Private

CLOSED_UNFLUSHED = (
    "the unit's session was closed before it had flushed all that it held: leave it open, and the"
    " runner flushes and closes it"
)

INFO = "unit"
"""Where `Session.info` has the unit."""


def _unit_of(session: Session) -> Unit:
    unit: Unit = session.info[INFO]
    return unit


class _Savepoint(SessionTransaction):
    """The savepoint of a `begin_nested` block; it refuses to be released after a failed flush.

    SQLAlchemy would release it silently where the block has caught the flush's error. Where
    PostgreSQL cannot roll back to the savepoint, as while another task uses the scope, the unit
    itself can only be rolled back.
    """

    rollback_reason: str | None = None
    """Why the savepoint must not be released: see `Unit.rollback_reason`."""

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
            super().__exit__(type_, value, traceback)
        except BaseException:
            if not self._transaction_is_closed():
                unit.rollback_reason = SAVEPOINT_NOT_ROLLED_BACK
            raise
        if caught is not None:
            raise caught


class _SyncSession(OrderedSession):
    """The session below: its statements get the owner too, and it never commits."""

    def begin_nested(self) -> SessionTransaction:
        """Send SAVEPOINT now: what a `Statement` writes in the block is undone with it, too."""
        nested = super().begin_nested()
        nested.__class__ = _Savepoint
        try:
            self.connection()
        except BaseException:
            nested.rollback()
            raise
        return nested

    def flush(self, objects: Any = None) -> None:
        """Flush as SQLAlchemy does. A unit whose flush has failed must not return as if it had not.

        SQLAlchemy forgets the new objects then, also where PostgreSQL never heard of them.
        """
        try:
            super().flush(objects)
        except BaseException:
            _unit_of(self).set_rollback_only(FLUSH_FAILED)
            raise

    def close(self) -> None:
        """Let go of all rows. A unit must not return as if new ones of them were kept."""
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
        """Return the unit's connection; a statement by any other would be in no transaction."""
        if bind not in (None, self.bind):
            raise UsageError("the session of a unit has one connection")
        return super().get_bind(*args, **kwargs)


class _AsyncUnitConnection(AsyncConnection):
    """What the session's ``connection`` returns, which lives as long as the unit."""

    @property
    def _proxied(self) -> Connection:
        connection = super()._proxied
        connection.get_execution_options()[UNIT].check_usable()
        return connection


class UnitSession(AsyncSession):
    """The ORM session of a unit, which lives as long as the unit."""

    _sync: Session

    @property
    def sync_session(self) -> Session:
        """The session below. Raises UsageError where the unit has ended."""
        _unit_of(self._sync).check_usable()
        return self._sync

    @sync_session.setter
    def sync_session(self, session: Session) -> None:
        self._sync = session

    # All that SQLAlchemy passes on to the session below, such as `add`, goes by this name.
    _proxied = sync_session


def open_session(unit: Unit, engine: AsyncEngine, proxied: PoolProxiedConnection) -> UnitSession:
    """Return a session whose every statement is told to ``unit``."""
    connection = UnitConnection(engine.sync_engine, proxied, unit.user_id)
    connection.execution_options(**{UNIT: unit})
    return UnitSession(
        _AsyncUnitConnection(engine, connection),
        sync_session_class=_SyncSession,
        expire_on_commit=False,
        info={INFO: unit},
    )


def close_session(session: UnitSession) -> None:
    """Let go of the session's objects. What it has not flushed is lost."""
    session._sync.expunge_all()  # noqa: SLF001 - of this module


def rollback_reason_of(session: UnitSession) -> str | None:
    """Return the rollback reason of an open savepoint, the innermost one's first, or None."""
    block = open_savepoint(session)
    while isinstance(block, _Savepoint):
        if block.rollback_reason is not None:
            return block.rollback_reason
        block = block.parent
    return None


def open_savepoint(session: UnitSession) -> Any:
    """Return the innermost nested block that is open, or None."""
    return session._sync.get_nested_transaction()  # noqa: SLF001 - of this module


def holds_changes(session: Session) -> bool:
    """Whether there is something to flush, without the greenlet that a flush takes."""
    return bool(session.new or session.deleted or session.identity_map.check_modified())


@lru_cache(maxsize=1024)
def _owner_criteria(user_id: UUID) -> Any:
    """What adds the owner to a statement; to make it costs as much as to run one."""
    # By a name that no caller's value has, and with the value for what SQLAlchemy evaluates itself.
    owner = Owner(OWNER, user_id, type_=Id())
    return with_loader_criteria(Private, lambda model: model.user_id == owner, include_aliases=True)


@event.listens_for(_SyncSession, "do_orm_execute")
def _add_owner(state: ORMExecuteState) -> None:
    unit = _unit_of(state.session)
    unit.check_usable()
    user_id = unit.user_id
    if user_id is not None:
        state.statement = state.statement.options(_owner_criteria(user_id))


@event.listens_for(_SyncSession, "before_attach")
def _set_owner_on_attach(session: Session, row: Any) -> None:
    """Give a new row its owner, and refuse one that was loaded elsewhere."""
    _unit_of(session).check_usable()
    if isinstance(row, Private):
        _set_owner(session, row)


@event.listens_for(_SyncSession, "before_flush")
def _set_owner_before_flush(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    _unit_of(session).check_usable()
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Private):
            _set_owner(session, row)
    for row in session.new:
        model: Any = type(row)
        if getattr(row, "id", row) is None and _is_id_minted(model):
            row.id = _unit_of(session).new_id()


@lru_cache(maxsize=256)
def _is_id_minted(model: Any) -> bool:
    """Whether the ``id`` of a model is a UUID. A project's table may have the server count it."""
    column = inspect(model).columns.get("id")
    kind = getattr(column, "type", None)
    kind = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return isinstance(kind, Uuid) and kind.as_uuid


class _OwnerOf(NamedTuple):
    """Where a model keeps its owner."""

    key: str
    field: str
    place: int | None
    """In the primary key."""


@lru_cache(maxsize=256)
def _owner_of(model: Any) -> _OwnerOf:
    (column, *_) = model.user_id.property.columns
    primary_key = inspect(model).primary_key
    place = primary_key.index(column) if column in primary_key else None
    return _OwnerOf(model.user_id.property.key, f"{column.table.name}.{column.name}", place)


def _set_owner(session: Session, row: Private) -> None:
    """Give a new row the scope's user, and refuse a row of another user."""
    user_id = _unit_of(session).user_id
    if user_id is None:
        return
    model: Any = type(row)
    key, field, place = _owner_of(model)
    given, identity = row.__dict__.get(key), inspect(row).identity
    if given is None and identity is None:
        setattr(row, key, user_id)
        return
    owners = [given] if given is not None else []
    if identity is not None and place is not None:
        owners.append(identity[place])
    if not all(isinstance(owner, UUID) and owner == user_id for owner in owners):
        raise other_user_error(field)
