"""The Alembic operations that say what units may do with a table.

`faceplate.own_tables` registers them.
"""

from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations
from sqlalchemy import table

from faceplate._driver.preamble import ROLE
from faceplate._schema.distribution import DISTRIBUTE, UNDISTRIBUTE
from faceplate._schema.policies import POLICY, SEALED_USER, USER

WRITING = "SELECT, INSERT, UPDATE, DELETE"


class _OnTable(MigrateOperation):
    def __init__(self, table_name: str, *, schema: str | None = None) -> None:
        self.table_name = table_name
        self.schema = schema

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.schema, self.table_name)


class _OnTableOfUsers(_OnTable):
    def __init__(
        self, table_name: str, *, schema: str | None = None, column: str = "user_id"
    ) -> None:
        super().__init__(table_name, schema=schema)
        self.column = column


@Operations.register_operation("enable_user_isolation")
class EnableUserIsolation(_OnTableOfUsers):
    """Create a table's policy: ``op.enable_user_isolation("notes", schema=None)``.

    Units then see only the rows of their user. It grants the role of units to read and write the
    table, and creates a policy that compares ``column``, by default ``user_id``, with the user of
    the transaction, and checks the seal if user ids are sealed. With
    FACEPLATE_ROW_LEVEL_SECURITY off it does nothing.
    """

    @classmethod
    def enable_user_isolation(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        column: str = "user_id",
    ) -> None:
        operations.invoke(cls(table_name, schema=schema, column=column))

    def reverse(self) -> MigrateOperation:
        return DisableUserIsolation(self.table_name, schema=self.schema, column=self.column)


@Operations.register_operation("disable_user_isolation")
class DisableUserIsolation(_OnTableOfUsers):
    """Drop a table's policy: ``op.disable_user_isolation("notes", schema=None)``.

    It also revokes the grants. ``column`` is for a downgrade, which creates the policy again.
    """

    @classmethod
    def disable_user_isolation(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        column: str = "user_id",
    ) -> None:
        operations.invoke(cls(table_name, schema=schema, column=column))

    def reverse(self) -> MigrateOperation:
        return EnableUserIsolation(self.table_name, schema=self.schema, column=self.column)


class _UnitGrant(_OnTable):
    def __init__(self, table_name: str, *, schema: str | None = None, write: bool = False) -> None:
        super().__init__(table_name, schema=schema)
        self.write = write


@Operations.register_operation("grant_to_units")
class GrantToUnits(_UnitGrant):
    """Let units read a table that has no user: ``op.grant_to_units("plans", schema=None)``.

    All users' units then read all of its rows. With ``write=True`` they may also insert, update and
    delete them. With FACEPLATE_ROW_LEVEL_SECURITY off it does nothing.
    """

    @classmethod
    def grant_to_units(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        write: bool = False,
    ) -> None:
        operations.invoke(cls(table_name, schema=schema, write=write))

    def reverse(self) -> MigrateOperation:
        return RevokeFromUnits(self.table_name, schema=self.schema, write=self.write)


@Operations.register_operation("revoke_from_units")
class RevokeFromUnits(_UnitGrant):
    """Take back what `GrantToUnits` grants: ``op.revoke_from_units("plans", schema=None)``.

    With ``write=True`` units may still read the table.
    """

    @classmethod
    def revoke_from_units(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        write: bool = False,
    ) -> None:
        operations.invoke(cls(table_name, schema=schema, write=write))

    def reverse(self) -> MigrateOperation:
        return GrantToUnits(self.table_name, schema=self.schema, write=self.write)


@Operations.register_operation("distribute_table")
class DistributeTable(_OnTableOfUsers):
    """Distribute a table on a Citus cluster: ``op.distribute_table("notes", schema=None)``.

    It is distributed by ``column``, by default ``user_id``, beside faceplate's tables. Where those
    are not distributed, it does nothing. Create foreign keys to tables of users after it, as Citus
    refuses them before.
    """

    @classmethod
    def distribute_table(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        column: str = "user_id",
    ) -> None:
        operations.invoke(cls(table_name, schema=schema, column=column))

    def reverse(self) -> MigrateOperation:
        return UndistributeTable(self.table_name, schema=self.schema, column=self.column)


@Operations.register_operation("undistribute_table")
class UndistributeTable(_OnTableOfUsers):
    """Copy a distributed table back: ``op.undistribute_table("notes", schema=None)``.

    ``column`` is for a downgrade, which distributes the table again.
    """

    @classmethod
    def undistribute_table(
        cls,
        operations: Operations,
        table_name: str,
        *,
        schema: str | None = None,
        column: str = "user_id",
    ) -> None:
        operations.invoke(cls(table_name, schema=schema, column=column))

    def reverse(self) -> MigrateOperation:
        return DistributeTable(self.table_name, schema=self.schema, column=self.column)


