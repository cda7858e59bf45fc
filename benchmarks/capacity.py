"""``python -m benchmarks.capacity``: measure bytes on disk and write docs/production/capacity.md.

The text of the messages is cut from the documentation: prose and code, as models write it, so that
PostgreSQL compresses it as it would theirs.
"""

import argparse
import asyncio
from pathlib import Path
from random import Random
from typing import NamedTuple

import asyncpg

from benchmarks.server import Target, forget_environment, make_database, running_server
from faceplate import Database, Settings
from faceplate.services import chats, conversations, messages, users
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "production" / "capacity.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
SIZES = (200, 1_000, 4_000)
OF_CHAT = 50
SIZE = """
    SELECT sum(pg_total_relation_size(relid))::bigint AS total,
           sum(pg_indexes_size(relid))::bigint AS indexes
      FROM pg_stat_user_tables WHERE schemaname = 'faceplate' AND relname = $1
"""
LSN = "SELECT pg_current_wal_insert_lsn() - '0/0'"


class Row(NamedTuple):
    """What one row of a kind takes: all its bytes, and those of them that are in indexes."""

    kind: str
    bytes: float
    in_indexes: float


class Measured(NamedTuple):
    """Bytes on disk by kind of row, the bytes of log that an append writes, and the server."""

    rows: list[Row]
    appended: float
    version: str


async def measure(count: int) -> Measured:
    """Store ``count`` messages of each size, and as many users and conversations; weigh them."""
    random = Random(13)
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md")))

    def cut(chars: int) -> str:
        start = random.randrange(len(text) - chars)
        return text[start : start + chars].replace(" ", "x", 1)  # never blank

    with running_server() as server:
        rows = []
        for size in SIZES:
            target = await make_database(server, f"messages_{size}")
            await _store_messages(target, [cut(size) for _ in range(count)])
            rows.append(
                await _weigh(target, f"a message of {size:,} characters", "messages", count)
            )
        target = await make_database(server, "others")
        await _store_users(target, count)
        rows.append(await _weigh(target, "a conversation", "conversations", count))
        rows.append(await _weigh(target, "a user", "users", count))
        target = await make_database(server, "appended")
        written = await _append(target, [cut(SIZES[0]) for _ in range(count)])
        admin = await asyncpg.connect(target.admin_url)
        version = await admin.fetchval("SHOW server_version")
        await admin.close()
    return Measured(rows, written / count, version.split()[0])


async def _store_messages(target: Target, contents: list[str]) -> None:
    async with Database(Settings(database_url=target.url)) as db:
        user = await db.run_system(users.ensure, "writer")
        for start in range(0, len(contents), OF_CHAT):
            stored = [
                NewMessage("assistant" if n % 2 else "user", content)
                for n, content in enumerate(contents[start : start + OF_CHAT])
            ]
            id_ = conversations.id_of(user.id, source="capacity", key=str(start))
            await db.run(user.id, chats.store, [NewChat(id_, "What broke the export", stored)])


async def _store_users(target: Target, count: int) -> None:
    async with Database(Settings(database_url=target.url)) as db:

        async def sign_in(number: int) -> None:
            name = f"identity-provider|{number:08}"
            user = await db.run_system(users.ensure, name, email=f"{number:08}@example.com")
            await db.run(user.id, conversations.create, title="What broke the export on Monday?")

        for start in range(0, count, 20):
            await asyncio.gather(*map(sign_in, range(start, min(start + 20, count))))


async def _append(target: Target, contents: list[str]) -> int:
    """Append each message by itself, to a hundred conversations; return the bytes of log."""
    async with Database(Settings(database_url=target.url)) as db:
        user = await db.run_system(users.ensure, "writer")
        made = [await db.run(user.id, conversations.create) for _ in range(100)]
        admin = await asyncpg.connect(target.admin_url)
        before = await admin.fetchval(LSN)
        for number, content in enumerate(contents):
            chat = made[number % len(made)]
            await db.run(user.id, messages.append, chat.id, role="user", content=content)
        after = await admin.fetchval(LSN)
        await admin.close()
    return int(after - before)


async def _weigh(target: Target, kind: str, table: str, count: int) -> Row:
    admin = await asyncpg.connect(target.admin_url)
    await admin.execute(f"VACUUM (ANALYZE) faceplate.{table}")
    [size] = await admin.fetch(SIZE, table)
    await admin.close()
    return Row(kind, size["total"] / count, size["indexes"] / count)


def table_of(measured: Measured, count: int) -> str:
    """Return the figures as a table of the page."""
    lines = ["| row | bytes on disk | of these in indexes |", "|---|---:|---:|"]
    lines += [f"| {r.kind} | {r.bytes:,.0f} | {r.in_indexes:,.0f} |" for r in measured.rows]
    appended = f"{measured.appended:,.0f} bytes"
    lines += [
        "",
        f"An append of {SIZES[0]} characters writes {appended} of write-ahead log.",
        f"Measured with {count:,} rows of each kind on PostgreSQL {measured.version}, by",
        "`python -m benchmarks.capacity`.",
    ]
    return "\n".join(lines) + "\n"


def completed(page: str, table: str) -> str:
    """Return the page with ``table`` between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of each kind")
    count = parser.parse_args().rows
    forget_environment()
    table = table_of(asyncio.run(measure(count)), count)
    PAGE.write_text(completed(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
