"""SQLAlchemy's connection under a unit's session: each statement is held to the unit's user.

Whatever way a statement takes to the database, it goes over a `UnitConnection`: what a unit
executes, what SQLAlchemy loads, flushes and writes in bulk. There it is compiled under the owner
criterion, and the values that must be the owner are compared with the unit's user.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Dialect, Engine, Insert, RootTransaction, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import PGExecutionContext_asyncpg
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_only

from faceplate._driver.dialect import UNIT
from faceplate._orm.owner_criterion import OwnerCompiler, owner_dialect
from faceplate._orm.ownership import OWNER, check_translation, owned_table
from faceplate.errors import InvalidInput, UsageError

NO_VALUES: tuple[dict[str, Any], ...] = ({},)
MANY = 2
CONNECTION_REFUSED = (
    "the connection of a unit is the runner's: it ends its transaction and gives it back"
)
COMMIT_REFUSED = "a unit does not commit: the runner does, when the unit has returned"
ROLLBACK_REFUSED = "a unit does not roll back: raise an error, and the runner does"
SESSION_ROLLED_BACK = (
    "the session's transaction was rolled back, and it is the unit's: a part that may fail belongs"
    " into `async with scope.session.begin_nested():`; nothing was written"
)

SAVEPOINT_NOT_ROLLED_BACK = (
    "a nested block has failed and could not be rolled back; nothing was written"
)


class _LentConnection:
    """The pool's connection as a unit has it: the runner alone gives it back."""

    def __init__(self, proxied: PoolProxiedConnection) -> None:
        self._proxied = proxied

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proxied, name)

    def close(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def detach(self) -> None:
        raise UsageError(CONNECTION_REFUSED)

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's signature
        """Throw the connection away after it was lost, as SQLAlchemy does."""
        if e is None:
            raise UsageError(CONNECTION_REFUSED)
        self._proxied.invalidate(e, soft)


class UnitConnection(Connection):
    """A connection whose statements reach the rows of ``user_id`` alone; with None, all rows.

    It overrides what SQLAlchemy's events surround: they would cost a statement a hundred calls.
    """

    def __init__(
        self, engine: Engine, connection: PoolProxiedConnection, user_id: UUID | None
    ) -> None:
        lent: Any = _LentConnection(connection)
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
        """Send nothing, as the runner begins and ends the transaction."""

    def _rollback_impl(self) -> None:
        """Send nothing."""

    def _commit_impl(self) -> None:
        """Send nothing."""

    def _rollback_to_savepoint_impl(self, name: str) -> None:
        try:
            super()._rollback_to_savepoint_impl(name)
        except BaseException:
            self._execution_options[UNIT].rollback_reason = SAVEPOINT_NOT_ROLLED_BACK
            raise

    def _release_savepoint_impl(self, name: str) -> None:
        try:
            super()._release_savepoint_impl(name)
        except UsageError:  # it was not sent, and SQLAlchemy rolls nothing back then
            self._execution_options[UNIT].rollback_reason = SAVEPOINT_NOT_ROLLED_BACK
            raise

    def _execute_context(self, *arguments: Any, **named: Any) -> Any:
        """Execute anything: SQLAlchemy's other methods come to this one."""
        self._execution_options[UNIT].check_usable()
        return super()._execute_context(*arguments, **named)

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


class _UnitTransaction(RootTransaction):
    """What SQLAlchemy takes for the transaction on a connection that has the runner's.

    A block of `Session.begin` rolls it back where it fails, and so does another session's rollback.
    """

    __slots__ = ()

    def _do_rollback(self) -> None:
        self.connection.get_execution_options()[UNIT].rollback_reason = SESSION_ROLLED_BACK
        super()._do_rollback()


class UnitContext(PGExecutionContext_asyncpg):
    """Refuses a row of another user before it is sent."""

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


def _unit_dialect(dialect: Dialect) -> Dialect:
    made = owner_dialect(dialect)
    made.execution_ctx_cls = UnitContext
    return made


def other_user_error(field: str) -> InvalidInput:
    """Return the error for a row whose ``field`` is another user."""
    return InvalidInput(field, "must be the user that the unit runs for")
