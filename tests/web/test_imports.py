"""Uploads of files of chats: what is stored, what is told, and what is left when one breaks off."""

import asyncio
import gzip
import io
import json
import secrets
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from examples.chat.app import create_app
from examples.chat.settings import ChatSettings
from tests.web.conftest import Calling
from tests.web.servers import Event, events_of

from faceplate import Settings

SECRET = "hunter2"


def chat(number: int, *contents: str) -> dict[str, Any]:
    return {
        "id": f"chat-{number}",
        "title": f"Chat {number}",
        "messages": [{"role": "user", "content": content} for content in contents or ("hello",)],
    }


def lines(*chats: object) -> bytes:
    return "".join(f"{json.dumps(each)}\n" for each in chats).encode()


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("conversations.json", content)
        archive.writestr("user.json", "{}")
    return packed.getvalue()


async def send(http: httpx.AsyncClient, body: Any, **query: Any) -> list[Event]:
    """Upload a file and return the events of its import when it has ended."""
    async with http.stream("POST", "/api/imports", content=body, params=query) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        return [event async for event in events_of(response)]


async def titles_of(http: httpx.AsyncClient) -> list[str]:
    listed = await http.get("/api/conversations", params={"limit": 200})
    return [item["title"] for item in listed.json()["items"]]


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that uploads are received in, which is empty again in the end."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
async def http(
    settings: Settings,
    calling: Calling,
    uploads: Path,  # noqa: ARG001 - it has to be there first
) -> AsyncIterator[httpx.AsyncClient]:
    """The chat, as a user without conversations calls it. Files may have 1 MB."""
    name = secrets.token_hex(8)
    app = create_app(
        settings,
        chat_settings=ChatSettings(token_delay_s=0, save_every_s=0.001, max_upload_mb=1),
        people={name: "Ada", f"{name}-other": "Grace"},
    )
    async with calling(app, headers={"X-Demo-User": name}) as client:
        yield client


def other(http: httpx.AsyncClient) -> dict[str, str]:
    return {"X-Demo-User": f"{http.headers['X-Demo-User']}-other"}


async def test_a_file_is_imported_once_however_often_it_comes(http: httpx.AsyncClient) -> None:
    """Else a user who is not sure that it worked has every chat twice."""
    body = lines(chat(1, "one", "two"), chat(2))
    *progress, last = await send(http, body)
    assert {event.name for event in progress} == {"progress"}
    counts = {"imported": 2, "messages": 3, "skipped": 0, "refused": 0, "continued": 0}
    assert last == Event("done", counts | {"asides": {}, "empty": 0})
    size = {"read_bytes": len(body), "total_bytes": len(body)}
    assert progress[-1].data == last.data | size
    assert sorted(await titles_of(http)) == ["Chat 1", "Chat 2"]
    *_, last = await send(http, body)
    assert (last.data["imported"], last.data["skipped"]) == (0, 2)
    assert (await http.get("/api/conversations", headers=other(http))).json()["items"] == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("Chats.JSONL", lines(chat(1))),
        ("", lines(chat(1))),
        ("chats.json", json.dumps([chat(1)]).encode()),
        ("chats.json.gz", gzip.compress(json.dumps([chat(1)]).encode())),
        ("my export.zip", zipped(json.dumps([chat(1)]).encode())),
        ("../../../etc/\0/passwd.jsonl", lines(chat(1))),
    ],
)
async def test_a_file_of_any_kind_is_read(http: httpx.AsyncClient, name: str, body: bytes) -> None:
    """Else a user has to find out first what kind of file it is."""
    *_, last = await send(http, body, name=name)
    assert (last.name, last.data["imported"], last.data["refused"]) == ("done", 1, 0)


