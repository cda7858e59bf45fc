"""docs/llms.txt: what a language model reads before it writes code is right, and complete."""

import asyncio
import importlib
import re
import runpy
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.blocks import blocks, python_blocks

import faceplate
from faceplate import (
    Conflict,
    Database,
    FaceplateError,
    InvalidInput,
    Scope,
    UsageError,
    User,
    drafts,
    services,
)
from faceplate.integrations.web import UserRunner
from faceplate.services import conversations, messages

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "llms.txt"
TEXT = PAGE.read_text(encoding="utf-8")
PROSE = re.sub(r"(?ms)^```.*?^```$", "", TEXT)
BY_THEMSELVES = """
import asyncio, os, sys
from pathlib import Path
from tests.blocks import run_block
file, line = Path(sys.argv[1]), int(sys.argv[2])
asyncio.run(run_block(file.read_text(), str(file), line, vars(sys.modules["__main__"])))
"""


def test_its_form() -> None:
    """Else a reader by program does not find its parts: https://llmstxt.org."""
    lines = [line for line in PROSE.splitlines() if line]
    assert lines[0] == "# faceplate"
    assert lines[1].startswith("> ")
    headings = [line for line in lines if line.startswith("#")]
    assert headings == ["# faceplate", "## Docs", "## Optional"]
    listed = lines[lines.index("## Docs") :]
    link = re.compile(r"- \[[^\]]+\]\(([^)]+\.md)\): \S.*")
    found = [link.fullmatch(line) for line in listed if not line.startswith("## ")]
    assert all(found)
    assert [each[1] for each in found if each and not (PAGE.parent / each[1]).exists()] == []


def test_the_signatures_are_those_of_the_code() -> None:
    """Else a model passes an argument that is no longer there. `make llms` writes them anew."""
    assert runpy.run_path(str(ROOT / "docs" / "llms.py"))["completed"](TEXT) == TEXT


def test_every_public_name_is_in_it() -> None:
    """Else a model invents what there is."""
    named = set(re.findall(r"\w+", TEXT))
    assert set(faceplate.__all__) - named == set()


def test_every_name_in_it_is_there() -> None:
    """Else a model calls what there is no more."""
    modules = ["faceplate", "faceplate.drafts", "faceplate.models", "faceplate.column_types"]
    known = {name: importlib.import_module(name) for name in modules}
    shipped = {name: importlib.import_module(f"{services.__name__}.{name}") for name in UNITS}
    names = re.findall(r"`(\w+)\.(\w+)(?:\(.*?)?`", PROSE)
    assert len(names) > 10
    for owner, name in names:
        if owner in shipped:
            assert hasattr(shipped[owner], name), f"{owner}.{name}"
        elif owner[0].isupper():
            assert hasattr(getattr(faceplate, owner), name), f"{owner}.{name}"
    classes = set(re.findall(r"`([A-Z][a-z]+[A-Z]?\w*)`", PROSE)) - OF_OTHERS
    assert [c for c in classes if not any(hasattr(m, c) for m in known.values())] == []


UNITS = ("users", "conversations", "messages", "tasks", "documents", "mcp_configs", "usage")
OF_OTHERS = {"MetaData", "StreamingResponse"}


async def test_the_mistakes_are_refused_as_it_says(db: Database, user: User) -> None:
    """Else a model learns rules that do not hold."""
    run = UserRunner(db, user.id).run
    chat = await run(conversations.create, metadata={"a": 1, "b": 2})
    chat = await run(conversations.replace_metadata, chat.id, {"a": 2})
    assert chat.metadata == {"a": 2}
    question = await run(messages.append, chat.id, role="user", content="a")
    result = [{"tool_call_id": "call_1", "content": "4 degrees"}]
    with pytest.raises(FaceplateError):
        await run(messages.append, chat.id, role="tool", tool_results=result)
    naive = datetime.now()  # noqa: DTZ005 - the mistake that llms.txt names
    with pytest.raises(InvalidInput, match="time zone"):
        await run(messages.append, chat.id, role="user", content="b", created_at=naive)
    no_text: Any = {"any": "JSON"}
    with pytest.raises(InvalidInput):
        await run(messages.append, chat.id, role="user", body=no_text)
    function = {"name": "weather", "arguments": "{}"}
    call = {"id": "call_1", "type": "function", "function": function}
    await run(messages.append, chat.id, role="assistant", tool_calls=[call])
    await run(messages.append, chat.id, role="tool", tool_results=result)
    with pytest.raises(FaceplateError):
        await run(messages.append, chat.id, role="tool", tool_results=result)
    after = question.position
    with pytest.raises(Conflict):
        await run(messages.append, chat.id, role="assistant", content="c", after=after)
    async with drafts.open(db, user.id, chat.id, after=after, branch=True) as draft:
        await draft.write("another")
    path = await run(messages.history, chat.id)
    assert [message.content for message in path] == ["a", "another"]


async def test_a_scope_is_for_one_task(db: Database, user: User) -> None:
    """Else a model gathers on it, and finds out in production."""

    async def gathered(scope: Scope) -> None:
        await asyncio.gather(*(conversations.create(scope) for _ in range(3)))

    with pytest.raises(UsageError):
        await db.run(user.id, gathered)
    made = [db.run(user.id, conversations.create) for _ in range(3)]
    assert len(await asyncio.gather(*made)) == 3


@pytest.mark.parametrize(("line", "source"), python_blocks(PAGE), ids=lambda v: str(v)[:8])
async def test_its_code_runs(
    line: int,
    source: str,
    fresh_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each block stands alone, in a process of its own, so that a model may copy one of them."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = tmp_path / "block.py"
    file.write_text(source, encoding="utf-8")
    command = [sys.executable, "-c", BY_THEMSELVES, str(file), str(line)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_its_code_has_types(tmp_path: Path) -> None:
    """Else a model learns code that a strict project refuses."""
    for line, source in python_blocks(PAGE):
        body = source.partition("\nasync with Database() as db:")[0]  # at the top: for a prompt
        (tmp_path / f"block_{line}.py").write_text(body, encoding="utf-8")
    assert len(blocks(PAGE)) > len(list(tmp_path.iterdir())) == 3
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
