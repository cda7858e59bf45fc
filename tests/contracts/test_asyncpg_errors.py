"""What faceplate relies on in asyncpg's errors: docs/private-parts.md, A10, A11 and A13."""

import asyncio
from typing import Any

import asyncpg
import pytest
from tests.contracts.loops import on_each_loop
from tests.contracts.seams import connected
from tests.unusable import fake


@on_each_loop
async def test_asyncpg_says_its_misuses_in_these_words(url: str) -> None:
    """Else a caller reads "unexpected InterfaceError" in place of what to do."""
    async with connected(url) as connection:
        both = asyncio.gather(
            *(connection.fetch("SELECT pg_sleep(0.1)") for _ in range(2)), return_exceptions=True
        )
        (busy,) = [one for one in await both if isinstance(one, Exception)]
        assert isinstance(busy, asyncpg.InterfaceError)
        assert "another operation is in progress" in str(busy)
        many = await connection.prepare("SELECT $1::int")
        with pytest.raises(asyncpg.InterfaceError, match="number of query arguments cannot exceed"):
            await many.fetch(*range(32_768))


@on_each_loop
async def test_asyncpg_raises_a_plain_connection_error_where_a_server_hangs_up() -> None:
    """Else a server that starts anew is taken for one that will never answer."""

    async def refuse_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        await writer.drain()

    async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)

    async with fake(refuse_tls) as port:
        with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
            await asyncpg.connect(host="127.0.0.1", port=port, user="ada", ssl="require")
    async with fake(hang_up) as port:
        with pytest.raises(ConnectionError) as gone:
            await asyncpg.connect(host="127.0.0.1", port=port, user="ada", ssl="require")
    assert type(gone.value) is ConnectionError
    assert "SSL" not in str(gone.value)


async def test_a_server_error_names_the_function_that_raised_it(url: str) -> None:
    """Else a login that a policy blinds is told that it has no rights, and a function's own error
    ends the connection.
    """
    async with connected(url) as connection:
        await connection.execute("""
            CREATE TEMP TABLE contract (n int);
            ALTER TABLE contract ENABLE ROW LEVEL SECURITY;
            ALTER TABLE contract FORCE ROW LEVEL SECURITY;
            SET row_security = off
        """)
        assert await _function_of(connection, "SELECT * FROM contract") == "check_enable_rls"
        assert await _function_of(connection, "SELECT * FROM pg_authid") == "aclcheck_error"
        raising = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '08006'; END $$"
        assert await _function_of(connection, raising) == "exec_stmt_raise"


async def test_asyncpg_gives_a_severity_and_a_place_to_what_the_server_says_alone(url: str) -> None:
    """Else an error that ends the connection is taken for one of a statement, or the reverse."""
    async with connected(url) as connection:
        with pytest.raises(asyncpg.DivisionByZeroError) as said:
            await connection.fetch("SELECT 1 / 0")
        assert said.value.severity_en == "ERROR"
        assert said.value.severity
        assert said.value.server_source_filename
        with pytest.raises(asyncpg.ConnectionDoesNotExistError) as ended:
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (ended.value.severity_en, ended.value.sqlstate) == (None, "08003")  # the driver's own
    with pytest.raises(asyncpg.PostgresError) as fatal:
        await asyncpg.connect(url, database="contract_nowhere")
    assert (fatal.value.severity_en, fatal.value.sqlstate) == ("FATAL", "3D000")


async def _function_of(connection: Any, sql: str) -> str | None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await connection.execute(sql)
    return refused.value.server_source_function
