"""``faceplate stats``: how large the tables are, how they grow, and how the indexes do."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from faceplate._operations import stats as statistics
from faceplate._operations.stats import Index, Stats
from faceplate.cli.output import AsJson, emit, out, printable
from faceplate.cli.rendering import format_time
from faceplate.cli.session import run_with_models

BLOATED = 2.0


def stats(
    *,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Count the rows: as long as reading the tables takes."),
    ] = False,
    busiest: Annotated[
        int, typer.Option(min=1, max=statistics.MAX_BUSIEST, help="How many users.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Show rows and bytes by table, growth, the busiest users, and the health of the indexes.

    Changes nothing, and reads no large table as a whole: rows are estimates, growth is estimated
    from a sample, and the busiest users are chosen by the last ANALYZE. Numbers with a ~ are
    estimates. --exact may take longer than FACEPLATE_STATEMENT_TIMEOUT_S allows. Run it as the
    role that owns the schema.

    With --json, one line {"stats": ...}.
    """
    found = run_with_models(lambda db: statistics.collect(db, exact=exact, busiest=busiest))
    if as_json:
        emit({"stats": _as_json(found)})
        return
    for table in (_tables(found), _growth(found), _busiest(found), _indexes(found)):
        out.print(table)
        out.print()


def _as_json(found: Stats) -> dict[str, object]:
    def plain(value: object) -> object:
        return [row._asdict() for row in value] if isinstance(value, list) else value

    return {name: plain(value) for name, value in found._asdict().items()}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", header_style="dim", no_wrap=True)
    return table


def _tables(found: Stats) -> Table:
    table = _table("Tables", "rows", "heap", "toast", "indexes", "dead rows", "vacuumed", "hits")
    for row in found.tables:
        table.add_row(
            printable(row.name),
            _number(row.rows, exact=row.rows_are_exact),
            decimal(row.heap_bytes),
            decimal(row.toast_bytes),
            decimal(row.index_bytes),
            _number(row.dead_rows, exact=False),
            _moment(row.vacuumed_at),
            _ratio(row.hit_ratio),
        )
    return table


def _growth(found: Stats) -> Table:
    table = _table("New rows that still exist", "24 hours", "7 days", "30 days")
    for row in found.growth:
        counts = (row.day, row.week, row.month)
        table.add_row(row.table, *(_number(n, exact=row.sampled == 1) for n in counts))
    return table


def _busiest(found: Stats) -> Table:
    of = "" if found.busiest_are_exact else ", chosen by the last ANALYZE"
    table = _table(f"Busiest users{of}", "messages", "conversations")
    for row in found.busiest:
        name = Text(printable(row.email or ""))
        if row.email:
            name.append("\n")
        table.add_row(
            name.append(str(row.user_id), "dim"), f"{row.messages:,}", f"{row.conversations:,}"
        )
    return table


def _indexes(found: Stats) -> Table:
    since = f" since {format_time(found.since)}" if found.since else ""
    table = _table(f"Indexes, with their use{since}", "size", "scans", "hits")
    for row in found.indexes:
        name = Text(printable(row.name))
        for complaint in _complaints(row):
            name.append(f"\n  {complaint}", "yellow")
        table.add_row(name, decimal(row.bytes), f"{row.scans:,}", _ratio(row.hit_ratio))
    return table


def _complaints(index: Index) -> Iterable[str]:
    if not index.is_valid:
        yield "invalid: see faceplate doctor"
    if index.is_unused:
        yield "never used"
    if index.times_ideal is not None and index.times_ideal > BLOATED:
        yield f"{index.times_ideal:.1f} times its ideal size: REINDEX INDEX CONCURRENTLY"


def _number(number: int, *, exact: bool) -> str:
    return f"{number:,}" if exact else f"~{number:,}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1%}"


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone():%Y-%m-%d}"
