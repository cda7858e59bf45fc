"""A Python prompt on a terminal, and what a reader pastes there."""

import ast
import dis
import os
import pty
import re
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

DEADLINE_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|[\x01\x02\r]")
BRACKETED = re.compile(rb"\x1b\[\?2004([hl])")


class Prompt:
    """``python -m asyncio``, as a terminal shows it.

    As a terminal does, it marks a paste as one where the program has asked for that. Python 3.13
    does; for an earlier one a paste is what somebody types fast.
    """

    def __init__(self, terminal: int, directory: Path) -> None:
        self._terminal = terminal
        self._names = directory / "names"
        """A file in which the prompt writes them: a terminal mixes what is typed and shown."""
        self._shown = b""
        self._answered = 0
        """How far what is shown was read, without escapes."""

    def paste(self, text: str) -> str:
        """Paste a text, press Enter until a new statement can begin; return what is shown."""
        begin = len(self._shown)
        self._wait_for_quiet()
        asked = BRACKETED.findall(self._shown)
        if asked and asked[-1] == b"h":
            self._write(f"\x1b[200~{text}\x1b[201~")
        else:
            self._write(text.replace("\n", "\r"))
        self._write("\r\r")
        word = secrets.token_hex(8)
        kept = f"open({str(self._names)!r}, 'w').write(' '.join(globals()))"
        self._write(f"print({kept} and '{word[:8]}' '{word[8:]}')\r")
        self._read_until(word)
        self._answered = self._text().index(word) + len(word)
        return self._text(begin)

    def names(self) -> set[str]:
        """Return the names that were bound at the prompt after the last paste."""
        return set(self._names.read_text(encoding="utf-8").split())

    def _text(self, begin: int = 0) -> str:
        return ESCAPES.sub("", self._shown[begin:].decode(errors="replace"))

    def _write(self, text: str) -> None:
        left = text.encode()
        while left:  # a terminal takes some thousand bytes until they are read
            left = left[os.write(self._terminal, left[:1024]) :]
            self._read(0.02)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._terminal], [], [], timeout_s)[0]:
            return False
        self._shown += os.read(self._terminal, 65536)
        return True

    def _read_until(self, text: str, begin: int = 0) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while text not in self._text()[begin:]:
            assert time.monotonic() < deadline, self._text()
            self._read(1)

    def _wait_for_quiet(self) -> None:
        """Read until there is a new prompt: before it, a terminal echoes what is typed itself."""
        self._read_until(">>> ", self._answered)
        while self._read(0.2):
            pass


@contextmanager
def python_prompt(environment: Mapping[str, str], directory: Path) -> Iterator[Prompt]:
    """Start ``python -m asyncio`` on a terminal of 200 columns."""
    ours, its = pty.openpty()
    variables = {"TERM": "xterm", "COLUMNS": "200", "LINES": "50", "HOME": str(directory)}
    with subprocess.Popen(
        [sys.executable, "-m", "asyncio"],
        env={**environment, **variables},
        cwd=directory,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    ) as process:
        os.close(its)
        try:
            yield Prompt(ours, directory)
        finally:
            process.kill()
            os.close(ours)


def bound_names(source: str) -> set[str]:
    """Return the names that a block binds at the prompt."""
    code = compile(source, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    steps = dis.get_instructions(code)
    return {step.argval for step in steps if step.opname == "STORE_NAME"}
