"""The applications of a page of docs/web, as a reader has them who copies its blocks."""

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from uuid import UUID

import pytest
from tests.blocks import python_blocks, run_block, runnable_blocks
from tests.web.servers import DEADLINE_S

from faceplate import Database, Message, User
from faceplate.services import messages

WEB = Path(__file__).parents[2] / "docs/web"
SILENT = """
import asyncio


async def model(question=""):
    yield "half"
    await asyncio.Event().wait()
"""


async def loaded(page: Path, monkeypatch: pytest.MonkeyPatch, *, only: str = "") -> ModuleType:
    """Run the Python blocks of ``page``, or the one that has ``only`` in it; return their module.

    The application reads DATABASE_URL when it starts.
    """
    module = ModuleType("application")  # frameworks look the module of a handler up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    blocks = [block for block in python_blocks(page) if only in block[1]]
    assert len(blocks) == 1 or not only, page
    for line, source in blocks:
        await run_block(source, str(page), line, vars(module))
    return module


def written(page: Path, directory: Path, *, only: str = "") -> Path:
    """Write the Python blocks of ``page`` that have ``only`` in them as one module; return it.

    The page's files are written by their own names.
    """
    module = directory / "application.py"
    sources = [source for _, source in python_blocks(page) if only in source]
    module.write_text("\n".join(sources), encoding="utf-8")
    for block in runnable_blocks(page):
        if block.file is not None:
            file = directory / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.source, encoding="utf-8")
    return module


async def ended(db: Database, user: User, chat_id: UUID) -> Message:
    """Return the last reply of a conversation, when nobody writes it any more."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = await db.run(user.id, messages.history, chat_id)
            if found and found[-1].role == "assistant" and found[-1].status != "streaming":
                return found[-1]
            await asyncio.sleep(0.01)
