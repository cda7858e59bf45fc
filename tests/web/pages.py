"""The applications of a page of docs/web, as a reader has them who copies its blocks."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.blocks import python_blocks, run_block, runnable_blocks

WEB = Path(__file__).parents[2] / "docs/web"


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


def written(page: Path, directory: Path, name: str = "application.py") -> None:
    """Write the Python blocks of ``page`` as one module, and its files by their own names."""
    sources = [source for _, source in python_blocks(page)]
    if sources:
        (directory / name).write_text("\n".join(sources), encoding="utf-8")
    for block in runnable_blocks(page):
        if block.file is not None:
            file = directory / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.source, encoding="utf-8")
