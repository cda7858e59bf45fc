"""Checks of keys, indexes and CHECK constraints against the models."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.schema import CreateIndex

from faceplate._checks.findings import COMPOSITE_KEYS, Flaw, warning
from faceplate.models import SCHEMA, Base, owned_tables

# PostgreSQL 18 added conenforced. It is read by way of JSON: older servers refuse the name.
# Citus has a trigger on each distributed table, and refuses others.
DISTRIBUTED = "pg_catalog.citus_truncate_trigger"
QUERY = f"""
SELECT json_build_object(
    'constraints', (
        SELECT json_agg(json_build_object(
            'name', k.conname, 'table', c.relname, 'kind', k.contype,
            'columns', ARRAY(SELECT a.attname
                FROM unnest(k.conkey) WITH ORDINALITY x (number, place)
                JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.number
                ORDER BY x.place),
            'of', (SELECT f.relname FROM pg_class f
                WHERE f.oid = k.confrelid AND f.relnamespace = c.relnamespace),
            'other_columns', ARRAY(SELECT a.attname
                FROM unnest(k.confkey) WITH ORDINALITY x (number, place)
                JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.number
                ORDER BY x.place),
            'cascades', k.confdeltype = 'c',
            'holds', k.convalidated AND NOT k.condeferrable
                AND coalesce((to_jsonb(k) ->> 'conenforced')::bool, true)
        ))
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'faceplate' AND k.contype IN ('p', 'u', 'f', 'c')
    ),
    'indexes', (
        SELECT json_agg(json_build_object(
            'name', x.relname, 'table', c.relname, 'holds', i.indisvalid,
            'is_unique', i.indisunique OR i.indisexclusion,
            'definition', pg_get_indexdef(x.oid),
            'first', (SELECT a.attname FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum = i.indkey[0])
        ) ORDER BY x.relname)
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
            JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'faceplate'
    ),
    'switched_off', ARRAY(
        SELECT DISTINCT quote_ident(c.relname) FROM pg_trigger t
            JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'faceplate' AND t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
        ORDER BY 1
    ),
    'keeps_hours', EXISTS (
        SELECT FROM pg_trigger t
        WHERE t.tgfoid IN (to_regproc('faceplate.set_active_hour'), to_regproc('{DISTRIBUTED}'))
            AND t.tgenabled IN ('O', 'A')
            AND t.tgrelid = to_regclass('faceplate.conversations')
    )
)
"""  # noqa: S608 - our own name
PRIMARY, UNIQUE, FOREIGN = "p", "u", "f"


class Key(NamedTuple):
    """A primary, unique or foreign key."""

    name: str
    table: str
    kind: str
    columns: tuple[str, ...]
    of: str | None = None
    other_columns: tuple[str, ...] = ()
    cascades: bool = False


def flaws(found: dict[str, Any]) -> Iterator[Flaw]:
    """Yield the keys that are missing, differ from the models, or are not in force."""
    rows = found["constraints"] or []
    in_force = {_found(row) for row in rows if row["holds"]}
    indexes = found["indexes"] or []
    missing = [key for key in _expected() if key not in in_force]
    if missing:
        yield _flaw("keys are missing", [f"{key.name} {_describe(key)}" for key in missing])
    valid = {_unquoted(row["definition"]) for row in indexes if row["holds"]}
    if lost := [name for name, definition in _unique_indexes() if definition not in valid]:
        yield _flaw("unique indexes are missing or invalid", lost)
    for table in found["switched_off"]:
        yield Flaw(
            f"the foreign keys of {SCHEMA}.{table} are switched off:"
            f" ALTER TABLE {SCHEMA}.{table} ENABLE TRIGGER ALL",
            layer=COMPOSITE_KEYS,
        )
    yield from _across_users(indexes)


def omissions(found: dict[str, Any]) -> Iterator[Flaw]:
    """Yield missing indexes, CHECKs and a trigger, on which isolation does not depend."""
    yield from _missing_indexes(found["indexes"] or [])
    yield from _missing_checks({row["name"] for row in found["constraints"] or () if row["holds"]})
    if not found["keeps_hours"]:
        yield warning(
            "the trigger active_hour of faceplate.conversations is missing or switched off, so that"
            " SQL which sets updated_at leaves the conversation where it was in lists:"
            " ALTER TABLE faceplate.conversations ENABLE TRIGGER active_hour, or create it as"
            " `faceplate migrate --sql` prints it"
        )


def _missing_checks(in_force: set[str]) -> Iterator[Flaw]:
    lost = [
        str(constraint.name)
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint) and constraint.name not in in_force
    ]
    if lost:
        yield warning(
            f"CHECK constraints are missing or not in force: {', '.join(sorted(lost))}, so that raw"
            " SQL may store values that break their rules: create them as `faceplate migrate --sql`"
            " prints them"
        )


def _expected() -> Iterator[Key]:
    for table in Base.metadata.tables.values():
        for constraint in sorted(table.constraints, key=lambda one: str(one.name)):
            if (key := _of_model(table, constraint)) is not None:
                yield key


def _of_model(table: Table, constraint: Constraint) -> Key | None:
    name = str(constraint.name)
    if isinstance(constraint, ForeignKeyConstraint):
        elements = constraint.elements
        return Key(
            name,
            table.name,
            FOREIGN,
            tuple(constraint.column_keys),
            constraint.referred_table.name,
            tuple(element.column.name for element in elements),
            constraint.ondelete == "CASCADE",
        )
    if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint):
        kind = PRIMARY if isinstance(constraint, PrimaryKeyConstraint) else UNIQUE
        return Key(name, table.name, kind, tuple(constraint.columns.keys()))
    return None


def _found(row: dict[str, Any]) -> Key:
    return Key(
        row["name"],
        row["table"],
        row["kind"],
        tuple(row["columns"]),
        row["of"],
        tuple(row["other_columns"]),
        row["cascades"],
    )


def _indexes() -> Iterator[Index]:
    for table in Base.metadata.tables.values():
        yield from sorted(table.indexes, key=lambda index: str(index.name))


def _unique_indexes() -> Iterator[tuple[str, str]]:
    """Yield the name and the definition of each, without quotes."""
    for index in _indexes():
        if index.unique:
            yield str(index.name), str(CreateIndex(index).compile())


def _unquoted(definition: str) -> str:
    return definition.replace('"', "").replace(" USING btree", "")


def _missing_indexes(found: list[dict[str, Any]]) -> Iterator[Flaw]:
    valid = {(row["table"], row["name"]) for row in found if row["holds"]}
    for index in _indexes():
        table = index.table.name if index.table is not None else ""
        if not index.unique and (table, index.name) not in valid:
            yield warning(
                f"the index {SCHEMA}.{index.name} of {SCHEMA}.{table} is missing or invalid, so"
                " that reads slow down as the table grows: create it as"
                " `faceplate migrate --sql` prints it"
            )


def _across_users(indexes: list[dict[str, Any]]) -> Iterator[Flaw]:
    """Yield unique indexes that do not begin with the user.

    They reveal the values of other users.
    """
    owned = {table.name for table in owned_tables() if table.schema == SCHEMA}
    ours = {key.name for key in _expected()}
    for row in indexes:
        is_open = row["is_unique"] and row["first"] != "user_id"
        if row["table"] in owned and is_open and row["name"] not in ours:
            yield warning(
                f"the unique index {SCHEMA}.{row['name']} does not begin with user_id, so that one"
                f" user's value is refused because another user has it: drop it"
            )


def _describe(key: Key) -> str:
    columns = ", ".join(key.columns)
    if key.kind != FOREIGN:
        return f"({columns}) of {key.table}"
    return f"({columns}) of {key.table} to {key.of}"


def _flaw(what: str, names: list[str]) -> Flaw:
    return Flaw(
        f"{what}: {', '.join(names)}: create them as `faceplate migrate --sql` prints them",
        layer=COMPOSITE_KEYS,
        depends_on_revision=True,
    )
