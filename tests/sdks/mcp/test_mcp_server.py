"""The MCP server over one user's chats, as an agent's client sees it."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, HTTPException
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from starlette.requests import Request
from tests.commands import COMMAND
from tests.sdks.mcp.serving import IS_2, WARNINGS_OF_1, http_client, served
from uuid6 import uuid7

from faceplate import Database, User
from faceplate.integrations.mcp.server import McpApplication
from faceplate.integrations.web import UserRunner, lifespan
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

pytestmark = WARNINGS_OF_1
READING = {
    "list_conversations",
    "search_conversations",
    "search_messages",
    "read_conversation",
    "read_message",
}
WRITING = {"create_conversation", "append_message"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}


class Agent:
    """What an agent does with sessions: it calls tools, and reads their answers."""

    def __init__(self, opened: Callable[[], AbstractAsyncContextManager[ClientSession]]) -> None:
        self.opened = opened

    async def tools(self) -> set[str]:
        async with self.opened() as session:
            return {tool.name for tool in (await session.list_tools()).tools}

    async def raw(self, name: str, **arguments: Any) -> tuple[bool, str]:
        async with self.opened() as session:
            result = await session.call_tool(name, arguments)
        answered = result.model_dump(by_alias=True)
        text = "".join(part["text"] for part in answered["content"])
        if answered["isError"]:
            return False, text
        assert json.loads(text) == answered["structuredContent"]
        return True, text

    async def call(self, name: str, **arguments: Any) -> Any:
        is_done, text = await self.raw(name, **arguments)
        assert is_done, text
        return json.loads(text)

    async def refused(self, name: str, **arguments: Any) -> str:
        is_done, text = await self.raw(name, **arguments)
        assert not is_done, text
        return text


def agent_at(url: str, user: User | UUID | str | None) -> Agent:
    """Return an agent that signs in as the user."""
    headers = {} if user is None else {"X-User": str(getattr(user, "id", user))}
    return Agent(lambda: _session_at(url, headers))


@asynccontextmanager
async def _session_at(url: str, headers: dict[str, str]) -> AsyncIterator[ClientSession]:
    async with (
        http_client(headers) as client,
        streamable_http_client(url, http_client=client) as (read, write, *_),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


async def identify(request: Request) -> UUID | str | None:
    """The application's sign-in."""
    who = request.headers.get("x-user")
    if who == "teapot":
        raise HTTPException(418)
    with suppress(ValueError):
        return UUID(who or "")
    return who


@pytest.fixture
async def address(db: Database) -> AsyncIterator[str]:
    """An application with the server mounted in it, for reading and for writing."""
    app = FastAPI(lifespan=lifespan(db.settings))
    app.mount("/mcp", McpApplication(identify))
    app.mount("/writing", McpApplication(identify, write=True))
    async with served(app) as base:
        yield base


@pytest.fixture
def reading(address: str, user: User) -> Agent:
    return agent_at(f"{address}/mcp/", user)


@pytest.fixture
def writing(address: str, user: User) -> Agent:
    return agent_at(f"{address}/writing/", user)


async def chat_of(db: Database, user: User, *said: NewMessage, title: str = "Oslo") -> UUID:
    chat = await db.run(user.id, conversations.create, title=title)
    if said:
        await db.run(user.id, messages.append_many, chat.id, said)
    return chat.id


async def test_an_agent_lists_searches_and_reads(db: Database, user: User, reading: Agent) -> None:
    said = [NewMessage("user", "Will it rain?"), NewMessage("assistant", "Until noon.")]
    oslo = await chat_of(db, user, *said)
    bergen = await chat_of(db, user, title="Bergen")
    assert await reading.tools() == READING
    listed = await reading.call("list_conversations")
    assert [found["id"] for found in listed["conversations"]] == [str(bergen), str(oslo)]
    assert listed["next_cursor"] is None
    found = await reading.call("search_conversations", text="oSL")
    [hit] = found["conversations"]
    assert (hit["id"], hit["title"], hit["message_count"]) == (str(oslo), "Oslo", 2)
    [said_there] = (await reading.call("search_messages", text="UNTIL"))["messages"]
    assert (said_there["conversation_id"], said_there["title"]) == (str(oslo), "Oslo")
    assert (said_there["position"], said_there["excerpt"]) == (2, "Until noon.")
    led = await reading.call("read_conversation", conversation_id=str(oslo), leaf=1)
    assert [message["text"] for message in led["messages"]] == ["Will it rain?"]
    read = await reading.call("read_conversation", conversation_id=str(oslo))
    assert read["conversation"] == hit
    assert [(m["position"], m["role"], m["text"]) for m in read["messages"]] == [
        (1, "user", "Will it rain?"),
        (2, "assistant", "Until noon."),
    ]
    assert read["before"] is None


