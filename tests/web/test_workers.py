"""The worker across users of docs/web/workers.md."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.databases import outside
from tests.web.pages import WEB, written
from tests.web.servers import DEADLINE_S

from faceplate import Database, Settings, User
from faceplate.services import conversations, messages, tasks, users

PAGE = WEB / "workers.md"
BACKEND = WEB.parents[1] / "backend"
TITLES = ("old one", "old two", "new")
OLD = "UPDATE faceplate.tasks SET created_at = now() - interval '91 days' WHERE title LIKE 'old%'"


async def _with_tasks(db: Database, subject: str) -> User:
    user = await db.run_system(users.create, subject_id=subject)
    for title in TITLES:
        await db.run(user.id, tasks.create, title=title)
    return user


async def _closed(db: Database, user: User) -> dict[str, int]:
    """Return how many messages there are about each task."""
    texts = []
    for chat in (await db.run(user.id, conversations.page)).items:
        found = await db.run(user.id, messages.history, chat.id)
        texts += [message.content for message in found]
    return {title: sum(title in text for text in texts) for title in TITLES}


def _start(directory: Path, database_url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "worker.py"],
        cwd=directory,
        env=os.environ | {"DATABASE_URL": database_url},
        stderr=subprocess.PIPE,
        text=True,
    )


def _stop(worker: "subprocess.Popen[str]") -> tuple[int, str]:
    """Stop a worker when it has done its round; return its exit code and the rest of its log."""
    assert worker.stderr is not None
    while "tasks closed" not in worker.stderr.readline():
        assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    _, rest = worker.communicate(timeout=DEADLINE_S)
    return worker.returncode, rest


def _mypy(directory: Path, *modules: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", directory / "cache", *modules],
        cwd=directory,
        env=os.environ | {"MYPYPATH": str(BACKEND)},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_worker_closes_the_tasks_of_all_users_once(
    fresh_database_url: str, tmp_path: Path
) -> None:
    """Else a reader who copies it leaves users out, or tells them twice."""
    written(PAGE, tmp_path)
    settings = Settings(database_url=fresh_database_url)
    async with Database(settings) as db:
        people = [await _with_tasks(db, subject) for subject in ("ada", "grace")]
        async with outside(settings) as operator:
            await operator.execute(OLD)
        workers = [_start(tmp_path, fresh_database_url) for _ in range(2)]
        try:
            ends = await asyncio.gather(*(asyncio.to_thread(_stop, one) for one in workers))
        finally:
            for worker in workers:
                worker.kill()
        assert ends == [(0, ""), (0, "")]
        for user in people:
            assert await _closed(db, user) == {"old one": 1, "old two": 1, "new": 0}
            left = (await db.run(user.id, tasks.page, state="open")).items
            assert [task.title for task in left] == ["new"]


def test_a_type_checker_refuses_the_other_runner(tmp_path: Path) -> None:
    """Else a unit of one user runs across all of them, and nobody is told."""
    module = written(PAGE, tmp_path, only="async def for_one")
    wrong = tmp_path / "wrong.py"
    source = module.read_text(encoding="utf-8")
    wrong.write_text(source.replace("    # await", "    await"), encoding="utf-8")
    said = _mypy(tmp_path, module, tmp_path / "worker.py", wrong).stdout
    *errors, end = [line for line in said.splitlines() if ": note: " not in line]
    assert [line.partition(":")[0] for line in errors] == ["wrong.py", "wrong.py"], said
    assert all("incompatible type" in line for line in errors)
    assert end.startswith("Found 2 errors in 1 file (checked 3 source files)")