@Operations.implementation_for(EnableUserIsolation)
def _enable(operations: Operations, operation: EnableUserIsolation) -> None:
    if not is_wanted(operations.migration_context.config):
        return
    name = _quoted(operations, operation)
    column = operations.impl.dialect.identifier_preparer.quote(operation.column)
    _grant(operations, operation, WRITING)
    operations.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    # Autogenerate may have found a policy of this name with another expression.
    operations.execute(f"DROP POLICY IF EXISTS {POLICY} ON {name}")
    # For all roles: the role of units could drop a policy for itself alone with DROP OWNED.
    operations.execute(
        f"CREATE POLICY {POLICY} ON {name} USING ({column} = {USER}) WITH CHECK ({column} = {USER})"
    )
    operations.execute(
        f"DO $do$ BEGIN IF to_regprocedure('{SEALED_USER}') IS NOT NULL THEN"
        f" ALTER POLICY {POLICY} ON {name} USING ({column} = (SELECT {SEALED_USER}))"
        f" WITH CHECK ({column} = (SELECT {SEALED_USER})); END IF; END $do$"
    )


@Operations.implementation_for(DisableUserIsolation)
def _disable(operations: Operations, operation: DisableUserIsolation) -> None:
    if not is_wanted(operations.migration_context.config):
        return
    name = _quoted(operations, operation)
    operations.execute(f"DROP POLICY IF EXISTS {POLICY} ON {name}")
    operations.execute(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
    operations.execute(f"REVOKE ALL ON {name} FROM {ROLE}")


@Operations.implementation_for(GrantToUnits)
def _grant_to_units(operations: Operations, operation: GrantToUnits) -> None:
    if is_wanted(operations.migration_context.config):
        _grant(operations, operation, WRITING if operation.write else "SELECT")


@Operations.implementation_for(RevokeFromUnits)
def _revoke_from_units(operations: Operations, operation: RevokeFromUnits) -> None:
    if is_wanted(operations.migration_context.config):
        privileges = "INSERT, UPDATE, DELETE" if operation.write else "ALL"
        operations.execute(f"REVOKE {privileges} ON {_quoted(operations, operation)} FROM {ROLE}")


@Operations.implementation_for(DistributeTable)
def _distribute(operations: Operations, operation: DistributeTable) -> None:
    name, column = _literal(_quoted(operations, operation)), _literal(operation.column)
    operations.execute(DISTRIBUTE.format(name=name, column=column))


@Operations.implementation_for(UndistributeTable)
def _undistribute(operations: Operations, operation: UndistributeTable) -> None:
    operations.execute(UNDISTRIBUTE.format(name=_literal(_quoted(operations, operation))))


def _grant(operations: Operations, operation: _OnTable, privileges: str) -> None:
    if operation.schema is not None:
        preparer = operations.impl.dialect.identifier_preparer
        schema = preparer.quote_schema(operation.schema)
        operations.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}")
    operations.execute(f"GRANT {privileges} ON {_quoted(operations, operation)} TO {ROLE}")


@renderers.dispatch_for(EnableUserIsolation)
def _render_enable(_context: AutogenContext, operation: EnableUserIsolation) -> str:
    return _rendered("enable_user_isolation", operation)


@renderers.dispatch_for(DisableUserIsolation)
def _render_disable(_context: AutogenContext, operation: DisableUserIsolation) -> str:
    return _rendered("disable_user_isolation", operation)


@renderers.dispatch_for(DistributeTable)
def _render_distribute(_context: AutogenContext, operation: DistributeTable) -> str:
    return _rendered("distribute_table", operation)


@renderers.dispatch_for(UndistributeTable)
def _render_undistribute(_context: AutogenContext, operation: UndistributeTable) -> str:
    return _rendered("undistribute_table", operation)


def is_wanted(config: Any) -> bool:
    """Return whether row-level security is on."""
    return bool(config is None or config.attributes.get("row_level_security", True))


def _quoted(operations: Operations, operation: _OnTable) -> str:
    preparer = operations.impl.dialect.identifier_preparer
    return preparer.format_table(table(operation.table_name, schema=operation.schema))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _rendered(name: str, operation: _OnTableOfUsers) -> str:
    schema = f", schema={operation.schema!r}" if operation.schema else ""
    column = f", column={operation.column!r}" if operation.column != "user_id" else ""
    return f"op.{name}({operation.table_name!r}{schema}{column})"
