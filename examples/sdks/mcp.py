"""An agent that remembers: it reads a user's chats, and writes a note, by MCP.

The server is `McpApplication` on a port of this machine. The agent reaches it as any MCP server
that the user has configured: with `open_session`. No model takes part; the agent follows a script.

Run it from the root of the project, after ``faceplate migrate``::

    python -m examples.sdks.mcp
"""

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp import ClientSession
from pydantic import SecretStr
from starlette.requests import Request

from faceplate import Database, Settings, encryption
from faceplate.integrations.mcp.clients import open_session
from faceplate.integrations.mcp.server import McpApplication
from faceplate.integrations.web import UserRunner
from faceplate.services import conversations, mcp_configs, messages, users
from faceplate.services.messages import NewMessage

PAST = [
    NewMessage("user", "I take the night train to Oslo on Friday. Window seats only!"),
    NewMessage("assistant", "Noted: a window seat on the night train."),
]


@asynccontextmanager
async def served(app: McpApplication) -> AsyncIterator[str]:
    """Serve the application on a free port of this machine; yield its URL."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await serving


async def call(session: ClientSession, tool: str, **arguments: Any) -> Any:
    """Call a tool, and return its answer."""
    result = await session.call_tool(tool, arguments)
    return json.loads(getattr(result.content[0], "text", "null"))


async def main() -> None:
    # A program has its keys in FACEPLATE_ENCRYPTION_KEYS, and keeps them.
    settings = Settings(encryption_keys=(SecretStr(encryption.generate_key()),))
    async with Database(settings) as db:
        ada = await db.run_system(users.ensure, "idp|ada")
        trip = await db.run(ada.id, conversations.create, title="Night train to Oslo")
        await db.run(ada.id, messages.append_many, trip.id, PAST)
        token = secrets.token_urlsafe()

        async def current_user(request: Request) -> UserRunner | None:
            is_ada = request.headers.get("authorization") == f"Bearer {token}"
            return UserRunner(db, ada.id) if is_ada else None

        async with served(McpApplication(current_user, write=True)) as url:
            await db.run(
                ada.id,
                mcp_configs.put,
                "memory",
                {"transport": "streamable_http", "url": url},
                secrets={"headers": {"Authorization": f"Bearer {token}"}},
            )
            async with open_session(db, ada.id, "memory") as session:
                found = await call(session, "search_conversations", text="oslo", limit=1)
                [chat] = found["conversations"]
                read = await call(session, "read_conversation", conversation_id=chat["id"])
                for message in read["messages"]:
                    print(f"{message['role']}: {message['text']}")  # noqa: T201 - a program's output
                note = "Ada sits at the window."
                await call(session, "append_message", conversation_id=chat["id"], content=note)
        [last] = await db.run(ada.id, messages.history, trip.id, limit=1)
        print(f"noted: {last.content}")  # noqa: T201 - a program's output


if __name__ == "__main__":
    asyncio.run(main())
