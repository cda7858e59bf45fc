"""The processes of a server, for tests that freeze or kill all of them at one time."""

import os
import re
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

DEADLINE_S = 30.0


def stop(parent: int) -> list[int]:
    """Stop a process in its tracks, and return its children: it will not have any more."""
    os.kill(parent, signal.SIGSTOP)
    # It may be in the middle of a fork, whose child nobody can see yet.
    wait_for("T", [parent])
    return [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if _field("PPid", status) == str(parent)
    ]


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to each of them that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for(states: str, pids: Iterable[int]) -> None:
    """Return when each is in one of ``states``, as /proc has them, or is gone."""
    deadline = time.monotonic() + DEADLINE_S
    for pid in pids:
        while (state := _field("State", Path(f"/proc/{pid}/status"))) and state[0] not in states:
            assert time.monotonic() < deadline, f"process {pid} is still in state {state}"
            time.sleep(0.001)  # nobody tells when a process has changed its state


def _field(name: str, status: Path) -> str:
    try:
        text = status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    found = re.search(rf"^{name}:\t(.+)$", text, re.MULTILINE)
    return found[1] if found else ""
