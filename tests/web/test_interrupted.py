"""Nothing that was shown of a reply is lost, however its stream ends."""

import asyncio
import signal
from typing import Any

import httpx
import pytest
from tests.web.applications import HALF
from tests.web.servers import (
    DEADLINE_S,
    Event,
    Server,
    events_of,
    messages_of,
    open_conversation,
    serving,
    text_of,
)

UNFINISHED = "tests.web.applications:unfinished"


class HalfWay:
    """A reply of which the reader has seen some, and which goes no further."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = server.client("ada")
        self.conversation_id = ""
        self.shown = ""
        self._reading: asyncio.Task[list[Event]] | None = None
        self._half_way = asyncio.Event()

    async def __aenter__(self) -> "HalfWay":
        self.conversation_id = await open_conversation(self.http)
        self._reading = asyncio.create_task(self._read())
        waiting = asyncio.create_task(self._half_way.wait())
        await asyncio.wait({self._reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert self._half_way.is_set(), await self._reading
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self.http.aclose()

    async def _read(self) -> list[Event]:
        seen = []
        async with self.http.stream(
            "POST",
            f"/api/conversations/{self.conversation_id}/replies",
            json={"content": "and then?"},
        ) as response:
            async for event in events_of(response):
                seen.append(event)
                self.shown = text_of(seen)
                if self.shown == HALF:
                    self._half_way.set()
        return seen

    async def close(self) -> None:
        """Close the tab."""
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def lose(self) -> None:
        """Read on until the server is gone."""
        assert self._reading is not None
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(self._reading, return_exceptions=True)


async def _reply_after(http: httpx.AsyncClient, conversation_id: str) -> dict[str, Any]:
    """The reply, when it is not being written any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            question, reply = await messages_of(http, conversation_id)
            assert (question["content"], question["status"]) == ("and then?", "complete")
            if reply["status"] != "streaming":
                return reply


async def test_a_reload_shows_what_was_shown(database_url: str) -> None:
    """Else a reader who reloads the page in the middle of a reply sees less than before."""
    with serving(database_url, UNFINISHED) as server:
        async with HalfWay(server) as reading:
            _, reply = await messages_of(reading.http, reading.conversation_id)
            assert (reply["content"], reply["status"]) == (HALF, "streaming")


async def test_a_closed_tab_leaves_what_had_arrived(database_url: str) -> None:
    """Else a user who closes the tab during a reply finds it empty, or streaming for ever."""
    with serving(database_url, UNFINISHED) as server:
        async with HalfWay(server) as reading:
            await reading.close()
            reply = await _reply_after(reading.http, reading.conversation_id)
            assert (reply["content"], reply["status"]) == (HALF, "interrupted")
            ready = (await reading.http.get("/readyz")).json()
            assert (ready["ready"], ready["pool"]["checked_out"]) == (True, 0)


async def test_a_server_that_is_stopped_keeps_the_reply(database_url: str) -> None:
    """Else every deploy loses the replies that are being written."""
    with serving(database_url, UNFINISHED) as server:
        async with HalfWay(server) as reading:
            server.process.send_signal(signal.SIGTERM)
            await reading.lose()
            await asyncio.to_thread(server.process.wait, DEADLINE_S)
    assert not [line for line in server.log if "not saved" in line or "still open" in line]
    with serving(database_url, UNFINISHED) as restarted:
        async with restarted.client("ada") as http:
            _, reply = await messages_of(http, reading.conversation_id)
    assert (reply["content"], reply["status"]) == (HALF, "interrupted")


@pytest.mark.parametrize("alone", [True, False])
async def test_a_server_that_is_killed_loses_nothing_that_was_shown(
    fresh_database_url: str, *, alone: bool
) -> None:
    """Else a crash takes words away that somebody has read."""
    with serving(fresh_database_url, UNFINISHED) as server:
        async with HalfWay(server) as reading:
            server.process.kill()
            await reading.lose()
    with serving(fresh_database_url, UNFINISHED, CHAT_ALONE=str(alone)) as restarted:
        async with restarted.client("ada") as http:
            _, reply = await messages_of(http, reading.conversation_id)
    # Where others serve as well, only its age will tell that nobody writes it any more.
    assert (reply["content"], reply["status"]) == (HALF, "interrupted" if alone else "streaming")
