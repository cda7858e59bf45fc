"""What ``faceplate import --from-database`` does: the import of an SDK's own tables."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer
from pydantic import SecretStr

from faceplate.cli.output import emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import find_named, find_or_create_user, id_of, interruptible, run
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import NotFound, UsageError
from faceplate.integrations._sdk_rows import GOOGLE_ADK
from faceplate.integrations.sdk_tables import SDKS, Imported, import_tables
from faceplate.scope import SystemScope

Source = Annotated[
    str | None,
    typer.Option(
        "--from-database",
        metavar="URL",
        envvar="FACEPLATE_IMPORT_URL",
        show_envvar=True,
        show_default=False,
        help="The database with the tables of an SDK, in place of files.",
    ),
]

Sdk = Annotated[
    str | None,
    typer.Option(
        "--sdk",
        metavar="SDK",
        show_default=False,
        help=f"Whose tables they are: {', '.join(SDKS)}.",
    ),
]


def import_from_database(
    url: SecretStr, sdk: str | None, who: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Import the tables of an SDK with a progress bar, and print what was stored.

    A refused session is printed as it happens, and the exit code is 1 then.
    """
    if sdk is None:
        raise UsageError(f"--from-database needs --sdk, one of {', '.join(SDKS)}")
    source = Settings(database_url=url)

    async def work(db: Database) -> Imported:
        subject = None
        if who is not None:
            subject = await db.run_system(_subject_of, who, sdk, dry_run=dry_run)
        with progress_bar("importing", "session", 0) as update:
            return await import_tables(
                db,
                source,
                sdk,
                subject=subject,
                is_dry_run=dry_run,
                on_progress=partial(_advance, update),
                on_refusal=partial(_tell_refusal, as_json=as_json),
            )

    with interruptible("what was imported is kept; run it again to go on from there"):
        imported = run(work)
    if as_json:
        emit({"preview" if dry_run else "report": imported._asdict()})
    else:
        note(describe(imported))
    if imported.refused:
        raise typer.Exit(1)


def describe(imported: Imported) -> str:
    """Return the result of an import in one line."""
    new, said = count(imported.sessions, "new session"), count(imported.messages, "message")
    parts = [f"{new} with {said}"]
    if imported.continued:
        parts.append(f"{imported.continued} continued")
    if imported.skipped:
        parts.append(f"{imported.skipped} already there")
    if imported.refused:
        parts.append(f"{imported.refused} refused")
    return ", ".join(parts)


async def _subject_of(scope: SystemScope, who: str, sdk: str, *, dry_run: bool) -> str:
    """Return the subject of the user with this e-mail address, id or subject (a unit).

    A user with the e-mail address is created if needed. Another text is the subject of a user whom
    the import makes; so is any that nobody here has, where the tables have users of their own.
    Raises NotFound for an unknown id, InvalidInput where the text names two users.
    """
    try:
        return (await find_named(scope, who)).subject_id
    except NotFound:
        if sdk == GOOGLE_ADK:
            return who
        if id_of(who) is not None:
            raise
    if "@" in who and not dry_run:
        return (await find_or_create_user(scope, who)).subject_id
    return who


def _tell_refusal(name: str, reason: str, *, as_json: bool) -> None:
    if as_json:
        emit({"refused": {"session": name, "reason": reason}})
    else:
        note(f"session {name}: {reason}", style="yellow")


def _advance(update: Callable[..., None], done: int, total: int) -> None:
    update(completed=done, total=total)
