"""``python -m benchmarks.footprint``: measure the bytes and the upkeep of a million messages.

It writes the tables of docs/scaling.md. The texts are those of the benchmark: questions of some 60
characters, and answers of some 500.
"""

import argparse
import asyncio
import json
import random
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from uuid6 import uuid7

from benchmarks.data import LAST, TITLE, Data, Size
from benchmarks.markdown import table
from benchmarks.server import Target, checkpoint, forget_environment, make_database, running_server
from benchmarks.sides.raw import HISTORY
from benchmarks.weighing import weigh
from faceplate import Database, Settings, erasure
from faceplate.services import conversations, messages

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
MESSAGES = 1_000_000
OF_CHAT = 100
CHATS_OF_USER = 25
TEXTS = 2_000
POOL = 20
ORDERS = ("live", "imported")
"""Live: all conversations grow side by side. Imported: one conversation comes after the other."""
USER_COLUMNS = ("id", "subject_id")
CONVERSATION_COLUMNS = ("user_id", "id", "title", "message_count")
MESSAGE_COLUMNS = ("user_id", "conversation_id", "position", "id", "role", "content")
SIZES = """
    SELECT relname, pg_table_size(oid) FROM pg_class WHERE oid IN (
        SELECT 'faceplate.{table}'::regclass UNION ALL
        SELECT indexrelid FROM pg_index WHERE indrelid = 'faceplate.{table}'::regclass)
"""
INDEX = "uq_messages_user_id_conversation_id_position"
SHAPE = f"""
    SELECT tree_level + 1 AS levels, leaf_pages, internal_pages
      FROM pgstatindex('faceplate.{INDEX}')
"""
TOUCHED = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {HISTORY}"
APPENDS = 2_000
BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'faceplate'"
PRIVATE = re.compile(r"^Private_(?:Clean|Dirty): +(\d+) kB", re.MULTILINE)


class Footprint(NamedTuple):
    """The bytes of each table and index by the order of the writes, and the upkeep of one."""

    sizes: dict[str, dict[str, int]]
    """By order; tables and their indexes by name."""
    pages_read: dict[str, float]
    """By order: the pages that a read of the last 50 messages touches."""
    wal: dict[str, float]
    """Bytes of log that an append writes, by what came before it."""
    shape: dict[str, int]
    """The levels and pages of the index that serves histories."""
    seconds: dict[str, float]
    """By task."""
    backend_mb: float
    """Private memory of a server process that serves a connection."""
    version: str


