"""The database that the commands work on, and the user they work for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, TypeVar

import typer

from faceplate.cli.output import command_name, note
from faceplate.config import Settings
from faceplate.database import Database

T = TypeVar("T")

Email = Annotated[str, typer.Option("--user", metavar="EMAIL", help="Whose conversations.")]


def find_settings() -> Settings:
    """The settings; where they name no database, those of the embedded server, started now."""
    if Settings.has_database_url():
        return Settings()
    from faceplate import embedded  # noqa: PLC0415 - an extra

    server = embedded.find()
    if server is None:
        note("DATABASE_URL is not set: starting the local PostgreSQL ...")
        server = embedded.start()
        note(f"It keeps running; `{command_name()} server stop` stops it.")
    return Settings(database_url=server.url)


def run(work: Callable[[Database], Coroutine[None, None, T]]) -> T:
    """Run ``work`` on the database, in an event loop of its own."""

    async def connected() -> T:
        async with Database(settings) as db:
            return await work(db)

    settings = find_settings()
    return asyncio.run(connected())
