"""Rows from arrays, one array for each column."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam, func

from faceplate.column_types import ArrayOf, Json, JsonText


def unnest(
    table: Any, names: Sequence[str], *, optional: Sequence[str] = ()
) -> tuple[Any, list[Any]]:
    """Return rows from arrays as a FROM, and the values for the columns.

    There is one array per column, ``ids`` for ``id`` and so on. The rows keep their order and have
    a ``number`` from 1. A value of an ``optional`` column may be None although the column is NOT
    NULL.
    """
    rules = {name: table.c[name].type for name in names}
    rules |= {name: rules[name].optional() for name in optional}
    arrays: list[Any] = [bindparam(f"{name}s", type_=ArrayOf(rules[name])) for name in names]
    items = [array.type.impl_instance.item_type for array in arrays]
    columns = [sa.column(name, item) for name, item in zip(names, items, strict=True)]
    rows = (
        func.unnest(*arrays)
        .table_valued(*columns, with_ordinality="number", name="new")
        .render_derived()
    )
    return rows, [_value(rows.c[name], table.c[name].type) for name in names]


def _value(item: Any, rule: Any) -> Any:
    return sa.cast(item, rule.impl_instance) if isinstance(rule, Json | JsonText) else item
