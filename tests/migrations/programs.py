"""Alembic and PostgreSQL's own programs, as they are run on the shell."""

import asyncio
import os
import re
import sys
from pathlib import Path

from faceplate.embedded._postgres import programs

ROOT = Path(__file__).parents[2]


async def run(url: str, *command: str | Path, stdin: str = "") -> str:
    """Run a program from the top of the checkout; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate(stdin.encode())
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def alembic(url: str, *arguments: str) -> str:
    return await run(url, sys.executable, "-m", "alembic", *arguments)


async def dump(url: str) -> str:
    """The schema as SQL, with everything that PostgreSQL knows of it but what is new each time."""
    printed = await run(url, programs() / "pg_dump", "--schema-only", url)
    return re.sub(r"^\\(un)?restrict .*$", "", printed, flags=re.MULTILINE)
