"""What faceplate relies on in asyncpg for shared flights: docs/private-parts.md, A24."""

from tests.contracts.loops import on_each_loop
from tests.contracts.seams import execute, kinds, run, seamed

BIND_AND_EXECUTE = "BE"
SENT_ALONE = 30_000
"""How many characters fill more than one of the driver's buffers, each of several writes."""


@on_each_loop
async def test_asyncpg_sends_many_values_with_one_sync(url: str) -> None:
    """Else messages of one flight are committed one by one, or a user is put at a wrong place."""
    async with seamed(url) as (connection, loop):
        own = await connection.prepare("SELECT $1::text WHERE $1 <> ''")
        for values in (["a", "", "b"], ["a" * SENT_ALONE for _ in range(10)]):
            loop.seam.written.clear()
            loop.seam.ahead = run("SELECT 1 WHERE false")
            rows = await connection._protocol.bind_execute_many(
                own._state, [[value] for value in values], "", timeout=None, return_rows=True
            )
            assert [row[0] for row in rows] == list(filter(None, values))
            sent = b"".join(loop.seam.written)
            assert kinds(sent) == "P" + BIND_AND_EXECUTE * (1 + len(values)) + "S"
            assert sent.count(execute("")[-10:]) == 1 + len(values)
            for data in loop.seam.written:  # whole pairs
                assert kinds(data).lstrip("P").rstrip("S") == BIND_AND_EXECUTE * (
                    kinds(data).count("B")
                )
