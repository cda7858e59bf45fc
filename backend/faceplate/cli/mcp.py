"""``faceplate mcp``: a user's chats for an agent on this machine."""

from typing import Annotated

import typer

from faceplate.cli.session import find_named, run
from faceplate.database import Database


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
        user = await db.run_system(find_named, who)
        from faceplate.integrations.mcp.server import serve_stdio  # noqa: PLC0415 - an extra

        await serve_stdio(db, user.id, write=write)

    run(work)
