#!/usr/bin/env python
"""Draw the tables of the models and their foreign keys in pictures/data-model.svg: `make erd`."""

from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import sqlalchemy as sa

from faceplate._driver.dialect import DIALECT
from faceplate.models import Base

PICTURE = Path(__file__).with_name("pictures") / "data-model.svg"
WIDTH, ROW, HEAD, GAP, BETWEEN, MARGIN = 316, 20, 30, 28, 84, 20
STYLE = """
  .paper { fill: #fdfdfc; }
  .box { fill: #ffffff; stroke: #5b6470; }
  .head { fill: #dfe8f1; stroke: #5b6470; }
  text { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; fill: #1b1f24; }
  .name { font-weight: bold; }
  .kind, .mark { fill: #4a525c; }
  .key { fill: none; stroke: #2f5d8a; stroke-width: 1.5; }
"""


def draw() -> str:
    """Return the picture: who refers to a table stands right of it, with a fork at its end."""
    tables = Base.metadata.sorted_tables
    columns = [list(group) for _, group in groupby(sorted(tables, key=_depth), key=_depth)]
    places = {
        table: (MARGIN + depth * (WIDTH + BETWEEN), MARGIN + sum(map(_height, column[:above])))
        for depth, column in enumerate(columns)
        for above, table in enumerate(column)
    }
    width = 2 * MARGIN + len(columns) * (WIDTH + BETWEEN) - BETWEEN
    height = 2 * MARGIN - GAP + max(sum(map(_height, column)) for column in columns)
    # A table has its keys in a set, in no order.
    keys = [
        key
        for table in tables
        for key in sorted(table.foreign_key_constraints, key=lambda key: [*key.column_keys])
    ]
    names = ", ".join(table.name for table in tables)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
            'role="img" aria-labelledby="title description">',
            '<title id="title">The tables of faceplate</title>',
            f'<desc id="description">{names}. {" ".join(map(_sentence, keys))}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{width}" height="{height}"/>',
            *(_line(places[key.referred_table], places[key.table]) for key in keys),
            *(_box(table, *place) for table, place in places.items()),
            "</svg>",
            "",
        ]
    )


def _depth(table: sa.Table) -> int:
    """How many foreign keys lead from the table to one that has none."""
    others = {key.referred_table for key in table.foreign_key_constraints} - {table}
    return max((1 + _depth(other) for other in others), default=0)


def _height(table: sa.Table) -> int:
    return HEAD + len(table.columns) * ROW + GAP


def _sentence(key: sa.ForeignKeyConstraint) -> str:
    columns = ", ".join(key.column_keys)
    return f"{key.table.name} ({columns}) refers to {key.referred_table.name}."


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    if start == end:
        return _loop(*start)
    left, right = start[0] + WIDTH, end[0]
    top, bottom = start[1] + HEAD // 2, end[1] + HEAD // 2
    path = f"M{left} {top}H{left + BETWEEN // 2}V{bottom}H{right}"
    fork = f"M{right} {bottom - 7}L{right - 13} {bottom}L{right} {bottom + 7}"
    return f'<path class="key" d="{path}{fork}"/>'


def _loop(x: int, y: int) -> str:
    """A table that refers to itself, on its right-hand side."""
    right, top = x + WIDTH, y + HEAD // 2
    path = f"M{right} {top}h{MARGIN // 2}v{HEAD}H{right}"
    fork = f"M{right} {top + HEAD - 7}L{right + 13} {top + HEAD}L{right} {top + HEAD + 7}"
    return f'<path class="key" d="{path}{fork}"/>'


def _box(table: sa.Table, x: int, y: int) -> str:
    height = HEAD + len(table.columns) * ROW
    rows = [
        f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{height}"/>',
        f'<rect class="head" x="{x}" y="{y}" width="{WIDTH}" height="{HEAD}"/>',
        f'<text class="name" x="{x + 10}" y="{y + 20}">{escape(table.name)}</text>',
    ]
    for row, column in enumerate(table.columns):
        baseline = y + HEAD + 15 + row * ROW
        rows.append(f'<text x="{x + 10}" y="{baseline}">{escape(column.name)}</text>')
        rows.append(f'<text class="kind" x="{x + 140}" y="{baseline}">{_kind(column)}</text>')
        rows.append(
            f'<text class="mark" x="{x + WIDTH - 10}" y="{baseline}" text-anchor="end">'
            f"{_marks(column)}</text>"
        )
    return "\n".join(rows)


def _kind(column: sa.Column[object]) -> str:
    name = column.type.compile(DIALECT).lower().replace(" with time zone", "tz")
    return name.partition(" collate ")[0]


def _marks(column: sa.Column[object]) -> str:
    marks = {
        "PK": column.primary_key,
        "FK": column.foreign_keys,
        "UK": column.unique,
        "null": column.nullable,
    }
    return " ".join(mark for mark, holds in marks.items() if holds)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