async def measure(count: int) -> Footprint:
    """Store ``count`` messages in each order, and look at the server."""
    with running_server() as server:
        live, imported = [await make_database(server, order) for order in ORDERS]
        await _fill(live, count, "live")
        await _fill(imported, count, "imported")
        dump = Path(shlex.split(server.psql)[0]).with_name("pg_dump")
        seconds = await _time_upkeep(live, dump)
        sizes = {"live": await _sizes(live), "imported": await _sizes(imported)}
        pages = {"live": await _pages_read(live), "imported": await _pages_read(imported)}
        admin = await asyncpg.connect(live.admin_url)
        await admin.execute("CREATE EXTENSION pgstattuple")
        [shape] = await admin.fetch(SHAPE)
        version = await admin.fetchval("SHOW server_version")
        backend_mb = await _weigh_backends(live, admin)
        await admin.close()
        wal = await _weigh_log(live, min(APPENDS, count // OF_CHAT))
        seconds["erasing one user"] = await _time_erasure(live)
        seconds |= await _time(live, {f"REINDEX of `{INDEX}`": f"REINDEX INDEX faceplate.{INDEX}"})
    return Footprint(sizes, pages, wal, dict(shape), seconds, backend_mb, version.split()[0])


async def _sizes(target: Target) -> dict[str, int]:
    admin = await asyncpg.connect(target.admin_url)
    rows = [await admin.fetch(SIZES.format(table=name)) for name in ("messages", "conversations")]
    await admin.close()
    return {name: size for found in rows for name, size in found}


async def _fill(target: Target, count: int, order: str) -> None:
    """Store the messages by COPY. Foreign keys are not checked, since all fits together."""
    connection = await asyncpg.connect(target.admin_url)
    await connection.execute("SET session_replication_role = replica")
    for columns, name, records in (
        (USER_COLUMNS, "users", _users(count)),
        (CONVERSATION_COLUMNS, "conversations", _conversations(count)),
        (MESSAGE_COLUMNS, "messages", _messages(count, order)),
    ):
        await connection.copy_records_to_table(
            name, schema_name="faceplate", columns=columns, records=records
        )
    await connection.close()


def _place(number: int) -> tuple[UUID, UUID]:
    """The ids of a conversation and its user, as far apart as random ones."""
    dice = random.Random(number // CHATS_OF_USER)
    user_id = UUID(int=dice.getrandbits(128), version=4)
    return user_id, UUID(int=random.Random(f"chat {number}").getrandbits(128), version=4)


def _users(count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(0, count // OF_CHAT, CHATS_OF_USER):
        yield _place(number)[0], str(number)


def _conversations(count: int) -> Iterator[tuple[Any, ...]]:
    for number in range(count // OF_CHAT):
        yield *_place(number), TITLE, OF_CHAT


def _messages(count: int, order: str) -> Iterator[tuple[Any, ...]]:
    lines = Data(Size(users=1, read=1, written=0, long=0), 1)
    texts = [(line.role, line.content) for line in lines.lines(lines.read[0], TEXTS)]
    places = [_place(number) for number in range(count // OF_CHAT)]
    written = (
        ((place, position) for position in range(1, OF_CHAT + 1) for place in places)
        if order == "live"
        else ((place, position) for place in places for position in range(1, OF_CHAT + 1))
    )
    dice = random.Random(2)
    for place, position in written:
        role, content = texts[dice.randrange(0, TEXTS, 2) + (position - 1) % 2]
        yield *place, position, uuid7(), role, content


async def _pages_read(target: Target) -> float:
    """Return the pages that the server looks at for the last 50 messages of a conversation."""
    admin = await asyncpg.connect(target.admin_url)
    plans = [
        json.loads(await admin.fetchval(TOUCHED, *_place(number), LAST))[0]["Plan"]
        for number in range(POOL)
    ]
    await admin.close()
    touched: int = sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)
    return touched / len(plans)


async def _weigh_log(target: Target, appends: int) -> dict[str, float]:
    """Return the bytes of log of an append, to as many conversations as there are appends."""
    await checkpoint(target)
    plain = "after a checkpoint"
    found = {
        plain: await _log_of_appends(target, appends),
        "later": await _log_of_appends(target, appends),
    }
    admin = await asyncpg.connect(target.admin_url)
    await admin.execute("ALTER DATABASE live SET wal_compression = on")
    await checkpoint(target)
    compressed = await _log_of_appends(target, appends)
    await admin.close()
    return found | {f"{plain}, with wal_compression": compressed}


async def _log_of_appends(target: Target, appends: int) -> float:
    before = await weigh(target)
    settings = Settings(database_url=target.url, pool_size=1, max_overflow=0)
    async with Database(settings) as db:
        for number in range(appends):
            user_id, chat_id = _place(number)
            text = "a question of the usual length, more or less"
            await db.run(user_id, messages.append, chat_id, role="user", content=text)
    return ((await weigh(target)).wal_bytes - before.wal_bytes) / appends


async def _weigh_backends(target: Target, admin: Any) -> float:
    """Return the MB of private memory of a backend that has run appends, histories and lists."""
    settings = Settings(database_url=target.url, pool_size=POOL, max_overflow=0)
    async with Database(settings) as db:
        for number in range(POOL * 20):
            user_id, chat_id = _place(number % POOL)
            await asyncio.gather(
                db.run(user_id, messages.append, chat_id, role="user", content="a question"),
                *(db.run(user_id, messages.history, chat_id, limit=50) for _ in range(POOL)),
                db.run(user_id, conversations.page, limit=20),
            )
        pids = [pid for (pid,) in await admin.fetch(BACKENDS)]
        private = [_private_kb(pid) for pid in pids]
    return sum(private) / len(private) / 1024


def _private_kb(pid: int) -> int:
    """Return what a process has for itself alone, in units of 1,024 bytes."""
    return sum(map(int, PRIVATE.findall(Path(f"/proc/{pid}/smaps_rollup").read_text("ascii"))))


async def _time_upkeep(target: Target, dump: Path) -> dict[str, float]:
    """Return the seconds of each task, on tables that were never vacuumed."""
    seconds = await _time(
        target,
        {
            "VACUUM, the first": "VACUUM faceplate.messages",
            "VACUUM that freezes all pages": (
                "VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) faceplate.messages"
            ),
        },
    )
    start = time.monotonic()
    _run([dump, "--format=custom", target.admin_url])
    return seconds | {"pg_dump, compressed": time.monotonic() - start}


async def _time_erasure(target: Target) -> float:
    async with Database(Settings(database_url=target.url)) as db:
        start = time.monotonic()
        await erasure.erase(db, _place(0)[0])
        return time.monotonic() - start


def _run(command: Sequence[str | Path]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def _time(target: Target, tasks: dict[str, str]) -> dict[str, float]:
    seconds: dict[str, float] = {}
    admin = await asyncpg.connect(target.admin_url)
    for task, sql in tasks.items():
        await checkpoint(target)
        start = time.monotonic()
        await admin.execute(sql)
        seconds[task] = time.monotonic() - start
    await admin.close()
    return seconds


def tables_of(found: Footprint, count: int) -> dict[str, str]:
    """Return the tables of the page by the name of their marks."""
    rows = {"messages": count, "conversations": count // OF_CHAT}
    for name in found.sizes["live"]:
        rows.setdefault(name, rows["messages" if "_messages" in name else "conversations"])
    bytes_of = [
        [f"`{name}`", *(f"{found.sizes[order][name] / rows[name]:,.0f}" for order in ORDERS)]
        for name in found.sizes["live"]
        if any(found.sizes[order][name] > PAGE_BYTES for order in ORDERS)
    ]
    upkeep = [[task, f"{seconds:,.1f}"] for task, seconds in found.seconds.items()]
    others = [
        *([f"pages for the last 50, {order}", f"{n:.0f}"] for order, n in found.pages_read.items()),
        *([f"log of an append {when}, bytes", f"{n:,.0f}"] for when, n in found.wal.items()),
        *([f"`{INDEX}`: {what}", f"{n:,}"] for what, n in found.shape.items()),
        ["private memory of a server process, MB", f"{found.backend_mb:.1f}"],
    ]
    return {
        "bytes": table(["bytes a row", "written live", "imported"], bytes_of),
        "upkeep": table([f"{count:,} messages", "seconds"], upkeep),
        "others": table([f"{count:,} messages", ""], others),
    }


PAGE_BYTES = 8_192
"""What an index without entries takes."""


def completed(page: str, tables: dict[str, str]) -> str:
    """Return the page with each table between its two marks."""
    for name, text in tables.items():
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->\n")
        page = f"{before}<!-- {name} -->\n{text}\n<!-- /{name} -->\n{after}"
    return page


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    count = parser.parse_args().messages
    forget_environment()
    found = asyncio.run(measure(count))
    tables = tables_of(found, count)
    print(found.version, *tables.values(), sep="\n\n")
    if PAGE.exists():
        PAGE.write_text(completed(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
