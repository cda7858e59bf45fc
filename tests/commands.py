"""The ``faceplate`` command as a person or a script meets it: a process, its output, its code."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from faceplate.cli import main

COMMAND = [sys.executable, "-m", "faceplate.cli"]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find_trains", "arguments": '{"to": "Wien"}'},
}
TRIP = {
    "id": "trip",
    "title": "To Vienna",
    "messages": [
        {"role": "user", "content": "A train,\nplease"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"leaves": "20:09"}'},
        {"role": "assistant", "content": "**20:09** <b>daily</b>"},
    ],
}


class Result(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


def write(path: Path, *chats: object) -> Path:
    path.write_text("".join(f"{json.dumps(chat)}\n" for chat in chats), encoding="utf-8")
    return path


def lines(output: str) -> list[dict[str, Any]]:
    """What a command has printed for scripts."""
    return [json.loads(line) for line in output.splitlines()]


async def interrupt(
    environment: Mapping[str, str], is_under_way: Callable[[], Awaitable[None]], *arguments: str
) -> tuple[int | None, str]:
    """Run the command, interrupt it once it is under way; return its exit code and stderr."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    await is_under_way()
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


def run_in_process(*arguments: str) -> int:
    """Run the command within this process; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["faceplate", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    assert isinstance(end.value.code, int)
    return end.value.code


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
