"""``faceplate doctor``: the examination of a database, with advice."""

import asyncio
from typing import Final

import typer
from rich.table import Table
from rich.text import Text

from faceplate._operations import doctor as doctors
from faceplate._operations.findings import Finding, Level
from faceplate.cli.output import AsJson, emit, out, printable
from faceplate.cli.project_models import load_models
from faceplate.cli.session import find_settings

STYLES: Final = {
    Level.OK: "green",
    Level.SKIPPED: "dim",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
}


def doctor(*, as_json: AsJson = False) -> None:
    """Examine the server, the schema, the settings and the data, with advice.

    Changes nothing. Exit code 1 if there is a problem. A warning does not change the exit code.
    """
    settings = find_settings()
    load_models(settings)
    findings = asyncio.run(doctors.diagnose(settings))
    is_well = doctors.is_well(findings)
    if as_json:
        found = [finding._asdict() for finding in findings]
        emit({"ok": is_well, "target": settings.target, "findings": found})
    else:
        out.print(_table(findings))
    if not is_well:
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.level]
        found = Text(printable(finding.found))
        table.add_row(finding.check, Text(finding.level, style), found)
        if finding.advice:
            table.add_row("", "", Text(printable(finding.advice), "dim"))
    return table
