"""The ORM session of a unit: on the unit's transaction, under the unit's isolation."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Connection, event, inspect
from sqlalchemy.orm import (
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
    with_loader_criteria,
)

from faceplate.errors import InvalidInput, UsageError
from faceplate.flush_order import OrderedSession
from faceplate.models import Owned, Private


class UnitSession(OrderedSession):
    """The ORM session of a unit: its statements get the owner too, and it never commits."""

    def commit(self) -> None:
        raise UsageError("a unit does not commit: the runner does, when the unit has returned")

    def rollback(self) -> None:
        raise UsageError("a unit does not roll back: raise an error, and the runner does")


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


@event.listens_for(UnitSession, "after_begin")
def _begin(session: Session, _transaction: SessionTransaction, _connection: Connection) -> None:
    session.info["transaction"].begin_ahead()


@event.listens_for(UnitSession, "do_orm_execute")
def _add_owner(state: ORMExecuteState) -> None:
    user_id = state.session.info["transaction"].user_id
    if user_id is not None:
        state.statement = state.statement.options(_owned_by(user_id))


@event.listens_for(UnitSession, "before_attach")
def _check_attached(session: Session, row: Any) -> None:
    """Refuse what was loaded elsewhere: no criterion is added where a known row is refreshed."""
    if isinstance(row, Owned):
        identity = inspect(row).identity
        _check_owner(session, row, row.user_id if identity is None else identity[0])


@event.listens_for(UnitSession, "before_flush")
def _check_written(session: Session, _context: UOWTransaction, _instances: Any) -> None:
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
