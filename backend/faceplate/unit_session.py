"""The ORM session of a unit: on the unit's transaction, under the unit's isolation.

Whatever way a statement takes to the database, it goes over the session's `UnitConnection`: what a
unit executes, what SQLAlchemy loads, flushes and writes in bulk. There it is compiled under the
owner criterion, and there the values that must be the owner are compared with the scope's user.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Insert,
    PoolProxiedConnection,
    TextClause,
    event,
    inspect,
)
from sqlalchemy.dialects.postgresql.asyncpg import PGExecutionContext_asyncpg
from sqlalchemy.orm import (
    ORMExecuteState,
    Session,
    SessionTransaction,
    UOWTransaction,
    with_loader_criteria,
)

from faceplate.errors import InvalidInput, UsageError
from faceplate.flush_order import OrderedSession
from faceplate.models import SCHEMA, Private
from faceplate.owner_criterion import OwnerCompiler, limited
from faceplate.ownership import OWNER, Owner, owned_table

NOTHING: Mapping[str, str] = {}
NO_VALUES: tuple[dict[str, Any], ...] = ({},)
MANY = 2


class UnitConnection(Connection):
    """A connection whose statements reach the rows of ``user_id`` alone; with None, all rows.

    It overrides what SQLAlchemy's events surround: they would cost a statement a hundred calls.
    """

    def __init__(
        self, engine: Engine, connection: PoolProxiedConnection, user_id: UUID | None
    ) -> None:
        super().__init__(engine, connection)
        self.user_id = user_id
        if user_id is not None:
            self.dialect = _limited(engine.dialect)

    def _execute_clauseelement(self, elem: Any, distilled_parameters: Any, options: Any) -> Any:
        if self.user_id is not None and not isinstance(elem, TextClause):
            distilled_parameters = self._give_owner(elem, distilled_parameters)
        return super()._execute_clauseelement(elem, distilled_parameters, options)

    def _execute_ddl(self, *arguments: Any) -> Any:
        if self.user_id is not None:
            raise UsageError("a unit changes no tables: a migration does")
        return super()._execute_ddl(*arguments)

    def _execute_compiled(self, *arguments: Any) -> Any:
        """Execute what is compiled already, as SQLAlchemy 2.0 does."""
        if self.user_id is not None:
            raise UsageError("execute the statement itself: a compiled one has no owner")
        return super()._execute_compiled(*arguments)  # type: ignore[misc]  # 2.1 has it no more

    def _give_owner(self, statement: Any, rows: Any) -> list[dict[str, Any]]:
        given = {OWNER: self.user_id}
        if len(rows) < MANY:
            return [{**row, **given} for row in rows or NO_VALUES]
        # Where SQLAlchemy returns many new rows in their order, it looks for their keys in these.
        table = owned_table(statement.table) if isinstance(statement, Insert) else None
        new = {} if table is None else {table.key: self.user_id}
        return [{**new, **row, **given} for row in rows]


class UnitContext(PGExecutionContext_asyncpg):
    """Refuses a row of another user before it is sent."""

    def pre_exec(self) -> None:
        super().pre_exec()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        if SCHEMA in self.execution_options.get("schema_translate_map", NOTHING).values():
            raise UsageError(f"no other schema can stand for {SCHEMA} in a unit")
        compiled = self.compiled
        if isinstance(compiled, OwnerCompiler) and compiled.given:
            connection: Any = self.root_connection
            for name, field in compiled.owner_names.items():
                for values in self.compiled_parameters:
                    if values[name] != connection.user_id:
                        raise _not_the_user(field)


def _limited(dialect: Dialect) -> Dialect:
    made = limited(dialect)
    made.execution_ctx_cls = UnitContext
    return made


class UnitSession(OrderedSession):
    """The ORM session of a unit: its statements get the owner too, and it never commits."""

    def commit(self) -> None:
        raise UsageError("a unit does not commit: the runner does, when the unit has returned")

    def rollback(self) -> None:
        raise UsageError("a unit does not roll back: raise an error, and the runner does")

    def connection(self, bind_arguments: Any = None, execution_options: Any = None) -> Connection:
        self.get_bind(**(bind_arguments or {}))
        return super().connection(None, execution_options)

    def get_bind(self, *args: Any, bind: Any = None, **kwargs: Any) -> Any:
        """Return the unit's connection; a statement by any other would be in no transaction."""
        if bind not in (None, self.bind):
            raise UsageError("the session of a unit has one connection")
        return super().get_bind(*args, **kwargs)


def holds_changes(session: Session) -> bool:
    """Whether there is something to flush, without the greenlet that a flush takes."""
    return bool(session.new or session.deleted or session.identity_map.check_modified())


@lru_cache(maxsize=1024)
def _owned_by(user_id: UUID) -> Any:
    """What adds the owner to a statement; to make it costs as much as to run one."""
    owner = Owner(None, user_id, unique=True)
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
def _own_attached(session: Session, row: Any) -> None:
    """Give a new row its owner, and refuse one that was loaded elsewhere."""
    if isinstance(row, Private):
        _own(session, row)


@event.listens_for(UnitSession, "before_flush")
def _own_written(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    for row in (*session.new, *session.dirty, *session.deleted):
        if isinstance(row, Private):
            _own(session, row)
    for row in session.new:
        if getattr(row, "id", row) is None:
            row.id = session.info["transaction"].new_id()


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


def _own(session: Session, row: Private) -> None:
    """Give a new row the scope's user, and refuse a row of another user."""
    user_id = session.info["transaction"].user_id
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
        raise _not_the_user(field)


def _not_the_user(field: str) -> InvalidInput:
    return InvalidInput(field, "must be the user that the unit runs for")
