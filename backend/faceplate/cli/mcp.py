"""``faceplate mcp``: a user's chats for an agent on this machine."""

from typing import Annotated

import typer

from faceplate.cli.session import find_user, run
from faceplate.database import Database
from faceplate.errors import InvalidInput, NotFound
from faceplate.records import User
from faceplate.scope import SystemScope
from faceplate.services import users


def mcp(
    who: Annotated[
        str,
        typer.Option(
            "--user",
            metavar="EMAIL|SUBJECT|ID",
            help="The user's e-mail address, subject of the identity provider, or id.",
        ),
    ],
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Also create conversations and append messages.")
    ] = False,
) -> None:
    """Serve a user's chats to an agent by MCP.

    The agent starts it: name this command in the agent's list of MCP servers. It ends with stdin.
    """

    async def work(db: Database) -> None:
        user = await db.run_system(_find, who)
        from faceplate.integrations.mcp.server import serve_stdio  # noqa: PLC0415 - an extra

        await serve_stdio(db, user.id, write=write)

    run(work)


async def _find(scope: SystemScope, who: str) -> User:
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
