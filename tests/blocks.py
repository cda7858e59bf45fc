"""Run the Python blocks of the documentation, with tracebacks that point into the page."""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"(?ms)^(?P<indent> *)```python\n(?P<source>.*?)^(?P=indent)```$")


def python_blocks(path: Path) -> list[tuple[int, str]]:
    """Return the Python blocks of a page in order, each with the number of its first line."""
    page = path.read_text(encoding="utf-8")
    return [
        (page.count("\n", 0, block.start("source")) + 1, textwrap.dedent(block["source"]))
        for block in _BLOCK.finditer(page)
    ]


async def run_block(source: str, filename: str, line: int, namespace: dict[str, Any]) -> None:
    """Run ``source`` in ``namespace``, with await at its top level; ``line`` is its first one."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * (line - 1) + source, filename, "exec", flags=flags)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result
