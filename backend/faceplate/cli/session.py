"""The database and the user of a command."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from faceplate.cli.output import command_name, note, printable
from faceplate.cli.project_models import load_models
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import InvalidInput, NotFound, UsageError
from faceplate.records import User
from faceplate.scope import SystemScope
from faceplate.services import users

T = TypeVar("T")

Who = Annotated[
    str, typer.Option("--user", metavar="EMAIL|ID", help="The user's e-mail address or id.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def find_settings() -> Settings:
    """Return the settings, or those of the project's local database without a URL.

    It starts the local server if that does not run.
    """
    if Settings.has_database_url():
        return Settings()
    from faceplate import embedded  # noqa: PLC0415 - an extra

    server = embedded.find()
    if server is None:
        if not embedded.is_running():
            note("DATABASE_URL is not set: starting the local PostgreSQL ...")
            note(f"It keeps running until `{command_name()} server stop`. {_place()}")
        known = embedded.databases()
        server = embedded.start()
        if server.database not in known:
            note(f"A new database for this project: {server.database}.")
            _tell_of_moved_folders(known)
    return Settings(database_url=server.unit_url, owner_url=server.url)


def run(work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    """Run ``work`` on the database in a new event loop, and return its result.

    A local database is migrated first. With a URL of the user's own, `faceplate migrate` does that.
    """
    return _run(find_settings(), work)


def run_with_models(work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    """Import the project's own models, then run ``work`` as `run` does."""
    settings = find_settings()
    load_models(settings)
    return _run(settings, work)


def run_as_it_is(work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    """Run ``work`` as `run` does, on a schema that is left as it is."""
    return asyncio.run(_connected(find_settings(), work))


def _run(settings: Settings, work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    async def on_newest_schema(db: Database) -> T:
        if not Settings.has_database_url():
            await _migrate(db)
        return await work(db)

    return asyncio.run(_connected(settings, on_newest_schema))


async def _connected(settings: Settings, work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    async with Database(settings) as db:
        return await work(db)


async def _migrate(db: Database) -> None:
    """Bring the schema of a local database up to date, if it is not."""
    from faceplate import migrate  # noqa: PLC0415 - Alembic takes 0.1 s to import

    before = await migrate.current(db)
    if before != migrate.head() and (before is None or migrate.knows(before)):
        note("Bringing the schema up to date ...")
        await migrate.upgrade(db)


def _tell_of_moved_folders(known: Mapping[str, Path | None]) -> None:
    """Say how to use the database of a folder that was moved or renamed to this one."""
    for name, folder in known.items():
        if folder is not None and folder.parent.is_dir() and not folder.is_dir():
            note(
                f"If this project was {folder}, its data is in the database {name}: set"
                f" FACEPLATE_EMBEDDED_DATABASE={name} in its .env."
            )


def _place() -> str:
    """Return where the local server keeps its data, and why it is not in root's home."""
    from faceplate import embedded  # noqa: PLC0415 - an extra

    place = f"Its data lies in {embedded.default_directory()}"
    if os.geteuid() == 0 and not os.environ.get("FACEPLATE_EMBEDDED_DIR"):
        place += (
            ": PostgreSQL refuses to run as root, so it runs as an account that cannot enter"
            " root's home"
        )
    return f"{place}."


def id_of(who: str) -> UUID | None:
    """Return ``who`` as an id, or None if it is not one."""
    try:
        return UUID(who)
    except ValueError:
        return None


async def find_user(scope: SystemScope, who: str) -> User:
    """Return the user with this e-mail address or id (a unit).

    Raises NotFound, InvalidInput.
    """
    user_id = id_of(who)
    if user_id is not None:
        return await users.get(scope, user_id)
    if "@" not in who:  # such as the subject of a user without an e-mail address
        raise InvalidInput(
            "--user", "must be an e-mail address or an id; `faceplate users SUBJECT` finds the id"
        )
    return await users.by_email(scope, who)


async def find_or_create_user(scope: SystemScope, who: str) -> User:
    """Return the user with this id or e-mail address, created if needed.

    Only a user with an e-mail address is created. It is a unit. Raises NotFound for an unknown id,
    InvalidInput.
    """
    try:
        return await find_user(scope, who)
    except NotFound:
        if id_of(who) is not None:
            raise
    return await users.ensure(scope, who, email=who)


async def find_named(scope: SystemScope, who: str) -> User:
    """Return the user with this id, e-mail address or subject (a unit).

    Raises NotFound; InvalidInput where they are two users.
    """
    found: dict[str, User] = {}
    for find in (find_user, users.by_subject):
        try:
            user = await find(scope, who)
        except (NotFound, InvalidInput):
            continue
        found[str(user.id)] = user
    if not found:
        raise NotFound(User)
    if len(found) > 1:
        raise InvalidInput("--user", "is the subject of one user and names another: give the id")
    return found.popitem()[1]


def ask(question: str) -> str:
    """Ask on the terminal, by stderr, and return the answer.

    An interrupt is raised as KeyboardInterrupt. The end of the input is an empty answer.
    """
    # Not by rich: an interrupt just after the question would print it again.
    typer.echo(printable(f"{question} "), nl=False, err=True)
    return sys.stdin.readline().strip()


def confirm(question: str) -> None:
    """Ask a question, and end the command with exit code 1 unless the answer is yes."""
    if ask(f"{question} [y/N]:").lower() not in {"y", "yes"}:
        note("Nothing was changed.")
        raise typer.Exit(1)


def require_asking(what: str, *, yes: bool) -> None:
    """Raise UsageError if nothing can confirm ``what``.

    That is without ``yes``, and without a terminal to ask on.
    """
    if not yes and not sys.stdin.isatty():
        raise UsageError(f"--yes is needed to {what} without a terminal")


@contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """On an interrupt in the block, print ``advice`` and end with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"interrupted: {advice}", style="yellow")
        raise typer.Exit(130) from None
