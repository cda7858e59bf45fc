"""SQLAlchemy's connection of a unit's session: limits each statement to the user.

Each statement passes a `UnitConnection`, whether the unit executes it or SQLAlchemy loads, flushes
or writes in bulk. The connection compiles it with the owner criterion, and compares values that
must be the owner with the unit's user.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Dialect, Engine, Insert, RootTransaction, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import PGExecutionContext_asyncpg
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_only

from faceplate._driver.dialect import UNIT
from faceplate._driver.pool import Lease
from faceplate._orm.owner_criterion import OwnerCompiler, owner_dialect
from faceplate._orm.ownership import OWNER, check_translation, owned_table
from faceplate.errors import InvalidInput, UsageError

NO_VALUES: tuple[dict[str, Any], ...] = ({},)
MANY = 2
CONNECTION_REFUSED = (
    "the runner owns the connection of a unit: it ends the transaction and checks the connection in"
)
COMMIT_REFUSED = "a unit cannot commit: the runner commits when the unit has returned"
ROLLBACK_REFUSED = "a unit cannot roll back: raise an error, and the runner rolls back"
SESSION_ROLLED_BACK = (
    "nothing was written: the session's transaction, which is the unit's, was rolled back; do what"
    " may fail inside of `async with scope.session.begin_nested():`"
)
SAVEPOINT_NOT_ROLLED_BACK = (
    "nothing was written: a block of begin_nested failed and could not be rolled back"
)


class _LentConnection:
    """The pool's connection as a unit may use it: only the runner checks it in.

    A statement needs a cursor alone. SQLAlchemy's proxy is made for whatever else is asked for.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease.proxied, name)

    def cursor(self, **options: Any) -> Any:
        return self._lease.dbapi_connection.cursor(**options)

    def close(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def detach(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        """Invalidate the connection after SQLAlchemy has found it lost."""
        if e is None:
            raise UsageError(CONNECTION_REFUSED)
        self._lease.proxied.invalidate(e, soft)


class UnitConnection(Connection):
    """A connection whose statements see the rows of ``user_id``; if None, all rows.

    It overrides methods instead of listening to SQLAlchemy's events, which would cost each
    statement a hundred calls.
    """

    def __init__(self, engine: Engine, lease: Lease, user_id: UUID | None) -> None:
        lent: Any = _LentConnection(lease)
        super().__init__(engine, lent)
        self.user_id = user_id
        if user_id is not None:
            self.dialect = _unit_dialect(engine.dialect)

    @property
    def connection(self) -> PoolProxiedConnection:
        """The driver's connection, lent to the unit: see `Transaction.lend_driver`."""
        await_only(self._execution_options[UNIT].lend_driver())
        return super().connection

    def begin(self) -> RootTransaction:
        if self._transaction is None:
            return _UnitTransaction(self)
        return super().begin()

    def commit(self) -> None:
        raise UsageError(COMMIT_REFUSED)

    def rollback(self) -> None:
        raise UsageError(ROLLBACK_REFUSED)

    def close(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def detach(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def _begin_impl(self, _transaction: RootTransaction) -> None:
        """Send nothing: the runner begins and ends the transaction."""

    def _rollback_impl(self) -> None:
        """Send nothing."""

    def _commit_impl(self) -> None:
        """Send nothing."""

    def _rollback_to_savepoint_impl(self, name: str) -> None:
        self._execution_options[UNIT].drop_carried()
        try:
            super()._rollback_to_savepoint_impl(name)
        except BaseException:
            self._execution_options[UNIT].rollback_reason = SAVEPOINT_NOT_ROLLED_BACK
            raise

    def _release_savepoint_impl(self, name: str) -> None:
        try:
            super()._release_savepoint_impl(name)
        except UsageError:  # RELEASE was not sent, and SQLAlchemy does not roll back
            self._execution_options[UNIT].rollback_reason = SAVEPOINT_NOT_ROLLED_BACK
            raise

    def _execute_context(self, *arguments: Any, **named: Any) -> Any:
        """Execute a statement. SQLAlchemy's other methods call this one."""
        self._execution_options[UNIT].check_usable()
        return super()._execute_context(*arguments, **named)

    def _execute_clauseelement(self, elem: Any, distilled_parameters: Any, options: Any) -> Any:
        if self.user_id is not None and not isinstance(elem, TextClause):
            distilled_parameters = self._give_owner(elem, distilled_parameters)
        return super()._execute_clauseelement(elem, distilled_parameters, options)

    def _execute_ddl(self, *arguments: Any) -> Any:
        if self.user_id is not None:
            raise UsageError("a unit cannot change tables: use a migration")
        return super()._execute_ddl(*arguments)

    def _execute_compiled(self, *arguments: Any) -> Any:
        """Execute a compiled statement, which SQLAlchemy 2.0 still accepts."""
        if self.user_id is not None:
            raise UsageError("execute the statement itself: a compiled statement has no owner")
        return super()._execute_compiled(*arguments)  # type: ignore[misc]  # absent from 2.1

    def _give_owner(self, statement: Any, rows: Any) -> list[dict[str, Any]]:
        given = {OWNER: self.user_id}
        if len(rows) < MANY:
            return [{**row, **given} for row in rows or NO_VALUES]
        # To return many new rows in order, SQLAlchemy looks for their keys in the values.
        table = owned_table(statement.table) if isinstance(statement, Insert) else None
        new = {} if table is None else {table.key: self.user_id}
        return [{**new, **row, **given} for row in rows]


class _UnitTransaction(RootTransaction):
    """SQLAlchemy's transaction object, in place of the runner's transaction.

    A `Session.begin` block that fails rolls it back, and so does another session on it.
    """

    __slots__ = ()

    def _do_rollback(self) -> None:
        self.connection.get_execution_options()[UNIT].rollback_reason = SESSION_ROLLED_BACK
        super()._do_rollback()


class UnitContext(PGExecutionContext_asyncpg):
    """Refuses a statement with another user's row before it is sent."""

    def pre_exec(self) -> None:
        super().pre_exec()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        if translated := self.execution_options.get("schema_translate_map"):
            check_translation(translated)
        compiled = self.compiled
        if isinstance(compiled, OwnerCompiler) and compiled.given:
            connection: Any = self.root_connection
            for name, field in compiled.owner_names.items():
                for values in self.compiled_parameters:
                    if values[name] != connection.user_id:
                        raise other_user_error(field)


def is_flushed_update(context: Any) -> bool:
    """Return whether a statement is an UPDATE by which a flush writes one row, and nothing else.

    Only a flush, and an UPDATE by primary key that the unit executes, bring a cache of their own.
    """
    compiled = context.compiled
    return (
        context.isupdate
        and not context.executemany
        and not compiled.effective_returning
        and "compiled_cache" in context.execution_options
        and "compile_state_plugin" not in compiled.statement._propagate_attrs  # noqa: SLF001 - SQLAlchemy has no public name for it
    )


def _unit_dialect(dialect: Dialect) -> Dialect:
    made = owner_dialect(dialect)
    made.execution_ctx_cls = UnitContext
    return made


def other_user_error(field: str) -> InvalidInput:
    """Return the error for a row whose ``field`` is another user."""
    return InvalidInput(field, "must be the user that the unit runs for")
