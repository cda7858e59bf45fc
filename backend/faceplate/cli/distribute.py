"""``faceplate distribute``: the tables of users over a Citus cluster."""

import asyncio
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from faceplate import distribution
from faceplate.cli.output import AsJson, emit, note, out, printable
from faceplate.cli.project_models import load_models
from faceplate.cli.rendering import count
from faceplate.cli.session import Yes, confirm, find_settings, interruptible, require_asking
from faceplate.distribution import Plan

WARNING = (
    "All of it happens in one transaction, which copies the rows. It ends the sessions of programs"
    " on this database first. Until it has committed, units wait, up to their lock_timeout, and"
    " then fail. The way back is undistribute_table, which copies the rows again. Make a backup."
)


def distribute(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Distribute the tables of users over the workers of a Citus cluster.

    DATABASE_URL leads to the cluster's coordinator. Asks before it does. Safe to interrupt, and to
    run again: it does what is missing. Tables of the project take part, where FACEPLATE_MODELS
    names their models.

    With --json, one line {"distributed": ...} or, with --dry-run, {"would_distribute": ...}.
    """
    if not dry_run:
        require_asking("distribute tables", yes=yes)
    settings = find_settings()
    load_models(settings)
    plan = asyncio.run(distribution.plan(settings))
    if as_json and (dry_run or plan.is_done):
        emit({"would_distribute" if dry_run else "distributed": _as_json(plan)})
    elif plan.is_done:
        note("All tables of users are distributed already.")
    elif not as_json:
        _print(plan, with_statements=dry_run)
    if dry_run or plan.is_done:
        return
    if not yes:
        confirm("Distribute them?")
    with interruptible("nothing was changed, or all of it; run it again to see"):
        done = asyncio.run(distribution.distribute(settings))
    if as_json:
        emit({"distributed": _as_json(done)})
    else:
        note(f"{count(len(done.tables), 'table')} distributed over {_workers(done)}.")


def _print(plan: Plan, *, with_statements: bool) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Table")
    table.add_column("Becomes")
    table.add_column("Rows", justify="right")
    table.add_column("Size", justify="right")
    for each in plan.tables:
        becomes = "a copy on each node" if each.is_reference else count(plan.shards, "shard")
        table.add_row(printable(each.name), becomes, f"~{each.rows:,}", decimal(each.bytes))
    if plan.tables:
        out.print(table)
    note(f"The workers: {_workers(plan)}.")
    for name in plan.kept:
        note(f"{name} stays on the coordinator, as a unique key of it is across users.")
    if with_statements:
        for statement in (*plan.role_statements, *plan.statements):
            out.print(f"{printable(statement)};", soft_wrap=True)
    if plan.statements:
        note(WARNING, style="yellow")


def _workers(plan: Plan) -> str:
    return ", ".join(plan.workers)


def _as_json(plan: Plan) -> dict[str, object]:
    return plan._asdict() | {"tables": [table._asdict() for table in plan.tables]}
