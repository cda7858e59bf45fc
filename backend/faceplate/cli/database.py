"""The commands on the database: ``faceplate check`` and ``faceplate migrate``."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from faceplate import migrate as migrations
from faceplate.cli.output import AsJson, emit, note, out, printable
from faceplate.cli.project_models import load_models
from faceplate.cli.session import find_settings, interruptible, run_as_it_is
from faceplate.database import Database
from faceplate.errors import ConfigurationError, FaceplateError
from faceplate.health import Health


def check(*, as_json: AsJson = False) -> None:
    """Check the connection, the schema and the isolation of users.

    Exit code 1 if something is wrong. A warning does not change the exit code.
    """
    try:
        load_models(find_settings())
        health = run_as_it_is(Database.check)
    except ConfigurationError:
        raise
    except FaceplateError as error:
        if not as_json:
            raise
        emit({"ok": False, "reachable": False, "problem": error.message})
        raise typer.Exit(1) from None
    if as_json:
        verdict = {"ok": health.ok, "reachable": health.reachable, "at_head": health.at_head}
        emit(verdict | asdict(health))
    else:
        out.print(_health_table(health))
    if not health.ok:
        raise typer.Exit(1)


def migrate(
    *,
    revision: Annotated[str, typer.Option(help="The revision to migrate to.")] = "head",
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL for an empty database; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the schema up to date. Any number of processes may run this at once."""

    async def upgrade(db: Database) -> tuple[str | None, str | None]:
        before = await migrations.current(db)
        if before is not None and not migrations.knows(before):
            return before, before
        await migrations.upgrade(db, revision)
        return before, await migrations.current(db)

    if sql:
        out.print(migrations.offline_sql(revision), soft_wrap=True, end="")
        return
    with interruptible("each revision is whole or was not begun; run it again to go on"):
        before, after = run_as_it_is(upgrade)
    if as_json:
        emit({"from": before, "to": after})
    elif after is not None and not migrations.knows(after):
        note(f"{migrations.describe_newer(after)}.")
    elif before == after:
        note(f"The schema is at {after} already.")
    else:
        note(f"The schema went from {before or 'nothing'} to {after}.")


def _health_table(health: Health) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")

    def add(name: str, value: str, style: str = "") -> None:
        table.add_row(name, Text(printable(value), style))

    add("database", health.target)
    if not health.reachable:
        add("reachable", f"no: {health.problem}", "red")
        return table
    add("reachable", f"yes, in {health.latency_ms:.1f} ms")
    add("server", f"PostgreSQL {health.server_version}")
    if health.at_head:
        add("schema", f"up to date ({health.revision})")
    elif health.is_newer:
        add("schema", f"at {health.revision}, newer than {health.head}", "yellow")
    else:
        add("schema", f"at {health.revision}" if health.revision else "not there", "red")
    add("isolation", ", ".join(health.isolation or ()), "red" if health.gaps else "")
    for gap in health.gaps:
        add("", gap, "red")
    add("pool", f"{health.pool.size} to {health.pool.limit} connections")
    for warning in health.warnings:
        add("warning", warning, "yellow")
    return table
