#!/usr/bin/env python
"""Draw the models as a Mermaid diagram, between the markers in data-model.md: `make erd`."""

import re
from pathlib import Path

import sqlalchemy as sa

from faceplate.engine import DIALECT
from faceplate.models import Base

PAGE = Path(__file__).with_name("data-model.md")
DRAWING = re.compile(r"(?<=<!-- erd -->\n).*(?=<!-- /erd -->)", re.DOTALL)


def draw() -> str:
    """Return the tables with their columns, and a line for each foreign key."""
    tables = Base.metadata.sorted_tables
    lines = [line for table in tables for line in _entity(table)]
    lines += sorted(_reference(key) for table in tables for key in table.foreign_key_constraints)
    return "\n".join(["```mermaid", "erDiagram", *(f"    {line}" for line in lines), "```", ""])


def _entity(table: sa.Table) -> list[str]:
    return [f"{table.name} {{", *(f"    {_attribute(column)}" for column in table.columns), "}"]


def _attribute(column: sa.Column[object]) -> str:
    kind = column.type.compile(DIALECT).lower().replace(" with time zone", "tz")
    marks = {"PK": column.primary_key, "FK": column.foreign_keys, "UK": column.unique}
    keys = ", ".join(mark for mark, holds in marks.items() if holds)
    note = '"or null"' if column.nullable else ""
    return " ".join(filter(None, (kind, column.name, keys, note)))


def _reference(key: sa.ForeignKeyConstraint) -> str:
    owner, owned = key.referred_table.name, key.table.name
    return f'{owner} ||--o{{ {owned} : "{", ".join(key.column_keys)}"'


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(DRAWING.sub(lambda _: draw(), page), encoding="utf-8")
