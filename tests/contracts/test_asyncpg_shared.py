"""What faceplate relies on in asyncpg for shared flights: docs/private-parts.md, A24."""

import pytest
from tests.contracts.loops import on_each_loop
from tests.contracts.seams import execute, kinds, run, seamed

from faceplate._runner.shared_flights import MOST_BYTES, MOST_BYTES_EACH

BIND_AND_EXECUTE = "BE"
FULL = ["a" * (MOST_BYTES_EACH - 300)] * (MOST_BYTES // MOST_BYTES_EACH)
"""The largest texts that one flight takes."""
SENT_ALONE = 30_000
"""How many characters fill more than one of the driver's buffers, each of several writes."""


@pytest.mark.parametrize("values", [["a", "", "b"], FULL, ["a" * SENT_ALONE] * 10])
@on_each_loop
async def test_asyncpg_sends_many_values_with_one_sync(url: str, values: list[str]) -> None:
    """Else messages of one flight are committed one by one, or a user is put at a wrong place."""
    async with seamed(url) as (connection, loop):
        own = await connection.prepare("SELECT $1::text WHERE $1 <> ''")
        loop.seam.written.clear()
        loop.seam.ahead = run("SELECT 1 WHERE false")
        rows = await connection._protocol.bind_execute_many(
            own._state, [[value] for value in values], "", timeout=None, return_rows=True
        )
        assert [row[0] for row in rows] == list(filter(None, values))
        sent = b"".join(loop.seam.written)
        assert kinds(sent) == "P" + BIND_AND_EXECUTE * (1 + len(values)) + "S"
        assert sent.count(execute("")[-10:]) == 1 + len(values)
        assert (len(loop.seam.written) == 1) is (len(sent) < 2 * MOST_BYTES)
        for data in loop.seam.written:  # whole pairs
            assert kinds(data).lstrip("P").rstrip("S") == BIND_AND_EXECUTE * kinds(data).count("B")
