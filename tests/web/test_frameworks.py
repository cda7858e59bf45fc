"""The applications of docs/web and of the README, called as a server calls them."""

from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from tests.web.conftest import Calling
from tests.web.pages import SILENT, WEB, ended, loaded, written
from tests.web.servers import DEADLINE_S, running
from uuid6 import uuid7

from faceplate import Conflict, Database, User
from faceplate.services import conversations, messages

ROOT = Path(__file__).parents[2]
FRAMEWORKS, DJANGO = WEB / "frameworks.md", WEB / "django.md"
APPLICATIONS = {
    "FastAPI": (ROOT / "docs/web.md", "from fastapi import Body"),
    "README": (ROOT / "README.md", "from fastapi import Body"),
    "Starlette": (FRAMEWORKS, "from starlette.applications"),
    "Litestar": (FRAMEWORKS, "from litestar import"),
    "Quart": (FRAMEWORKS, "from quart import"),
}

STREAMS = {name: mark for name, (page, mark) in APPLICATIONS.items() if page == FRAMEWORKS}


async def _check(http: httpx.AsyncClient, db: Database, user: User) -> None:
    """Store a message; be refused in two ways."""
    chat = await db.run(user.id, conversations.create)
    path = f"/conversations/{chat.id}/messages"
    stored = await http.post(path, json={"text": "hello"})
    assert (stored.status_code, stored.json()) == (200, {"position": 1})
    missing = await http.post(f"/conversations/{uuid7()}/messages", json={"text": "hello"})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    refused = await http.post(path, json={"text": "NUL \x00"})
    assert (refused.status_code, refused.json()["field"]) == (422, "messages.content")
    assert refused.headers["content-type"].startswith("application/problem+json")
    (message,) = await db.run(user.id, messages.history, chat.id)
    assert message.content == "hello"


async def _check_stream(http: httpx.AsyncClient, db: Database, user: User) -> None:
    """Stream a reply; be refused before it starts."""
    chat = await db.run(user.id, conversations.create)
    streamed = await http.post(f"/conversations/{chat.id}/replies")
    assert (streamed.status_code, streamed.text) == (200, "Rain, I fear.")
    missing = await http.post(f"/conversations/{uuid7()}/replies")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    (message,) = await db.run(user.id, messages.history, chat.id)
    assert (message.content, message.status) == ("Rain, I fear.", "complete")


@pytest.mark.parametrize(("page", "mark"), APPLICATIONS.values(), ids=list(APPLICATIONS))
async def test_an_application_of_the_documentation_works(  # noqa: PLR0917 - fixtures
    page: Path,
    mark: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    calling: Calling,
    db: Database,
    user: User,
) -> None:
    """Else a reader who copies the application gets errors, or empty answers."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    module = await loaded(page, monkeypatch, only=mark)
    async with calling(module.app, headers={"X-User": str(user.id)}) as http:
        await _check(http, db, user)


@pytest.mark.parametrize("mark", STREAMS.values(), ids=list(STREAMS))
async def test_an_application_of_another_framework_streams(  # noqa: PLR0917 - fixtures
    mark: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    calling: Calling,
    db: Database,
    user: User,
) -> None:
    """Else a reader who copies it loses replies, or their errors break a 200 off."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    module = await loaded(FRAMEWORKS, monkeypatch, only=mark)
    async with calling(module.app, headers={"X-User": str(user.id)}) as http:
        await _check_stream(http, db, user)


async def test_django_works(tmp_path: Path, database_url: str, db: Database, user: User) -> None:
    """Else a reader who copies the files has a Django that finds no database."""
    written(DJANGO, tmp_path)
    arguments = ["uvicorn", "mysite.asgi:application", "--app-dir", str(tmp_path)]
    with running(arguments, database_url) as server:
        async with httpx.AsyncClient(
            base_url=server.url, headers={"X-User": str(user.id)}, timeout=DEADLINE_S
        ) as http:
            await _check(http, db, user)
            await _check_stream(http, db, user)
            assert (await http.get("/nothing")).status_code == HTTPStatus.NOT_FOUND
        server.process.terminate()
        assert server.process.wait(DEADLINE_S) in {0, -15}
    assert not [line for line in server.log if "Traceback" in line], server.log


@pytest.mark.parametrize(
    ("page", "only", "served", "model_in"),
    [
        *((FRAMEWORKS, mark, "application:app", "application.py") for mark in STREAMS.values()),
        (DJANGO, "", "mysite.asgi:application", "mysite/views.py"),
    ],
    ids=[*STREAMS, "Django"],
)
async def test_a_client_that_leaves_interrupts_its_reply(  # noqa: PLR0917 - fixtures
    page: Path,
    only: str,
    served: str,
    model_in: str,
    tmp_path: Path,
    database_url: str,
    db: Database,
    user: User,
) -> None:
    """Else a framework that closes no generator leaves replies that stream for ever."""
    written(page, tmp_path, only=only)
    with (tmp_path / model_in).open("a") as file:
        file.write(SILENT)
    chat = await db.run(user.id, conversations.create)
    arguments = ["uvicorn", served, "--app-dir", str(tmp_path)]
    with running([*arguments, "--timeout-graceful-shutdown", "1"], database_url) as server:
        headers = {"X-User": str(user.id)}
        async with (
            httpx.AsyncClient(base_url=server.url, headers=headers, timeout=DEADLINE_S) as http,
            http.stream("POST", f"/conversations/{chat.id}/replies") as answer,
        ):
            assert await anext(answer.aiter_text()) == "half"
        reply = await ended(db, user, chat.id)
    assert (reply.content, reply.status) == ("half", "interrupted")


async def test_edits_are_kept_as_the_documentation_shows(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    calling: Calling,
    db: Database,
    user: User,
) -> None:
    """Else a reader who copies the handlers loses edited messages, or cannot get back to them."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    module = await loaded(WEB / "streaming.md", monkeypatch)
    chat = await db.run(user.id, conversations.create)
    for text in ("one", "two"):
        asked = await db.run(user.id, messages.append, chat.id, role="user", content=text)
    for path_end in (1, 3):
        with pytest.raises(Conflict):
            await db.run(user.id, module.edit, chat.id, asked.id, "zwei", path_end)
    await db.run(user.id, module.edit, chat.id, asked.id, "zwei", 2)
    async with calling(module.app, headers={"X-User": str(user.id)}) as http:
        path = f"/conversations/{chat.id}"
        shown = (await http.get(f"{path}/messages")).json()
        assert [message["content"] for message in shown["messages"]] == ["one", "zwei"]
        assert shown["leaves"] == {"3": [2, 3]}
        assert (await http.put(f"{path}/path", json={"leaf": 2})).is_success
        shown = (await http.get(f"{path}/messages")).json()
    assert [message["content"] for message in shown["messages"]] == ["one", "two"]
