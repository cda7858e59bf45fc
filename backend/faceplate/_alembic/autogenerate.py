"""What autogenerate adds: the policy and the distribution of private tables. Partitions are left.

`faceplate.own_tables` registers it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    CreateForeignKeyOp,
    CreateTableOp,
    DropTableOp,
    ModifyTableOps,
    UpgradeOps,
)
from alembic.util import DispatchPriority
from sqlalchemy import (
    ForeignKeyConstraint,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from faceplate._alembic.operations import (
    DisableUserIsolation,
    DistributeTable,
    EnableUserIsolation,
    is_wanted,
)
from faceplate._schema.policies import POLICY, stored_expression
from faceplate.models import SCHEMA, private_tables

Name: TypeAlias = tuple[str | None, str]
"""The schema, None for the default one, and the name of a table."""

ISOLATED = text(f"""
SELECT nullif(n.nspname, current_schema()) AS schema, c.relname AS name,
    replace(pg_get_expr(p.polqual, c.oid), '"', '') AS using,
    replace(pg_get_expr(p.polwithcheck, c.oid), '"', '') AS "check",
    c.relrowsecurity AND p.polcmd = '*' AND p.polpermissive AND p.polroles = ARRAY[0]::oid[]
        AS is_whole,
    coalesce((
        SELECT min(a.attname) FROM pg_depend d
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refobjid = c.oid
    ), 'user_id') AS "column"
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.polname = '{POLICY}'
""")  # noqa: S608 - our own name

PARTITIONS = text("""
SELECT nullif(n.nspname, current_schema()) AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relispartition AND c.relkind IN ('r', 'p')
""")


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)
def _keep_partitions(
    context: AutogenContext, upgrade_ops: UpgradeOps, _schemas: set[str | None]
) -> None:
    """Remove the operations that drop a partition, which no model declares."""
    if context.connection is None or context.connection.dialect.name != "postgresql":
        return
    default = context.connection.dialect.default_schema_name
    partitions = {(row.schema, row.name) for row in context.connection.execute(PARTITIONS)}
    declared = {_name(table, default) for table in context.sorted_tables}
    upgrade_ops.ops = [
        operation
        for operation in upgrade_ops.ops
        if not isinstance(operation, DropTableOp | ModifyTableOps)
        or (_of_default(operation.schema, default), operation.table_name)
        not in partitions - declared
    ]


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)  # after the table is created
def _compare_policies(
    context: AutogenContext, upgrade_ops: UpgradeOps, _schemas: set[str | None]
) -> None:
    """Add the operations for tables that lack their policy, or are no longer private."""
    if context.connection is None or not is_wanted(context.migration_context.config):
        return
    found = {(row.schema, row.name): row for row in context.connection.execute(ISOLATED)}
    default = context.connection.dialect.default_schema_name
    for table, column in private_tables().items():
        name = _name(table, default)
        if _is_compared(context, table) and not _is_isolated(found.get(name), column):
            upgrade_ops.ops.append(
                EnableUserIsolation(table.name, schema=table.schema, column=column)
            )
    ended = [
        DisableUserIsolation(name, schema=schema, column=found[schema, name].column)
        for schema, name in _no_longer_private(context, upgrade_ops, default)
        if (schema, name) in found
    ]
    # First: a column that a policy compares cannot be dropped. A downgrade runs them last.
    upgrade_ops.ops[:0] = ended


@comparators.dispatch_for("schema", priority=DispatchPriority.LAST)  # after the policies
def _distribute_new_tables(
    context: AutogenContext, upgrade_ops: UpgradeOps, _schemas: set[str | None]
) -> None:
    """Distribute each new private table, and create its keys to other tables of users after it.

    On a Citus cluster, a table that is not distributed yet may not refer to one that is.
    """
    if context.connection is None or context.connection.dialect.name != "postgresql":
        return
    private = {(table.schema, table.name): table for table in private_tables()}
    users = {table.fullname for table in private_tables()} - {f"{SCHEMA}.users"}
    distributed: list[DistributeTable] = []
    keys: list[CreateForeignKeyOp] = []
    for operation in upgrade_ops.ops:
        table = _created(operation, private)
        if table is None or not isinstance(operation, CreateTableOp):
            continue
        column = private_tables()[table]
        if not _has_user_in_keys(table, column):
            continue
        distributed.append(DistributeTable(table.name, schema=table.schema, column=column))
        later = _keys_to(users, operation.columns)
        kept = {*map(id, operation.columns)} - {*map(id, later)}
        operation.columns = [each for each in operation.columns if id(each) in kept]
        keys += [CreateForeignKeyOp.from_constraint(each) for each in later]
    upgrade_ops.ops += [*distributed, *keys]


def _created(operation: object, private: dict[Name, Table]) -> Table | None:
    if not isinstance(operation, CreateTableOp):
        return None
    return private.get((operation.schema, operation.table_name))


def _has_user_in_keys(table: Table, column: str) -> bool:
    """Return whether each unique key has the user's column, without which Citus refuses it."""
    keys = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    unique = [*keys, *(index for index in table.indexes if index.unique)]
    return all(column in [c.name for c in key.columns] for key in unique)


def _keys_to(table_names: set[str], items: Sequence[object]) -> list[ForeignKeyConstraint]:
    return [
        item
        for item in items
        if isinstance(item, ForeignKeyConstraint)
        and any(e.target_fullname.rpartition(".")[0] in table_names for e in item.elements)
    ]


def _is_isolated(row: Any, column: str) -> bool:
    mine = (stored_expression(column, sealed=sealed) for sealed in (False, True))
    return row is not None and row.is_whole and row.using == row.check and row.using in mine


def _no_longer_private(
    context: AutogenContext, upgrade_ops: UpgradeOps, default: str | None
) -> Iterator[Name]:
    """Yield the tables that the revision drops, and those whose model has no user any more.

    A table that keeps its user's column keeps its policy: the project may have written it by hand.
    """
    private = {_name(table, default) for table in private_tables()}
    for operation in upgrade_ops.ops:
        if isinstance(operation, DropTableOp):
            yield _of_default(operation.schema, default), operation.table_name
    for table in context.sorted_tables:
        name = _name(table, default)
        if name not in private and "user_id" not in table.c and _is_compared(context, table):
            yield name


def _is_compared(context: AutogenContext, table: Table) -> bool:
    """Return whether a table is the project's, and its env.py does not filter it out."""
    return (
        table.schema != SCHEMA
        and table in context.sorted_tables
        and context.run_name_filters(table.name, "table", {"schema_name": table.schema})
        and context.run_object_filters(table, table.name, "table", reflected=False, compare_to=None)
    )


def _name(table: Table, default: str | None) -> Name:
    return _of_default(table.schema, default), table.name


def _of_default(schema: str | None, default: str | None) -> str | None:
    return None if schema == default else schema