async def test_what_is_refused_is_told_with_its_place(http: httpx.AsyncClient) -> None:
    """Else a chat is missing, and nobody knows which."""
    body = lines(chat(1), {"messages": [{"role": SECRET}], "id": 3}, chat(2)) + b"[hunter2\n"
    events = await send(http, body, name="chats.jsonl")
    refused = [event.data for event in events if event.name == "refused"]
    assert [each["place"] for each in refused] == ["line 2", "line 4"]
    assert all(each["reason"] for each in refused)
    assert SECRET not in str(events)
    assert (events[-1].data["imported"], events[-1].data["refused"]) == (2, 2)
    assert events[-2].data["refused"] == 2


async def test_refusals_without_end_do_not_fill_the_page(http: httpx.AsyncClient) -> None:
    """Else a wrong file of many lines costs the server's memory, and the browser's."""
    events = await send(http, b"{}\n" * 3_000, name="chats.jsonl")
    assert sum(event.name == "refused" for event in events) == 1_000
    assert events[-1].data["refused"] == 3_000


async def test_a_preview_stores_nothing(http: httpx.AsyncClient) -> None:
    """Else one who only looks has it all."""
    *_, last = await send(http, lines(chat(1, "one", "two"), {}), preview=True)
    assert last.name == "done"
    chats = {"OpenAI chat messages": 1}
    assert last.data == {"chats": chats, "messages": 2, "refused": 1, "asides": {}, "empty": 0}
    assert await titles_of(http) == []


async def test_an_empty_file_is_said_to_be_empty(http: httpx.AsyncClient) -> None:
    """Else an export that failed looks like an import that worked."""
    refused, *_, last = await send(http, b"")
    assert "empty" in refused.data["reason"]
    assert (last.data["imported"], last.data["refused"]) == (0, 1)


async def in_blocks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 2**16


@pytest.mark.parametrize("body", [b" " * (2**20 + 1), in_blocks(17)], ids=["declared", "not"])
async def test_a_file_that_is_too_large_is_refused(http: httpx.AsyncClient, body: Any) -> None:
    """Else one user fills the server's disk."""
    refused = await http.post("/api/imports", content=body)
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "content_too_large"
    assert "1 MB" in refused.json()["detail"]
    rules = (await http.get("/api/imports")).json()
    assert rules["max_bytes"] == 2**20
    assert "ChatGPT export" in rules["formats"]


async def test_one_file_of_a_user_is_imported_at_a_time(http: httpx.AsyncClient) -> None:
    """Else one user with many tabs takes all that the server has."""
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield lines(chat(1))
        has_begun.set()
        await may_end.wait()
        yield lines(chat(2))

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(send(http, slowly()))
        await has_begun.wait()
        refused = await http.post("/api/imports", content=lines(chat(3)))
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        async with http.stream(
            "POST", "/api/imports", content=lines(chat(3)), headers=other(http)
        ) as response:
            assert response.status_code == 200
            *_, last = [event async for event in events_of(response)]
            assert last.data["imported"] == 1
        may_end.set()
    assert first.result()[-1].data["imported"] == 2
    assert (await send(http, lines(chat(3))))[-1].data["imported"] == 1


async def test_nobody_imports_for_nobody(http: httpx.AsyncClient) -> None:
    """Else a file is received from everybody."""
    del http.headers["X-Demo-User"]
    assert (await http.post("/api/imports", content=lines(chat(1)))).status_code == 401


@pytest.mark.usefixtures("uploads")
async def test_a_database_that_fails_ends_the_import_with_its_problem(
    settings: Settings, database_url: str, calling: Calling
) -> None:
    """Else the page waits for ever, or takes half of an import for all of it."""
    impatient = settings.model_copy(update={"lock_timeout_s": 0.2})
    connection = await asyncpg.connect(database_url)
    headers = {"X-Demo-User": "ada"}
    try:
        async with calling(create_app(impatient), headers=headers) as http:
            async with connection.transaction():
                await connection.execute("LOCK TABLE faceplate.messages IN EXCLUSIVE MODE")
                *_, last = await send(http, lines(chat(1)))
            assert (last.name, last.data["status"]) == ("error", 504)
            *_, last = await send(http, lines(chat(1)))
            assert last.data["imported"] == 1
    finally:
        await connection.close()
