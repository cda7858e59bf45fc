"""The code blocks of the documentation, and how they are run as a reader would run them.

A block that is not run says why, in a comment on the line before it that the reader does not see::

    <!-- not run: the suite has no network -->
"""

import ast
import inspect
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

_BLOCK = re.compile(
    r"(?ms)^(?:<!-- not run: (?P<reason>[^\n]*?) *-->\n)?"
    r"(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<source>.*?)^(?P=indent)```$"
)
_FILE = re.compile(r"(?:#|--|;) ([\w./-]*\.(?:py|sql|ini|yml|env))\n")
_COMMAND = re.compile(r"(?ms)^\$ (?P<command>.*?)$\n?(?P<output>(?:(?!\$ ).*?(?:\n|\Z))*)")
RUN = ("python", "console")


class Block(NamedTuple):
    language: str
    line: int
    """That of its first line in the page."""
    source: str
    reason: str | None
    """Why it is not run."""

    @property
    def file(self) -> str | None:
        """The file that a block stands for: its first line is then ``# name.py``, or the like."""
        named = _FILE.match(self.source)
        return named[1] if named else None


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    page = path.read_text(encoding="utf-8")
    return [
        Block(
            block["language"],
            page.count("\n", 0, block.start("source")) + 1,
            textwrap.dedent(block["source"]),
            block["reason"],
        )
        for block in _BLOCK.finditer(page)
    ]


def runnable_blocks(path: Path) -> list[Block]:
    """Return the blocks that are run, unless a comment says why not: Python, console, files."""
    return [
        block
        for block in blocks(path)
        if (block.language in RUN or block.file is not None) and block.reason is None
    ]


def python_blocks(path: Path) -> list[tuple[int, str]]:
    """Return the Python blocks that are run, each with the number of its first line."""
    return [
        (block.line, block.source)
        for block in runnable_blocks(path)
        if block.language == "python" and block.file is None
    ]


async def run_page(path: Path, directory: Path, namespace: dict[str, Any]) -> None:
    """Do what the page says, in its order: run Python, write files, give commands in a shell.

    All of it happens in ``directory``, which is the current one.
    """
    for block in runnable_blocks(path):
        if block.language == "console":
            run_console(block, path, directory)
        elif block.file is not None:
            file = directory / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.source, encoding="utf-8")
        else:
            await run_block(block.source, str(path), block.line, namespace)


async def run_block(source: str, filename: str, line: int, namespace: dict[str, Any]) -> None:
    """Run ``source`` in ``namespace``, with await at its top level; ``line`` is its first one."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (line - 1) + source, filename, "exec", flags=flags)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


def run_console(block: Block, path: Path, directory: Path) -> None:
    """Give each command; compare what it printed with what the page shows, where it shows it.

    ``...`` in the page stands for anything, as in doctest.
    """
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, shown in _COMMAND.findall(block.source):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=directory,
            env=os.environ | {"PATH": programs, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
            check=False,
        )
        where = f"{path}:{block.line}: {command}\n{done.stdout}"
        assert done.returncode == 0, where
        if shown.strip():
            expected = r".*".join(map(re.escape, _squeezed(shown).split("...")))
            assert re.fullmatch(expected, _squeezed(done.stdout), re.DOTALL), where


def _squeezed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
