"""Checks of columns: type, default and nullability as in the models."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, DefaultClause

from faceplate._checks.findings import Flaw, warning
from faceplate._driver.dialect import DIALECT
from faceplate.column_types import Json, OneOf, Text
from faceplate.models import SCHEMA, Base

QUERY = """
SELECT json_agg(json_build_object(
    'table', c.relname, 'name', a.attname, 'is_nullable', NOT a.attnotnull,
    'type', format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation <> t.typcollation
        THEN ' with collation ' || a.attcollation::regcollation ELSE '' END,
    'default', pg_get_expr(d.adbin, d.adrelid),
    'fills_itself', a.attidentity <> '' OR a.attgenerated <> ''
) ORDER BY c.relname, a.attnum)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = 'faceplate' AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""


def flaws(rows: list[dict[str, Any]]) -> Iterator[Flaw]:
    """Yield the columns by which units fail or store other values."""
    found = {(row["table"], row["name"]): row for row in rows}
    tables = {name for name, _ in found}
    failing, changed = [], []
    for column in _expected():
        table, name = column.table.name, column.name
        if table in tables:
            row = found.pop((table, name), None)
            failing += [f"{SCHEMA}.{table}.{name} {what}" for what in _failing(column, row)]
            changed += [f"{SCHEMA}.{table}.{name} {what}" for what in _changed(column, row)]
    ours = {table.name for table in Base.metadata.tables.values()}
    failing += [
        f"{SCHEMA}.{table}.{name} is required, and units do not fill it"
        for (table, name), row in found.items()
        if table in ours and not (row["is_nullable"] or row["default"] or row["fills_itself"])
    ]
    words = "columns are not as the migrations create them"
    if failing:
        text = f"{words}, so that units fail: {'; '.join(failing)}: ALTER TABLE ... undoes it"
        yield Flaw(text, layer=None, depends_on_revision=True)
    if changed:
        yield warning(f"{words}: {'; '.join(changed)}: ALTER TABLE ... undoes it")


def _expected() -> Iterator[Column[Any]]:
    for table in Base.metadata.tables.values():
        yield from table.columns


def _failing(column: Column[Any], row: dict[str, Any] | None) -> Iterator[str]:
    expected_type = _type(column)
    if row is None:
        yield "is missing"
        return
    if (found_type := row["type"].replace('"', "")) != expected_type:
        yield f"is of type {found_type}, not {expected_type}"
    if column.nullable and not row["is_nullable"]:
        yield "may not be null"
    if column.server_default is not None and row["default"] is None:
        yield "has no default"


def _changed(column: Column[Any], row: dict[str, Any] | None) -> Iterator[str]:
    if row is None:
        return
    default = row["default"]
    if default is not None and default.replace('"', "") != _default(column):
        yield f"has the default {default}"
    if row["is_nullable"] and not column.nullable:
        yield "may be null"


def _type(column: Column[Any]) -> str:
    """Return the column's type as `QUERY` does, without quotation marks."""
    name, _, collation = column.type.compile(DIALECT).replace('"', "").partition(" COLLATE ")
    return f"{name.lower()} with collation {collation}" if collation else name.lower()


def _default(column: Column[Any]) -> str | None:
    """Return the column's default as PostgreSQL prints it."""
    default = column.server_default
    if not isinstance(default, DefaultClause):
        return None
    if isinstance(default.arg, str) and isinstance(column.type, Text | OneOf | Json):
        return f"'{default.arg}'::{column.type.compile(DIALECT).lower()}"
    return str(default.arg)
