"""How much memory it takes to import, export and walk many messages, in a process of its own.

``python -m tests.memory import 1000000`` prints as JSON how many messages a step saw, the MB that
were resident before it, and the most that were during it. The database is DATABASE_URL's, with
its migrations; the user that is made for it, and what is theirs, is deleted afterwards.
"""

import asyncio
import json
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from faceplate import Database, Scope, exporters, transcripts
from faceplate.importers import import_file
from faceplate.services import conversations, messages, users

CONTENT = "The quick brown fox jumps over the lazy dog, again and again. " * 16
PER_CHAT = 100
FILL = """
    WITH chats AS (
        INSERT INTO faceplate.conversations (user_id, id, message_count)
        SELECT :user_id, gen_random_uuid(), :length FROM generate_series(1, :chats) RETURNING id
    )
    INSERT INTO faceplate.messages (user_id, conversation_id, id, position, role, content)
    SELECT :user_id, chats.id, gen_random_uuid(), position, 'user', :content
      FROM chats, generate_series(1, :length) AS position
"""


def resident_mb(name: str) -> int:
    """VmRSS is what is resident now, VmHWM the most that was since `forget_peak`."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) // 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def write_chats(path: Path, count: int) -> None:
    """As JSON lines, or as one list on one line, as the name says."""
    as_list = path.suffix == ".json"
    with path.open("w", encoding="utf-8") as file:
        file.write("[" if as_list else "")
        for first in range(0, count, PER_CHAT):
            said = [{"role": "user", "content": f"{CONTENT}{index}"} for index in range(PER_CHAT)]
            file.write(("," if as_list else "\n") if first else "")
            file.write(json.dumps({"id": str(first), "messages": said}))
        file.write("]" if as_list else "\n")


def write_chat(path: Path, count: int) -> None:
    """Write one chat with this many messages, as OpenAI has them."""
    with path.open("w", encoding="utf-8") as file:
        file.write('[{"id": "1", "messages": [')
        for index in range(count):
            said = {"role": "user", "content": f"{CONTENT}{index}"}
            file.write(f"{',' if index else ''}{json.dumps(said)}")
        file.write("]}]")


def write_tree(path: Path, count: int) -> None:
    """Write one chat with this many messages of 100 characters, as ChatGPT has them."""
    with path.open("w", encoding="utf-8") as file:
        file.write('[{"id": "1", "mapping": {')
        for index in range(count):
            said = {
                "author": {"role": "user"},
                "content": {"content_type": "text", "parts": [f"{CONTENT[:90]}{index}"]},
            }
            node = {"message": said, "parent": str(index - 1), "children": [str(index + 1)]}
            file.write(f"{',' if index else ''}{json.dumps(str(index))}: {json.dumps(node)}")
        file.write("}}]")


async def fill(db: Database, user_id: UUID, *, chats: int, length: int) -> None:
    """A few chats at a time, as a statement has a time limit."""
    for first in range(0, chats, 100):
        count = min(100, chats - first)
        values = {"user_id": user_id, "chats": count, "length": length, "content": CONTENT}
        async with db.sessions.begin() as session:
            await session.execute(text(FILL), values)


async def import_chats(db: Database, user_id: UUID, path: Path) -> int:
    return (await import_file(db, user_id, path)).messages


async def export(db: Database, user_id: UUID, path: Path) -> int:
    count, cursor, more = 0, None, True
    with path.open("w", encoding="utf-8") as file:
        while more:
            page = await db.run(user_id, conversations.page, limit=200, cursor=cursor)
            for conversation in page.items:
                async for message in transcripts.read(db, user_id, conversation.id):
                    file.write(json.dumps(message._asdict(), default=str))
                    count += 1
            cursor = page.next_cursor
            more = cursor is not None
    return count


async def walk(db: Database, user_id: UUID, _path: Path) -> int:
    (conversation,) = (await db.run(user_id, conversations.page)).items

    async def count(scope: Scope) -> int:
        total = 0
        async for _ in messages.walk(scope, conversation.id):
            total += 1
        return total

    return await db.run(user_id, count)


def export_as(key: str) -> Callable[[Database, UUID, Path], Awaitable[int]]:
    async def work(db: Database, user_id: UUID, path: Path) -> int:
        [chat] = (await db.run(user_id, conversations.page)).items
        written = await exporters.write_file(db, user_id, path, format=key, conversation_id=chat.id)
        return written.messages

    return work


STEPS: dict[str, Callable[[Database, UUID, Path], Awaitable[int]]] = {
    "import": import_chats,
    "import a list": import_chats,
    "import one chat": import_chats,
    "import one tree": import_chats,
    "export": export,
    "walk": walk,
    **{f"export {key}": export_as(key) for key in exporters.FORMATS},
}


async def measure(step: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / ("chats.jsonl" if step == "import" else "chats.json")
        async with Database() as db:
            user = await db.run_system(users.create, subject_id=secrets.token_hex())
            try:
                match step:
                    case "export":
                        await fill(db, user.id, chats=count // PER_CHAT, length=PER_CHAT)
                    case "import" | "import a list":
                        write_chats(path, count)
                    case "import one chat":
                        write_chat(path, count)
                    case "import one tree":
                        write_tree(path, count)
                    case _:
                        await fill(db, user.id, chats=1, length=count)
                before_mb = resident_mb("VmRSS")
                forget_peak()
                seen = await STEPS[step](db, user.id, path)
                return {"messages": seen, "before": before_mb, "peak": resident_mb("VmHWM")}
            finally:
                await db.run_system(users.delete, user.id)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))) + "\n")