async def test_lists_have_pages(db: Database, user: User, reading: Agent) -> None:
    made = [await chat_of(db, user, title=f"chat {number}") for number in range(5)]
    for tool, arguments in (("list_conversations", {}), ("search_conversations", {"text": "chat"})):
        seen: list[str] = []
        cursor = None
        while True:
            page = await reading.call(tool, limit=2, cursor=cursor, **arguments)
            assert len(page["conversations"]) <= 2
            seen += [found["id"] for found in page["conversations"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert seen == [str(id_) for id_ in reversed(made)]


async def test_a_conversation_is_read_backwards_page_by_page(
    db: Database, user: User, reading: Agent
) -> None:
    chat = await chat_of(db, user, *(NewMessage("user", str(number)) for number in range(7)))
    seen: list[str] = []
    before = None
    while True:
        page = await reading.call(
            "read_conversation", conversation_id=str(chat), limit=3, before=before
        )
        seen = [message["text"] for message in page["messages"]] + seen
        if (before := page["before"]) is None:
            break
    assert seen == list("0123456")


async def test_a_long_message_is_cut_and_read_in_parts(
    db: Database, user: User, reading: Agent
) -> None:
    """Else one message would fill the window of the model, or the rest of it would be lost."""
    text = "".join(f"{number:07}," for number in range(6_000))
    chat = await chat_of(db, user, NewMessage("user", text))
    read = await reading.call("read_conversation", conversation_id=str(chat))
    [cut] = read["messages"]
    whole, offset = cut["text"], cut["next_offset"]
    assert len(whole) == offset == 4_000
    while offset is not None:
        part = await reading.call(
            "read_message", conversation_id=str(chat), message_id=cut["id"], offset=offset
        )
        whole, offset = whole + part["text"], part["next_offset"]
    assert whole == text


async def test_the_largest_answer_is_bounded(db: Database, user: User, reading: Agent) -> None:
    said = [NewMessage("user", "\U0001f600" * 100_000) for _ in range(60)]
    chat = await chat_of(db, user, *said)
    _, text = await reading.raw("read_conversation", conversation_id=str(chat), limit=50)
    assert len(text) < 250_000
    assert "limit" in await reading.refused(
        "read_conversation", conversation_id=str(chat), limit=51
    )


async def test_tool_calls_and_results_are_shown(db: Database, user: User, reading: Agent) -> None:
    result = {"tool_call_id": "c1", "content": "4 degrees"}
    chat = await chat_of(
        db,
        user,
        NewMessage("assistant", "Let me see.", tool_calls=[CALL]),
        NewMessage("tool", tool_results=[result]),
        NewMessage(body='{"type": "reasoning"}'),
    )
    read = await reading.call("read_conversation", conversation_id=str(chat))
    assert [message["text"] for message in read["messages"]] == [
        'Let me see.\n[calls weather: {"a": 1}]',
        "[result: 4 degrees]",
        "",
    ]


async def test_an_agent_writes_only_where_it_may(
    db: Database, user: User, reading: Agent, writing: Agent
) -> None:
    assert await writing.tools() == READING | WRITING
    made = await writing.call("create_conversation", title="Notes")
    id_ = made["conversation"]["id"]
    note = await writing.call("append_message", conversation_id=id_, content="Likes trains.")
    asked = await writing.call("append_message", conversation_id=id_, content="Why?", role="user")
    assert (note["message"]["position"], asked["message"]["position"]) == (1, 2)
    stored = await db.run(user.id, messages.history, UUID(id_))
    assert [(m.role, m.content) for m in stored] == [
        ("assistant", "Likes trains."),
        ("user", "Why?"),
    ]
    for tool, arguments in (
        ("create_conversation", {"title": "a"}),
        ("append_message", {"conversation_id": id_, "content": "b"}),
    ):
        assert await reading.refused(tool, **arguments) == "there is no such tool"
    assert len(await db.run(user.id, messages.history, UUID(id_))) == 2


async def test_another_users_chats_are_out_of_reach(
    db: Database, other_user: User, address: str, writing: Agent
) -> None:
    chat = await chat_of(db, other_user, NewMessage("user", "canary"), title="canary")
    [message] = await db.run(other_user.id, messages.history, chat)
    ids = {"conversation_id": str(chat)}
    for tool, arguments in (
        ("read_conversation", ids),
        ("read_message", {**ids, "message_id": str(message.id)}),
        ("append_message", {**ids, "content": "planted"}),
    ):
        assert "not found" in await writing.refused(tool, **arguments)
        assert "user_id" in await writing.refused(tool, **arguments, user_id=str(other_user.id))
    assert (await writing.call("list_conversations"))["conversations"] == []
    assert (await writing.call("search_conversations", text="canary"))["conversations"] == []
    assert (await writing.call("search_messages", text="canary"))["messages"] == []
    theirs = agent_at(f"{address}/mcp/", other_user)
    page = await theirs.call("list_conversations", limit=1)
    assert [found["id"] for found in page["conversations"]] == [str(chat)]
    assert len(await db.run(other_user.id, messages.history, chat)) == 1


async def test_a_cursor_of_another_user_is_refused(
    db: Database, other_user: User, address: str, reading: Agent
) -> None:
    for _ in range(2):
        await chat_of(db, other_user)
    theirs = agent_at(f"{address}/mcp/", other_user)
    cursor = (await theirs.call("list_conversations", limit=1))["next_cursor"]
    assert "cursor" in await reading.refused("list_conversations", cursor=cursor)


async def test_requests_of_two_users_at_once_are_never_mixed(
    db: Database, user: User, other_user: User, address: str
) -> None:
    chats = {owner.id: await chat_of(db, owner) for owner in (user, other_user)}

    async def look(owner: User) -> set[str]:
        agent = agent_at(f"{address}/mcp/", owner)
        pages = await asyncio.gather(*(agent.call("list_conversations") for _ in range(10)))
        return {found["id"] for page in pages for found in page["conversations"]}

    looks = await asyncio.gather(*(look(owner) for owner in (user, other_user) * 3))
    assert looks == [{str(chats[owner.id])} for owner in (user, other_user)] * 3


async def test_a_request_is_that_of_who_sends_it(
    db: Database, user: User, other_user: User, address: str
) -> None:
    """Else a client that is shared between users would go on as the one who opened the session."""
    mine, theirs = await chat_of(db, user), await chat_of(db, other_user)
    async with (
        http_client({"X-User": str(user.id)}) as client,
        streamable_http_client(f"{address}/mcp/", http_client=client) as (read, write, *_),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        agent = Agent(lambda: nullcontext(session))
        page = await agent.call("list_conversations")
        assert [found["id"] for found in page["conversations"]] == [str(mine)]
        client.headers["X-User"] = str(other_user.id)
        page = await agent.call("list_conversations")
        assert [found["id"] for found in page["conversations"]] == [str(theirs)]


async def test_who_is_not_signed_in_gets_no_session(address: str, user: User) -> None:
    async with http_client({}) as client:
        refused = await client.post(f"{address}/mcp/", json={"jsonrpc": "2.0"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        teapot = await client.post(f"{address}/mcp/", headers={"X-User": "teapot"}, json={})
        assert teapot.status_code == 418
        form = await client.post(
            f"{address}/mcp/",
            headers={"X-User": str(user.id), "Content-Type": "text/plain"},
            content='{"jsonrpc": "2.0"}',
        )
        assert form.status_code in {400, 415}  # what another site's page could send
        for method in ("GET", "DELETE"):
            other = await client.request(
                method, f"{address}/mcp/", headers={"X-User": str(user.id)}
            )
            assert (other.status_code, other.headers["allow"]) == (405, "POST")


async def test_a_subject_signs_in_and_is_created_once(address: str) -> None:
    subject = f"idp|{uuid7()}"
    for count in (1, 2):
        agent = agent_at(f"{address}/writing/", subject)
        await agent.call("create_conversation", title="Notes")
        page = await agent.call("list_conversations")
        assert len(page["conversations"]) == count


async def test_without_a_database_the_application_says_what_is_missing(
    db: Database, user: User
) -> None:
    async def runner(_: Request) -> UserRunner:
        return UserRunner(db, user.id)

    app = FastAPI()
    app.mount("/mcp", McpApplication(identify))
    app.mount("/own", McpApplication(runner))
    async with served(app) as base:
        async with http_client({"X-User": str(user.id)}) as client:
            assert (await client.post(f"{base}/mcp/", json={})).status_code == 500
        agent = agent_at(f"{base}/own/", None)
        assert (await agent.call("list_conversations"))["conversations"] == []


def _bad_calls() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "read_conversation", {}, "conversation_id: Field required"
    yield "read_conversation", {"conversation_id": "canary"}, "valid UUID"
    yield "read_conversation", {"conversation_id": str(uuid7()), "limit": 0}, "limit"
    yield "list_conversations", {"cursor": "canary"}, "cursor"
    yield "list_conversations", {"limit": 101}, "limit"
    yield "search_conversations", {"text": " "}, "must not be blank"
    yield "search_messages", {"text": "canary" * 100}, "at most 255 characters"
    yield "create_conversation", {"title": "canary" * 100}, "title"
    yield "append_message", {"conversation_id": str(uuid7()), "content": "canary"}, "not found"
    yield "append_message", {"conversation_id": str(uuid7()), "content": "canary\0"}, "content"
    yield "canary", {}, "no such tool"


@pytest.mark.parametrize(("tool", "arguments", "words"), [*_bad_calls()])
async def test_a_bad_call_is_refused_without_its_content(
    writing: Agent,
    caplog: pytest.LogCaptureFixture,
    tool: str,
    arguments: dict[str, Any],
    words: str,
) -> None:
    caplog.set_level(logging.INFO)
    refused = await writing.refused(tool, **arguments)
    assert words in refused
    assert "canary" not in refused + caplog.text


async def test_a_fault_shows_the_agent_nothing_of_the_server(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    from faceplate.integrations.mcp import _tools

    async def fail(*_: Any) -> Any:
        raise RuntimeError("canary")

    broken = {"a": _tools.ALL[0]._replace(run=fail)}
    with pytest.raises(_tools.Refused, match="internal error") as caught:
        await _tools.call(UserRunner(db, user.id), broken, "a", None)
    assert "canary" not in str(caught.value) + caplog.text
    assert "the MCP tool a failed: RuntimeError" in caplog.text


@asynccontextmanager
async def agent_by_command(url: str, *arguments: str) -> AsyncIterator[Agent]:
    environment = {"DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)}
    parameters = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], "mcp", *arguments], env=environment
    )
    async with (
        stdio_client(parameters) as (read, write, *_),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield Agent(lambda: nullcontext(session))


async def test_the_command_serves_a_user_on_stdin_and_stdout(
    db: Database, user: User, other_user: User
) -> None:
    mine = await chat_of(db, user, NewMessage("user", "Hi"))
    await chat_of(db, other_user)
    for name in (str(user.id), user.subject_id, user.email):
        assert name is not None
        async with agent_by_command(db.settings.dsn, "--user", name) as agent:
            assert await agent.tools() == READING
            page = await agent.call("list_conversations")
            assert [found["id"] for found in page["conversations"]] == [str(mine)]
    async with agent_by_command(db.settings.dsn, "--user", str(user.id), "--write") as agent:
        note = await agent.call("append_message", conversation_id=str(mine), content="Noted.")
        assert note["message"]["position"] == 2


async def test_the_command_refuses_an_unknown_user(db: Database) -> None:
    command = await asyncio.create_subprocess_exec(
        *COMMAND,
        "mcp",
        "--user",
        "nobody",
        env={**os.environ, "DATABASE_URL": db.settings.dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    out, err = await command.communicate()
    assert (command.returncode, out) == (1, b"")
    assert b"user not found" in err


@pytest.mark.skipif(not IS_2, reason="of mcp 2")
async def test_a_client_of_the_newest_protocol_is_served(
    db: Database, user: User, address: str
) -> None:
    """A client that asks the server first what it speaks, and sends no handshake."""
    from mcp import Client

    chat = await chat_of(db, user, NewMessage("user", "Hi"))
    async with (
        http_client({"X-User": str(user.id)}) as http,
        Client(streamable_http_client(f"{address}/mcp/", http_client=http)) as client,
    ):
        assert {tool.name for tool in (await client.list_tools()).tools} == READING
        read = await client.call_tool("read_conversation", {"conversation_id": str(chat)})
        assert read.structured_content["messages"][0]["text"] == "Hi"
        refused = await client.call_tool("read_conversation", {"conversation_id": "x"})
        assert refused.is_error
