"""How much memory the large tasks take: each in a process of its own, which says its peak."""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from benchmarks import child_environment
from benchmarks.data import TITLE
from benchmarks.figures import Memory
from benchmarks.server import make_database
from faceplate import Database, Settings, importers
from faceplate.embedded import Server
from faceplate.services import conversations, messages, users

MESSAGES = 1_000_000
MESSAGES_OF_CHAT = 500
WALKED = 50_000
ROW = {
    "user": "A question that is about as long as questions are, and no longer than that?",
    "assistant": "An answer of some length. " * 12,
}

Say = Callable[[str], None]


async def remember(server: Server, count: int, walked: int, say: Say) -> list[Memory]:
    """Import, export and walk; return the peak of each."""
    url = (await make_database(server, "memory")).url
    async with Database(Settings(database_url=url)) as db:
        user_id = (await db.run_system(users.ensure, "memory")).id
        walker_id = (await db.run_system(users.ensure, "walker")).id
        chat_id = (await db.run(walker_id, conversations.create)).id
        batch = [messages.NewMessage(role, text) for role, text in ROW.items()] * 500
        for start in range(0, walked, len(batch)):
            await db.run(walker_id, messages.append_many, chat_id, batch[: walked - start])
    found = []
    with tempfile.TemporaryDirectory(prefix="faceplate-bench-") as directory:
        path = Path(directory) / "chats.jsonl"
        say(f"writing a file of {count:,} messages")
        _write_chats(path, count)
        idle = await _measure("idle", url, walker_id, path)
        for task, owner, size in (
            ("import", user_id, count),
            ("export", user_id, count),
            ("walk", walker_id, walked),
        ):
            said = await _measure(task, url, owner, path)
            assert said["messages"] == size, said
            found.append(
                Memory(
                    task=task,
                    messages=size,
                    peak_mb=said["peak_mb"],
                    idle_mb=idle["peak_mb"],
                    elapsed_s=said["elapsed_s"],
                )
            )
            say(f"{task} of {size:,} messages: a peak of {said['peak_mb']:.0f} MB")
    return found


def _write_chats(path: Path, count: int) -> None:
    turns = [{"role": role, "content": text} for role, text in ROW.items()]
    with path.open("w", encoding="utf-8") as file:
        for number, start in enumerate(range(0, count, MESSAGES_OF_CHAT)):
            size = min(MESSAGES_OF_CHAT, count - start)
            chat = {"id": str(number), "title": TITLE, "messages": turns * (size // len(turns))}
            file.write(json.dumps(chat) + "\n")


async def _measure(task: str, url: str, user_id: UUID, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", task, url, str(user_id), str(path)]
    process = await asyncio.to_thread(
        subprocess.run,
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=child_environment(),
    )
    said: dict[str, float] = json.loads(process.stdout)
    return said


async def _import(db: Database, user_id: UUID, path: Path) -> int:
    return (await importers.import_file(db, user_id, path)).messages


async def _export(db: Database, user_id: UUID, _path: Path) -> int:
    """Write everything of a user as JSON lines, one conversation after the other."""
    count = 0
    cursor = None
    with Path(os.devnull).open("w", encoding="utf-8") as file:  # noqa: ASYNC230 - it is nowhere
        while True:
            page = await db.run(user_id, conversations.page, cursor=cursor)
            for chat in page.items:
                async with db.begin(user_id) as scope:
                    async for message in messages.walk(scope, chat.id):
                        file.write(json.dumps([message.role, message.content]) + "\n")
                        count += 1
            if (cursor := page.next_cursor) is None:
                return count


async def _walk(db: Database, user_id: UUID, _path: Path) -> int:
    page = await db.run(user_id, conversations.page)
    count = 0
    async with db.begin(user_id) as scope:
        async for _ in messages.walk(scope, page.items[0].id):
            count += 1
    return count


async def _idle(db: Database, user_id: UUID, _path: Path) -> int:
    page = await db.run(user_id, conversations.page)
    return len(await db.run(user_id, messages.history, page.items[0].id))


TASKS: dict[str, Callable[[Database, UUID, Path], Awaitable[int]]] = {
    "idle": _idle,
    "import": _import,
    "export": _export,
    "walk": _walk,
}


def _peak_mb() -> float:
    """The peak of this program; what getrusage says may be that of the one it came from."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10


async def _do(task: str, url: str, user_id: UUID, path: Path) -> None:
    start = time.monotonic()
    async with Database(Settings(database_url=url)) as db:
        count = await TASKS[task](db, user_id, path)
    said = {"messages": count, "elapsed_s": time.monotonic() - start, "peak_mb": _peak_mb()}
    print(json.dumps(said))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("url")
    parser.add_argument("user_id", type=UUID)
    parser.add_argument("path", type=Path)
    asyncio.run(_do(**vars(parser.parse_args())))
