"""The way to production, walked on a server with TLS: every command of its pages is run.

The pages are taken as they stand, but for the host, the ports and the places of files that they
name as examples.
"""

import asyncio
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.blocks import blocks, run_block, run_console, runnable_blocks
from tests.faults.bouncer import PROGRAM, WHY_NOT
from tests.postgres import use_programs
from tests.unusable import free_port, make_certificate

from faceplate import Database, Settings, embedded, erasure
from faceplate.embedded import _postgres
from faceplate.services import conversations, messages, users

DOCS = Path(__file__).parents[2] / "docs"
PRODUCTION = DOCS / "production.md"
BACKUPS = DOCS / "production" / "backups.md"
DEADLINE_S = 30.0
ARCHIVE = "/var/lib/postgresql/archive"
# The wheel's PostgreSQL was built without TLS, Debian's with it.
WITH_TLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

pytestmark = pytest.mark.skipif(
    not WITH_TLS, reason="no PostgreSQL with TLS is installed: apt-get install postgresql"
)


class Place(NamedTuple):
    """A server with TLS, and the folder of somebody who brings a service into production."""

    folder: Path
    examples: dict[str, str]
    """What stands here for the names that the pages give as examples."""

    def read(self, page: Path) -> Path:
        """Return the page with the names of this place."""
        text = page.read_text(encoding="utf-8")
        for example, name in self.examples.items():
            text = text.replace(example, name)
        copy = self.folder / "pages" / page.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        return copy

    async def follow(self, page: Path, *, until: str = "") -> None:
        """Do what the page says, up to the block that begins with ``until``."""
        read = self.read(page)
        for block in runnable_blocks(read):
            if until and block.source.startswith(until):
                break
            if block.language == "console":
                run_console(block, read, self.folder)
            elif block.file is not None:
                (self.folder / block.file).write_text(block.source, encoding="utf-8")
            else:
                await run_block(block.source, str(read), block.line, {})


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="faceplate-production-") as name:
        use_programs(WITH_TLS[-1], monkeypatch)
        folder = Path(name)
        folder.chmod(0o755)  # a server that root starts runs as somebody else
        account = _postgres.new_owner()
        (folder / "server").mkdir(mode=0o755)
        certificate, key = make_certificate(folder, "localhost")
        account.own(certificate, 0o644)
        account.own(key, 0o600)
        port, other, pooler = free_port(), free_port(), free_port()
        on_tls = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
        on_tcp = {"listen_addresses": "localhost", "port": str(port)}
        directory = folder / "server" / "pg"
        archive = folder / "archive"
        archive.mkdir()
        account.own(archive, 0o755)
        archiving = {"archive_mode": "on", "archive_command": archive_command(archive)}
        try:
            server = embedded.start(directory, options=on_tls | on_tcp | archiving)
            work = folder / "work"
            work.mkdir()
            account.own(work, 0o755)
            programs = write_programs(folder / "bin", directory, account)
            socket_directory = parse_qs(urlsplit(server.admin_url).query)["host"][0]
            for variable, value in {
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "PGHOST": socket_directory,
                "PGPORT": str(port),
                "PGUSER": "postgres",
                "PGDATABASE": "postgres",
            }.items():
                monkeypatch.setenv(variable, value)
            monkeypatch.chdir(work)
            examples = {
                "db.example.com": "localhost",
                "5432": str(port),
                "6543": str(other),
                "6432": str(pooler),
                ARCHIVE: str(archive),
                "/etc/faceplate/ca.pem": str(certificate),
                "/etc/pgbouncer/server.crt": str(certificate),
                "/etc/pgbouncer/server.key": str(key),
            }
            yield Place(work, examples)
        finally:
            embedded.wipe(directory)


def archive_command(archive: Path) -> str:
    """Return the command of the page, for another folder."""
    (command,) = re.findall(r"(?m)^archive_command = '(.*)'$", BACKUPS.read_text("utf-8"))
    return str(command).replace(ARCHIVE, str(archive))


def write_programs(folder: Path, directory: Path, account: _postgres.Account) -> Path:
    """Link the server's programs into a folder. PostgreSQL refuses to run some of them as root."""
    folder.mkdir()
    programs = _postgres.programs_for(directory, account)
    for program in programs.iterdir():
        (folder / program.name).symlink_to(program)
    if account.uid is not None:
        for name in ("pg_ctl", "pg_basebackup"):
            (folder / name).unlink()
            script = folder / name
            prefix = f"setpriv --reuid={account.uid} --regid={account.gid} --clear-groups"
            script.write_text(f'#!/bin/sh\nexec {prefix} {programs / name} "$@"\n')
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


async def append(settings: Settings) -> None:
    """Store what a service would store for a user who signs in."""
    async with Database(settings) as db:
        user = await db.run_system(users.ensure, "ada", email="ada@example.com")
        chat = await db.run(user.id, conversations.create, title="Weather")
        await db.run(user.id, messages.append, chat.id, role="user", content="Will it rain?")
        assert len(await db.run(user.id, messages.history, chat.id)) == 1


async def test_from_nothing_to_production_and_back_from_a_backup(place: Place) -> None:
    """Else who follows the pages stands before a server that refuses, or a dump that is no backup.

    The user whose data is restored is erased in between.
    """
    await place.follow(PRODUCTION)
    settings = Settings()
    assert settings.tls_mode is None  # the URLs say it
    await append(settings)
    async with Database() as db:
        health = await db.check()
        assert (health.ok, health.gaps, health.warnings) == (True, (), ())
        user = await db.run_system(users.by_email, "ada@example.com")

    await place.follow(BACKUPS, until="$ cd drill && faceplate export")
    async with Database() as db:
        await erasure.erase(db, user.id)
    steps = [*runnable_blocks(place.read(BACKUPS))]
    restored = next(i for i, step in enumerate(steps) if "faceplate export" in step.source)
    for step in steps[restored:]:
        run_console(step, BACKUPS, place.folder)
        if "dropdb drill" in step.source:
            async with Database() as db:
                assert await db.run_system(users.by_email, "ada@example.com") == user


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
async def test_the_pooler_of_the_page_serves(place: Place) -> None:
    """Else the settings of the pooler and of the service do not fit each other."""
    await place.follow(PRODUCTION, until="$ faceplate migrate --sql")
    (pooled,) = [b for b in blocks(place.read(PRODUCTION)) if b.file == "pooled.env"]
    text = pooled.source
    for name in ("unit", "owner"):
        password = (place.folder / f"{name}_password").read_text().strip()
        text = text.replace(f"{name.upper()}_PASSWORD", password)
    (place.folder / ".env").write_text(text)
    with pgbouncer(place.folder):
        settings = Settings()
        assert settings.pgbouncer
        await append(settings)
        faceplate = [sys.executable, "-m", "faceplate.cli"]
        for command in ("migrate", "check", "doctor"):
            done = await asyncio.create_subprocess_exec(*faceplate, command, cwd=place.folder)
            assert await done.wait() == 0, command


@contextmanager
def pgbouncer(folder: Path) -> Iterator[None]:
    """Run the pooler of the page, as the account that owns its files."""
    assert PROGRAM
    account = folder.stat()
    shutil.chown(folder / "users.txt", account.st_uid, account.st_gid)
    is_root = os.geteuid() == 0
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PROGRAM, "pgbouncer.ini"],
            cwd=folder,
            stdout=log,
            stderr=log,
            user=account.st_uid if is_root else None,
            group=account.st_gid if is_root else None,
            extra_groups=[] if is_root else None,
        )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while b"process up" not in (folder / "log").read_bytes():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.01)  # nobody tells when it listens
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)
