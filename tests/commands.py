"""The ``faceplate`` command as a person or a script meets it: a process, its output, its code."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

COMMAND = [sys.executable, "-m", "faceplate.cli"]


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


def lines(output: str) -> list[dict[str, Any]]:
    """What a command has printed for scripts."""
    return [json.loads(line) for line in output.splitlines()]


def run_on_terminal(environment: Mapping[str, str], *arguments: str, typed: str = "") -> str:
    """Run the command as a person does who has typed ahead; return what the terminal was sent."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stdin=its, stdout=its, stderr=its
    ):
        os.close(its)
        os.write(ours, typed.encode())
        sent = b""
        try:
            while block := os.read(ours, 65536):
                sent += block
        except OSError:
            pass  # Linux says that the other end was closed
        os.close(ours)
    return sent.decode()
