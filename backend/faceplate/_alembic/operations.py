"""The Alembic operations that create a table's policy.

`faceplate.own_tables` registers them.
"""

from typing import Any

from alembic.autogenerate import comparators, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations
from alembic.operations.ops import UpgradeOps
from alembic.util import DispatchPriority
from sqlalchemy import Table, table, text

from faceplate._schema.policies import SEALED_USER, USER, stored_expression
from faceplate.models import SCHEMA, private_tables

POLICY = "of_user"
ISOLATED = text(f"""
SELECT n.nspname, c.relname, replace(pg_get_expr(p.polqual, c.oid), '"', '') AS using,
    replace(pg_get_expr(p.polwithcheck, c.oid), '"', '') AS "check"
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND p.polname = '{POLICY}' AND p.polcmd = '*' AND p.polpermissive
    AND p.polroles = ARRAY[0]::oid[]
""")  # noqa: S608 - our own name


class _UserIsolation(MigrateOperation):
    def __init__(self, table_name: str, *, schema: str | None = None) -> None:
        self.table_name = table_name
        self.schema = schema

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.schema, self.table_name)


@Operations.register_operation("enable_user_isolation")
class EnableUserIsolation(_UserIsolation):
    """Create a table's policy: ``op.enable_user_isolation("notes", schema=None)``.

    Units then see only the rows of their user. It grants the role of units to read and write the
    table, and creates a policy that compares ``user_id`` with the user of the transaction, and
    checks the seal if user ids are sealed. With FACEPLATE_ROW_LEVEL_SECURITY off it does nothing.
    """

    @classmethod
    def enable_user_isolation(
        cls, operations: Operations, table_name: str, *, schema: str | None = None
    ) -> None:
        operations.invoke(cls(table_name, schema=schema))

    def reverse(self) -> MigrateOperation:
        return DisableUserIsolation(self.table_name, schema=self.schema)


@Operations.register_operation("disable_user_isolation")
class DisableUserIsolation(_UserIsolation):
    """Drop a table's policy: ``op.disable_user_isolation("notes", schema=None)``.

    It also revokes the grants.
    """

    @classmethod
    def disable_user_isolation(
        cls, operations: Operations, table_name: str, *, schema: str | None = None
    ) -> None:
        operations.invoke(cls(table_name, schema=schema))

    def reverse(self) -> MigrateOperation:
        return EnableUserIsolation(self.table_name, schema=self.schema)


@Operations.implementation_for(EnableUserIsolation)
def _enable(operations: Operations, operation: EnableUserIsolation) -> None:
    if not _is_wanted(operations.migration_context.config):
        return
    name = _quoted(operations, operation)
    if operation.schema is not None:
        preparer = operations.impl.dialect.identifier_preparer
        schema = preparer.quote_schema(operation.schema)
        operations.execute(f"GRANT USAGE ON SCHEMA {schema} TO faceplate_app")
    operations.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO faceplate_app")
    operations.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    # Autogenerate may have found a policy of this name with another expression.
    operations.execute(f"DROP POLICY IF EXISTS {POLICY} ON {name}")
    # For all roles: the role of units could drop a policy for itself alone with DROP OWNED.
    operations.execute(
        f"CREATE POLICY {POLICY} ON {name} USING (user_id = {USER}) WITH CHECK (user_id = {USER})"
    )
    operations.execute(
        f"DO $do$ BEGIN IF to_regprocedure('{SEALED_USER}') IS NOT NULL THEN"
        f" ALTER POLICY {POLICY} ON {name} USING (user_id = (SELECT {SEALED_USER}))"
        f" WITH CHECK (user_id = (SELECT {SEALED_USER})); END IF; END $do$"
    )


@Operations.implementation_for(DisableUserIsolation)
def _disable(operations: Operations, operation: DisableUserIsolation) -> None:
    if not _is_wanted(operations.migration_context.config):
        return
    name = _quoted(operations, operation)
    operations.execute(f"DROP POLICY IF EXISTS {POLICY} ON {name}")
    operations.execute(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY")
    operations.execute(f"REVOKE ALL ON {name} FROM faceplate_app")


@renderers.dispatch_for(EnableUserIsolation)
def _render_enable(_context: AutogenContext, operation: EnableUserIsolation) -> str:
    return _rendered("enable_user_isolation", operation)


@renderers.dispatch_for(DisableUserIsolation)
def _render_disable(_context: AutogenContext, operation: DisableUserIsolation) -> str:
    return _rendered("disable_user_isolation", operation)


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)  # after the table is created
def _add_missing_policies(
    context: AutogenContext, upgrade_ops: UpgradeOps, _schemas: set[str | None]
) -> None:
    """Add the operation for every private table that lacks its policy."""
    migration_context = context.migration_context
    if context.connection is None or not _is_wanted(migration_context.config):
        return
    default = context.connection.dialect.default_schema_name
    mine = [(stored_expression("user_id", sealed=sealed),) * 2 for sealed in (False, True)]
    guarded = {
        (row.nspname, row.relname)
        for row in context.connection.execute(ISOLATED)
        if (row.using, row.check) in mine
    }
    for model_table, column in private_tables().items():
        name = (model_table.schema or default, model_table.name)
        if _is_compared(context, model_table, column) and name not in guarded:
            operation = EnableUserIsolation(model_table.name, schema=model_table.schema)
            upgrade_ops.ops.append(operation)


def _is_compared(context: AutogenContext, private: Table, column: str) -> bool:
    """Return whether the table is the project's and has the policy's column."""
    is_the_projects = private.schema != SCHEMA and private in context.sorted_tables
    return is_the_projects and column == "user_id"


def _is_wanted(config: Any) -> bool:
    """Return whether row-level security is on."""
    return bool(config is None or config.attributes.get("row_level_security", True))


def _quoted(operations: Operations, operation: _UserIsolation) -> str:
    preparer = operations.impl.dialect.identifier_preparer
    return preparer.format_table(table(operation.table_name, schema=operation.schema))


def _rendered(name: str, operation: _UserIsolation) -> str:
    schema = f", schema={operation.schema!r}" if operation.schema else ""
    return f"op.{name}({operation.table_name!r}{schema})"
