"""An upload that breaks off leaves whole chats, no file, and a way to go on."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from tests.web.servers import DEADLINE_S, Event, Server, ask, events_of, open_conversation, serving

CHATS = 3_000
TEXT = "The quick brown fox jumps over the lazy dog. " * 10


def lines(first: int = 0, last: int = CHATS) -> bytes:
    said = [{"role": "user", "content": TEXT}, {"role": "assistant", "content": TEXT}] * 5
    chats = ({"id": str(number), "messages": said} for number in range(first, last))
    return "".join(f"{json.dumps(chat)}\n" for chat in chats).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server keeps its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def chat_server(fresh_database_url: str, folder: Path) -> Iterator[Server]:
    with serving(
        fresh_database_url,
        CHAT_TOKEN_DELAY_S="0",
        CHAT_SAVE_EVERY_S="0.001",
        TMPDIR=str(folder),
    ) as server:
        yield server


async def until_gone(folder: Path) -> None:
    """Wait until nothing of an upload is left, which is when its import has ended."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if not files_in(folder):
                return
            await asyncio.sleep(0.01)


async def until_begun(folder: Path) -> None:
    """Wait until a file is being received."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if files_in(folder):
                return
            await asyncio.sleep(0.01)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def ended(http: httpx.AsyncClient, body: bytes) -> Event:
    """Upload a file and return the last event of its import."""
    async with http.stream("POST", "/api/imports", content=body) as response:
        assert response.status_code == 200, await response.aread()
        return await _last(events_of(response))


async def _last(events: AsyncIterator[Event]) -> Event:
    *_, last = [event async for event in events]
    return last


async def count(http: httpx.AsyncClient) -> int:
    found, cursor = 0, None
    while True:
        parameters = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/api/conversations", params=parameters)).json()
        found += len(page["items"])
        if not (cursor := page["next_cursor"]):
            return found


async def test_a_client_that_goes_away_ends_its_import(chat_server: Server, folder: Path) -> None:
    """Else a file that nobody waits for keeps the server busy, and its user waiting."""
    async with chat_server.client("ada") as http:
        async with http.stream("POST", "/api/imports", content=lines()) as response:
            async for event in events_of(response):
                if event.name == "progress" and event.data["imported"]:
                    break
            told = event.data["imported"]
        await until_gone(folder)
        stored = await count(http)
        assert told <= stored < CHATS
        last = await ended(http, lines())
        assert (last.data["imported"], last.data["skipped"]) == (CHATS - stored, stored)


async def test_a_server_that_is_stopped_keeps_whole_chats(
    chat_server: Server, folder: Path
) -> None:
    """Else every deploy waits for an import, or cuts a chat in two."""
    async with (
        chat_server.client("ada") as http,
        http.stream("POST", "/api/imports", content=lines()) as response,
    ):
        events = events_of(response)
        while not (await anext(events)).data.get("imported"):
            pass
        chat_server.process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):
            await asyncio.wait_for(_last(events), DEADLINE_S)
    await asyncio.to_thread(chat_server.process.wait, DEADLINE_S)
    assert files_in(folder) == []
    complaints = re.compile("still open|never retrieved|exited with")
    assert not [line for line in chat_server.log if complaints.search(line)]


async def test_half_a_file_leaves_nothing(chat_server: Server, folder: Path) -> None:
    """Else each upload that breaks off takes room on the server's disk."""
    is_there = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield lines(0, 100)
        await until_begun(folder)
        is_there.set()
        await asyncio.Event().wait()

    async with chat_server.client("ada") as http:
        sending = asyncio.create_task(http.post("/api/imports", content=half()))
        await is_there.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await until_gone(folder)
        assert await count(http) == 0
        assert (await ended(http, lines(0, 1))).data["imported"] == 1


async def test_replies_stream_while_a_file_is_imported(chat_server: Server) -> None:
    """Else everybody waits until one user's file is read."""
    message = {"role": "user", "content": TEXT * 10}
    body = json.dumps([{"id": "long", "messages": [message] * 4_000}]).encode()
    async with chat_server.client("ada") as http, chat_server.client("grace") as other:
        chat = await open_conversation(other)
        async with http.stream("POST", "/api/imports", content=body) as response:
            events = events_of(response)
            assert (await anext(events)).name == "progress"
            replies = await ask(other, f"/api/conversations/{chat}/replies", content="hello")
            assert replies[-1].name == "done"
            following = await anext(events)
            assert following.name == "progress"
            assert following.data["imported"] == 0
            *_, last = [event async for event in events]
        assert (last.name, last.data["messages"]) == ("done", 4_000)
