"""``faceplate users``: the users, page by page, or one of them."""

from contextlib import suppress
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from faceplate.cli.output import AsJson, emit, note, out, printable
from faceplate.cli.rendering import format_time
from faceplate.cli.session import id_of, run
from faceplate.database import Database
from faceplate.errors import InvalidInput, NotFound
from faceplate.records import User
from faceplate.scope import SystemScope
from faceplate.services import users


def list_users(
    who: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHO]",
            show_default=False,
            help="An e-mail address, a subject of the identity provider, or an id: only that user.",
        ),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(help="Number of users, 1 to 200.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="The cursor of the page before.")] = None,
    as_json: AsJson = False,
) -> None:
    """List users, the newest first, or find one by e-mail address, subject or id.

    Exit code 1 if there is no such user. With --json, prints a line {"user": ...} for each and, if
    there are more, a last line {"next_cursor": ...}.
    """
    before = _read_cursor(cursor)

    async def work(db: Database) -> tuple[list[User], bool]:
        if who is not None:
            return await db.run_system(_find, who), False
        found = await db.run_system(users.page, limit=limit, before=before)
        if len(found) < limit:
            return found, False
        more = await db.run_system(users.page, limit=1, before=found[-1].id)
        return found, bool(more)

    found, has_more = run(work)
    if as_json:
        for user in found:
            emit({"user": user._asdict()})
        if has_more:
            emit({"next_cursor": found[-1].id})
        return
    if not found:
        note("no users")
        return
    out.print(_table(found))
    if has_more:
        note(f"There are more: add --cursor {found[-1].id}")


def _read_cursor(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    if (read := id_of(cursor)) is None:
        raise InvalidInput("cursor", "is not a cursor of this list")
    return read


async def _find(scope: SystemScope, who: str) -> list[User]:
    """Return the users that have this subject, e-mail address or id (a unit).

    They are several if the subject of one is the address of another. Raises NotFound.
    """
    found: dict[UUID, User] = {}
    for find in (users.by_subject, users.by_email):
        try:
            user = await find(scope, who)
        except (NotFound, InvalidInput):
            continue
        found[user.id] = user
    if (user_id := id_of(who)) is not None:
        with suppress(NotFound):
            found[user_id] = await users.get(scope, user_id)
    if not found:
        raise NotFound(User)
    return list(found.values())


def _table(found: list[User]) -> Table:
    table = Table(box=None, padding=(0, 2, 1, 0), header_style="bold")
    table.add_column("User", min_width=36, overflow="fold")
    table.add_column("Subject", overflow="fold")
    table.add_column("Since", no_wrap=True)
    for user in found:
        name = Text(printable(user.email or "no e-mail address"), "bold" if user.email else "dim")
        table.add_row(
            name + Text(f"\n{user.id}", "dim"),
            Text(printable(user.subject_id)),
            format_time(user.created_at),
        )
    return table
