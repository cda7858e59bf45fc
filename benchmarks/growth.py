"""What an operation costs as a conversation grows, and as the tables do."""

import asyncio
import gc
import random
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple
from uuid import UUID

import asyncpg

from benchmarks.data import Place
from benchmarks.figures import Growth, Written
from benchmarks.measuring import Pace, Spread, take_turns
from benchmarks.server import Target, checkpoint, make_database, tidy
from benchmarks.sides.base import Side
from benchmarks.sides.ours import Faceplate
from benchmarks.sides.raw import Asyncpg
from benchmarks.weighing import weigh
from benchmarks.workloads import Operation
from faceplate.embedded import Server

SIDES: tuple[type[Side], ...] = (Asyncpg, Faceplate)
CONVERSATIONS_OF_EACH = 4
MESSAGES_OF_EACH = 100
CONVERSATIONS_OF_USER = 25
IN_USE = 40
"""The conversations that are read and written, however many there are.

In a table each of their messages lies on a page of its own, as where many users write at once. So
many pages stay in the server's memory at all sizes; whether all do is another question than this.
"""

# Foreign keys are not checked row by row, since what is made here fits together.
PREPARE = """
SET session_replication_role = replica;
CREATE FUNCTION pg_temp.id_of(number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT lpad(to_hex(number), 32, '0')::uuid $$;
"""
FILL = """
INSERT INTO faceplate.users (id, subject_id)
    SELECT pg_temp.id_of(u), u::text
    FROM generate_series({first} / {of_user}, {last} / {of_user}) u;
INSERT INTO faceplate.conversations (user_id, id, message_count)
    SELECT pg_temp.id_of(c / {of_user}), pg_temp.id_of(c), {messages}
    FROM generate_series({first}, {last}) c;
INSERT INTO faceplate.messages (user_id, conversation_id, position, id, role, content)
    SELECT pg_temp.id_of(c / {of_user}), pg_temp.id_of(c), p, uuidv7(),
           CASE p % 2 WHEN 1 THEN 'user' ELSE 'assistant' END,
           repeat('some words of it ', 2 + ((c * 31 + p * 17) % 32)::int)
    FROM generate_series({first}, {last}) c, generate_series(1, {messages}) p;
"""

FILLED_AT_ONCE = 10_000
"""Conversations: a million messages in one transaction."""

Say = Callable[[str], None]


class Sizes(NamedTuple):
    """How many messages a conversation has, and how many a table."""

    conversations: Sequence[int] = (100, 5_000, 50_000)
    tables: Sequence[int] = (200_000, 1_000_000, 5_000_000, 20_000_000)
    counted: int = 5_000
    """Appends whose log is weighed, in each table."""

    def up_to(self, messages: int) -> "Sizes":
        """Return these sizes without the tables that are larger."""
        return self._replace(tables=[size for size in self.tables if size <= messages])


FULL = Sizes()
TINY = Sizes(conversations=(100, 200), tables=(1_000, 2_000), counted=5)


class _Stock(NamedTuple):
    """A database, and the conversations in it that are used."""

    target: Target
    places: list[Place]


async def grow(
    server: Server, sizes: Sizes, pace: Pace, seed: int, say: Say
) -> tuple[list[Growth], list[Written]]:
    """Measure append and the last 50, one at a time, at all sizes in turn.

    Then weigh what the server writes for an append of faceplate's in each table.
    """
    conversations = await _make_conversations(server, sizes.conversations, say)
    tables = await _make_tables(server, sizes.tables, random.Random(seed), say)
    found = []
    for kind, stocks in (("conversation", conversations), ("table", tables)):
        for side in SIDES:
            found += await _measure(kind, side, stocks, pace, seed)
            say(f"{side.name}, growth of the {kind}: {_in_short(found[-2 * len(stocks) :])}")
    say(f"weighing {sizes.counted:,} appends in each table")
    written = [await _weigh(size, tables[size], sizes.counted) for size in tables]
    return found, written


async def _make_conversations(server: Server, sizes: Sequence[int], say: Say) -> dict[int, _Stock]:
    target = await make_database(server, "growth")
    stocks = {}
    for index, size in enumerate(sizes):
        say(f"making conversations of {size:,} messages")
        first = index * CONVERSATIONS_OF_USER
        numbers = range(first, first + CONVERSATIONS_OF_EACH)
        await _fill(target, numbers, size)
        stocks[size] = _Stock(target, [_place(number) for number in numbers])
    await tidy(target)
    return stocks


