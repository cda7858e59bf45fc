"""What faceplate relies on in asyncpg behind a pooler: docs/private-parts.md, A16 to A20."""

import asyncio
import struct
from typing import Any

import asyncpg
import pytest
from tests.contracts.loops import on_each_loop
from tests.contracts.seams import connected, describe, kinds, message, seamed

INTEGER = 23
PARSED = message(b"1")
NO_VALUES = message(b"t", struct.pack("!h", 0))
ONE_INTEGER = message(b"T", struct.pack("!h2sihihih", 1, b"n\0", 0, 0, INTEGER, 4, -1, 0))


@on_each_loop
async def test_asyncpg_parses_an_unnamed_statement_in_a_write_of_its_own(url: str) -> None:
    """Else the text of a statement is sent twice, or BEGIN goes behind it."""
    async with seamed(url, statement_cache_size=0) as (connection, loop):
        own = await connection.prepare("SELECT $1::text")
        assert own.get_name() == ""
        for fetch in (own.fetch, own.fetchrow):
            loop.seam.written.clear()
            await fetch("a")
            assert [kinds(data) for data in loop.seam.written] == ["P", "BES"]


@on_each_loop
async def test_asyncpg_skips_a_description_ahead_of_a_statements_answer(url: str) -> None:
    """Else no flight can bring a description, and each unit fails."""
    async with seamed(url, statement_cache_size=0) as (connection, loop):
        own = await connection.prepare("SELECT 1 AS n")
        loop.seam.ahead = describe("SELECT 1 AS n")
        assert [tuple(row) for row in await own.fetch()] == [(1,)]
        assert own.get_statusmsg() == "SELECT 1"


@on_each_loop
async def test_asyncpg_prepares_by_an_answer_that_is_not_the_servers(url: str) -> None:
    """Else each connection asks for what its pool knows, in two round trips."""
    async with seamed(url, statement_cache_size=0) as (connection, loop):
        send, call_soon = loop.seam.write, loop.loop.call_soon

        def answer(data: Any) -> None:
            assert kinds(bytes(data)) == "PDH"
            call_soon(loop.protocol.data_received, PARSED + NO_VALUES + ONE_INTEGER)

        loop.seam.write = answer  # type: ignore[method-assign]  # in place of the server
        own = await connection.prepare("SELECT 1 AS n")
        loop.seam.write = send  # type: ignore[method-assign]  # the transport's own again
        assert [dict(row) for row in await own.fetch()] == [{"n": 1}]


@on_each_loop
async def test_asyncpg_tells_which_types_it_would_ask_for(url: str) -> None:
    """Else the driver asks outside of a transaction, and leaves a setting in the session."""
    async with connected(url) as connection:
        await connection.execute("CREATE TYPE pg_temp.contract AS ENUM ('a')")
        oid = await connection.fetchval("SELECT 'pg_temp.contract'::regtype::oid")
        known = connection.get_settings().get_data_codec
        assert known(INTEGER) is not None
        assert known(oid) is None
        await connection.fetchval("SELECT 'a'::pg_temp.contract")
        assert known(oid) is not None


@on_each_loop
async def test_asyncpg_cancels_by_the_key_of_a_connection(url: str) -> None:
    """Else an append that waits for a lock cannot be cancelled behind a pooler."""
    async with connected(url) as connection:
        is_running = asyncio.Event()
        connection.add_log_listener(lambda *_: is_running.set())
        sleeping = "DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(60); END $$"
        task = asyncio.ensure_future(connection.execute(sleeping))
        await is_running.wait()
        await connection._cancel(asyncio.get_running_loop().create_future())
        with pytest.raises(asyncpg.QueryCanceledError):
            await task
        assert await connection.fetchval("SELECT 1") == 1
