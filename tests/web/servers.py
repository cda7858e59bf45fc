"""The example under a real uvicorn on loopback, and what its clients read."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
ENDING_S = 30.0


class Server(NamedTuple):
    process: "subprocess.Popen[str]"
    url: str
    log: list[str]

    def client(self, user: str, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, headers={"X-Demo-User": user}, timeout=DEADLINE_S, **options
        )


@contextmanager
def serving(
    database_url: str,
    factory: str = "examples.chat.app:create_app",
    *,
    workers: int = 1,
    **environment: str,
) -> Iterator[Server]:
    """Run ``factory`` under uvicorn until the end of the block."""
    arguments = ["uvicorn", "--factory", factory, "--timeout-graceful-shutdown", "1"]
    arguments += ["--workers", str(workers), "--no-access-log"]
    with running(arguments, database_url, workers=workers, **environment) as server:
        yield server


@contextmanager
def running(
    arguments: list[str], database_url: str, *, workers: int = 1, **environment: str
) -> Iterator[Server]:
    """Run ``python -m`` with ``arguments``. It takes requests when the block begins."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments, "--port", "0"],
        env=os.environ | {"DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)} | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url, log = _wait_until_ready(process, workers)
        # A pipe that nobody reads would stop the server.
        draining = threading.Thread(target=_drain, args=(process, log), daemon=True)
        draining.start()
        yield Server(process, url, log)
    finally:
        process.terminate()
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    draining.join(ENDING_S)  # to the end of the log


def _wait_until_ready(process: "subprocess.Popen[str]", workers: int) -> tuple[str, list[str]]:
    url, started, log = "", 0, []
    assert process.stderr is not None
    while line := process.stderr.readline():
        log.append(line)
        if found := re.search(r"running on (http://\S+)", line):
            url = found[1]
        started += "startup complete" in line
        if url and started == workers:
            return url, log
    raise AssertionError("the server did not start:\n" + "".join(log))


def _drain(process: "subprocess.Popen[str]", log: list[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        log.extend(process.stderr)


class Event(NamedTuple):
    name: str
    data: Any


async def events_of(response: httpx.Response) -> AsyncIterator[Event]:
    """The server-sent events of a response, as they come."""
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield Event(name, json.loads(value))


async def ask(http: httpx.AsyncClient, path: str, **body: Any) -> list[Event]:
    """Call what streams a reply, and return its events when it has ended."""
    async with http.stream("POST", path, json=body) as response:
        assert response.status_code == 200, await response.aread()
        return [event async for event in events_of(response)]


def text_of(events: list[Event]) -> str:
    """What a reader was shown of the reply."""
    return "".join(event.data["text"] for event in events if event.name == "delta")


async def open_conversation(http: httpx.AsyncClient, title: str = "Chat") -> str:
    created = await http.post("/api/conversations", json={"title": title})
    assert created.status_code == 201, created.text
    return str(created.json()["id"])


async def messages_of(http: httpx.AsyncClient, conversation_id: str) -> list[dict[str, Any]]:
    found = await http.get(f"/api/conversations/{conversation_id}/messages")
    assert found.status_code == 200, found.text
    items: list[dict[str, Any]] = found.json()["items"]
    return items