async def _make_tables(
    server: Server, sizes: Sequence[int], dice: random.Random, say: Say
) -> dict[int, _Stock]:
    stocks = {}
    for size in sizes:
        say(f"making a table of {size:,} messages")
        numbers = range(size // MESSAGES_OF_EACH)
        target = await make_database(server, f"growth_{size}")
        await _fill(target, numbers, MESSAGES_OF_EACH)
        await tidy(target)
        used = dice.sample(numbers, min(IN_USE, len(numbers)))
        stocks[size] = _Stock(target, [_place(number) for number in used])
    return stocks


async def _fill(target: Target, numbers: range, messages: int) -> None:
    connection = await asyncpg.connect(target.admin_url)
    try:
        await connection.execute(PREPARE)
        for start in range(0, len(numbers), FILLED_AT_ONCE):
            filled = numbers[start : start + FILLED_AT_ONCE]
            await connection.execute(
                FILL.format(
                    first=filled[0],
                    last=filled[-1],
                    messages=messages,
                    of_user=CONVERSATIONS_OF_USER,
                )
            )
    finally:
        await connection.close()


def _place(number: int) -> Place:
    return Place(UUID(int=number // CONVERSATIONS_OF_USER), UUID(int=number))


async def _measure(
    kind: str, side_type: type[Side], stocks: Mapping[int, _Stock], pace: Pace, seed: int
) -> list[Growth]:
    sides = {size: side_type() for size in stocks}
    for size, side in sides.items():
        await side.open(stocks[size].target.url, 1)
    gc.collect()
    gc.freeze()
    found = []
    for workload, operation_of in (("append", _append), ("last", _last)):
        operations = {
            str(size): operation_of(side, stocks[size].places) for size, side in sides.items()
        }
        results = await take_turns(str(min(stocks)), operations, 1, pace, seed)
        for name, blocks in results.items():
            found.append(
                Growth(
                    kind=kind,
                    messages=int(name),
                    side=side_type.name,
                    workload=workload,
                    per_second=Spread.of([block.per_second for block in blocks.blocks]),
                    ratio=Spread.of([1 / ratio for ratio in blocks.ratios]),
                    p50_ms=blocks.latency_s(0.5) * 1e3,
                )
            )
    gc.unfreeze()
    for side in sides.values():
        await side.close()
    return found


async def _weigh(messages: int, stock: _Stock, appends: int) -> Written:
    """Append so often, and look at the server before and afterwards.

    A checkpoint comes first, and an append to each conversation, which writes whole pages to the
    log. No other checkpoint falls in between.
    """
    await checkpoint(stock.target)
    await _append_many(stock, len(stock.places))
    before = await weigh(stock.target)
    await _append_many(stock, appends)
    after = await weigh(stock.target)
    hot_share = after.hot_share_since(before)
    assert hot_share is not None
    return Written(
        messages=messages,
        appends=appends,
        hot_share=hot_share,
        wal_bytes=(after.wal_bytes - before.wal_bytes) / appends,
        whole_pages=(after.whole_pages - before.whole_pages) / appends,
    )


async def _append_many(stock: _Stock, appends: int) -> None:
    """Append to each conversation in turn, and wait until the server's statistics say so."""
    before = await weigh(stock.target)
    side = Faceplate()
    await side.open(stock.target.url, 1)
    operation = _append(side, stock.places)
    for _ in range(appends):
        await operation()
    await side.close()
    told = before.updates + appends
    while (await weigh(stock.target)).updates < told:  # noqa: ASYNC110 - the server signals nothing
        await asyncio.sleep(0.01)


def _append(side: Side, places: Sequence[Place]) -> Operation:
    rotation = cycle(places)
    return lambda: side.append(next(rotation), "a question of the usual length, more or less")


def _last(side: Side, places: Sequence[Place]) -> Operation:
    rotation = cycle(places)
    return lambda: side.last(next(rotation))


def _in_short(found: Sequence[Growth]) -> str:
    return ", ".join(f"{g.workload} at {g.messages:,} x{g.ratio.median:.2f}" for g in found)
