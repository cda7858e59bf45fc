"""The ORM session of a unit: on the unit's transaction, under the unit's isolation."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, event, inspect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria
from sqlalchemy.pool import PoolProxiedConnection

from faceplate.engine import UNIT
from faceplate.errors import InvalidInput, UsageError
from faceplate.flush_order import OrderedSession
from faceplate.models import Owned, Private

if TYPE_CHECKING:
    from faceplate.transaction import Transaction


class _SyncSession(OrderedSession):
    """The session below: its statements get the owner too, and it never commits."""

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        self.info["transaction"].check_usable()
        return super().connection(*args, **kwargs)

    def commit(self) -> None:
        raise UsageError("a unit does not commit: the runner does, when the unit has returned")

    def rollback(self) -> None:
        raise UsageError("a unit does not roll back: raise an error, and the runner does")


class _UnitConnection(AsyncConnection):
    """What the session's ``connection`` returns, which lives as long as the unit."""

    @property
    def _proxied(self) -> Connection:
        connection = super()._proxied
        connection.get_execution_options()[UNIT].check_usable()
        return connection

    async def get_raw_connection(self) -> PoolProxiedConnection:
        await self._proxied.get_execution_options()[UNIT].lend_driver()
        return await super().get_raw_connection()


class UnitSession(AsyncSession):
    """The ORM session of a unit, which lives as long as the unit."""

    _sync: Session

    @property
    def sync_session(self) -> Session:
        """The session below. Raises UsageError where the unit has ended."""
        self._sync.info["transaction"].check_usable()
        return self._sync

    @sync_session.setter
    def sync_session(self, session: Session) -> None:
        self._sync = session

    # All that SQLAlchemy passes on to the session below, such as `add`, goes by this name.
    _proxied = sync_session


def open_session(
    transaction: "Transaction", engine: AsyncEngine, proxied: PoolProxiedConnection
) -> UnitSession:
    """Return a session whose every statement is told to ``transaction``."""
    connection = Connection(engine.sync_engine, connection=proxied)
    connection = connection.execution_options(**{UNIT: transaction})
    return UnitSession(
        _UnitConnection(engine, connection),
        sync_session_class=_SyncSession,
        expire_on_commit=False,
        info={"transaction": transaction},
    )


def close_session(session: UnitSession) -> None:
    """Let go of the session's objects. What it has not flushed is lost."""
    session._sync.expunge_all()  # noqa: SLF001 - of this module


def holds_changes(session: Session) -> bool:
    """Whether there is something to flush, without the greenlet that a flush takes."""
    return bool(session.new or session.deleted or session.identity_map.check_modified())


class _Owner(BindParameter[UUID]):
    """The owner in a criterion. SQLAlchemy looks parameters up in dictionaries, where its copies
    of this one meet it; a comparison in SQL, made for each, would cost more than the criterion."""

    inherit_cache = True
    __hash__ = BindParameter.__hash__

    def __eq__(self, other: object) -> bool:  # type: ignore[override]  # SQLAlchemy's is SQL
        return hash(self) == hash(other)


@lru_cache(maxsize=1024)
def _owned_by(user_id: UUID) -> Any:
    """What adds the owner to a statement; to make it costs as much as to run one."""
    owner = _Owner(None, user_id, unique=True)
    return with_loader_criteria(Private, lambda model: model.user_id == owner, include_aliases=True)


@event.listens_for(_SyncSession, "do_orm_execute")
def _add_owner(state: ORMExecuteState) -> None:
    transaction = state.session.info["transaction"]
    transaction.check_usable()
    user_id = transaction.user_id
    if user_id is not None:
        state.statement = state.statement.options(_owned_by(user_id))


@event.listens_for(_SyncSession, "before_attach")
def _check_attached(session: Session, row: Any) -> None:
    """Refuse what was loaded elsewhere: no criterion is added where a known row is refreshed."""
    if isinstance(row, Owned):
        identity = inspect(row).identity
        _check_owner(session, row, row.user_id if identity is None else identity[0])


@event.listens_for(_SyncSession, "before_flush")
def _check_written(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    session.info["transaction"].check_usable()
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Owned):
            _check_owner(session, row, row.user_id)
    for row in session.new:
        if getattr(row, "id", row) is None:
            row.id = session.info["transaction"].new_id()


def _check_owner(session: Session, row: Owned, owner: UUID) -> None:
    if session.info["transaction"].user_id not in (None, owner):
        raise InvalidInput(
            f"{inspect(row).mapper.local_table.name}.user_id",
            "must be the user that the unit runs for",
        )
