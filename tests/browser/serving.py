"""The example chat as a process of its own: uvicorn on a port of the loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
APP = "examples.chat.app:create_app"
DEADLINE_S = 60.0
GRACE_S = 1


@contextmanager
def serving(database_url: str, log: Path, **options: str) -> Iterator["ChatServer"]:
    """Yield a server that runs, and end it."""
    server = ChatServer(database_url, log, **options)
    try:
        server.start()
        yield server
    finally:
        server.stop(signal.SIGKILL)


class ChatServer:
    """May be killed and started again; its address stays."""

    def __init__(self, database_url: str, log: Path, *, app: str = APP, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = database_url
        self._app = app
        self._log = log
        self._environment = os.environ | {
            "DATABASE_URL": database_url,
            "CHAT_ALONE": "true",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers that it is ready."""
        command = [sys.executable, "-m", "uvicorn", "--factory", self._app, "--log-level=warning"]
        command += [f"--port={self.port}", f"--timeout-graceful-shutdown={GRACE_S}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + DEADLINE_S
        while not self._is_ready():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Return when the process has ended."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(DEADLINE_S)
            self._process = None

    def get(self, path: str, user: str = "ada") -> Any:
        """What the server has, without the page."""
        answer = httpx.get(self.url + path, headers={"X-Demo-User": user}, timeout=DEADLINE_S)
        answer.raise_for_status()
        return answer.json()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=DEADLINE_S).is_success
        except httpx.TransportError:
            return False
