"""The first day with the built wheel: from an empty folder to a service with a table of its own."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from tests.package.environments import Environment

pytestmark = pytest.mark.package

MODEL = '''

class Rating(Owned, AppBase):
    """What a user thinks of a message."""

    __tablename__ = "ratings"
    __table_args__ = (references(Message), UniqueConstraint("user_id", "message_id"))

    conversation_id: Mapped[UUID]
    message_id: Mapped[UUID]
    stars: Mapped[int]
'''
UNITS = '''"""The units and the handler of ratings."""

from typing import Annotated
from uuid import UUID

from faceplate import Scope, Statement
from fastapi import APIRouter, Body
from sqlalchemy import bindparam, insert

from app.models import Rating
from app.routes import Chat

router = APIRouter()

ADD = Statement(
    UUID,
    insert(Rating)
    .values(
        id=bindparam("id"),
        conversation_id=bindparam("conversation_id"),
        message_id=bindparam("message_id"),
        stars=bindparam("stars"),
    )
    .returning(Rating.id),
)


async def add(scope: Scope, conversation_id: UUID, message_id: UUID, stars: int) -> UUID:
    return await scope.one(
        ADD,
        id=scope.new_id(),
        conversation_id=conversation_id,
        message_id=message_id,
        stars=stars,
    )


@router.post("/conversations/{conversation_id}/messages/{message_id}/ratings", status_code=201)
async def rate(
    conversation_id: UUID, message_id: UUID, stars: Annotated[int, Body(embed=True)], chat: Chat
) -> UUID:
    return await chat.run(add, conversation_id, message_id, stars)
'''
TESTS = '''"""Ratings, as a client gives them."""

from uuid import uuid4

import httpx


async def test_a_message_is_rated_once(faceplate_client: httpx.AsyncClient) -> None:
    created = await faceplate_client.post("/conversations", json={"title": "Weather"})
    path = f"/conversations/{created.json()['id']}"
    await faceplate_client.post(f"{path}/replies", json={"text": "Rain?"})
    _, reply = (await faceplate_client.get(f"{path}/messages")).json()
    ratings = [f"{path}/messages/{id}/ratings" for id in (reply["id"], reply["id"], uuid4())]
    answers = [await faceplate_client.post(path, json={"stars": 5}) for path in ratings]
    assert [answer.status_code for answer in answers] == [201, 409, 404]
'''


def replace(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def add_a_table(project: Path) -> None:
    """Do what a developer types on the first afternoon."""
    replace(
        project / "app" / "models.py",
        ("import Index, MetaData, text", "import Index, MetaData, UniqueConstraint, text"),
        ("Base, Conversation, Owned", "Base, Conversation, Message, Owned"),
    )
    with (project / "app" / "models.py").open("a", encoding="utf-8") as models:
        models.write(MODEL)
    (project / "app" / "ratings.py").write_text(UNITS)
    (project / "tests" / "test_ratings.py").write_text(TESTS)
    replace(
        project / "app" / "main.py",
        ("from app import routes", "from app import ratings, routes"),
        (
            "    app.include_router(routes.router)\n",
            "    app.include_router(routes.router)\n    app.include_router(ratings.router)\n",
        ),
    )


@pytest.fixture
def day(built: dict[str, Path], place: Path) -> Iterator[Environment]:
    """The environment of the day, in the folder of the written service."""
    run = Environment(place, f"{built['wheel']}[cli]")
    run("faceplate", "init", "--service", "chats")
    run.directory /= "chats"
    run.install("--editable", ".[dev]")
    run.variables = {"FACEPLATE_EMBEDDED_DIR": str(place / "pg")}
    started = run("faceplate", "server", "start").splitlines()
    urls = ["=".join(line.split()) for line in started if "_URL" in line]
    with (run.directory / ".env").open("a", encoding="utf-8") as file:
        file.writelines(f"{url}\n" for url in urls)
    yield run
    run("faceplate", "server", "stop")


def until(found: Callable[[], Any]) -> Any:
    """Return what is found, once it is."""
    give_up = time.monotonic() + 60
    while not (result := found()):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return result


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sign_in(run: Environment, client: httpx.Client, name: str) -> None:
    token = run("python", "-m", "app.sign_in", name).strip()
    client.headers["Authorization"] = f"Bearer {token}"


def use(client: httpx.Client) -> str:
    """Ask, rate the reply, and be reminded; return the conversation's path."""
    created = client.post("/conversations", json={"title": "Weather"})
    path = f"/conversations/{created.json()['id']}"
    assert client.post(f"{path}/replies", json={"text": "Rain?"}).text == "You said: Rain? "
    _, reply = client.get(f"{path}/messages").json()
    rated = client.post(f"{path}/messages/{reply['id']}/ratings", json={"stars": 5})
    reminder = {"text": "Pack", "due_at": "2026-01-01T00:00:00Z"}
    reminded = client.post(f"{path}/reminders", json=reminder)
    assert (rated.status_code, reminded.status_code) == (201, 201)
    return path


def wait_for_the_reminder(client: httpx.Client, path: str) -> None:
    def contents() -> list[str]:
        return [message["content"] for message in client.get(f"{path}/messages").json()]

    until(lambda: "Reminder: Pack" in contents())
    assert contents() == ["Rain?", "You said: Rain? ", "Reminder: Pack"]


async def forget_a_table(url: str, user_id: str) -> None:
    """Store a row of a user in a table that no model and no foreign key knows."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE visits (user_id uuid)")
    await connection.execute("INSERT INTO visits VALUES ($1)", user_id)
    await connection.close()


@pytest.mark.timeout(900)
def test_the_first_day(day: Environment) -> None:
    """Else a newcomer has no service by the evening, or one whose erasure forgets a table."""
    run = day
    run("faceplate", "migrate")
    run("alembic", "upgrade", "head")
    add_a_table(run.directory)
    run("alembic", "revision", "--autogenerate", "-m", "ratings")
    (revision,) = (run.directory / "migrations" / "versions").glob("*_ratings.py")
    operations = re.findall(r"^    op\.(\w+)\('(\w+)'", revision.read_text(), re.MULTILINE)
    assert operations[:2] == [("create_table", "ratings"), ("enable_user_isolation", "ratings")]
    run("alembic", "upgrade", "head")
    assert "No new upgrade operations" in run("alembic", "check")
    assert "up to date" in run("faceplate", "check")

    run("ruff", "check")
    run("ruff", "format", "--check")
    run("mypy")
    for arguments in ((), ("-n2",)):
        (passed,) = re.findall(r"(?m)^=* ?(\d+) passed in", run("pytest", *arguments))
        assert int(passed) > 15

    port = free_port()
    serve = ("uvicorn", "--factory", "app.main:create_app", "--port", str(port))
    with run.running(*serve), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        until(lambda: is_ready(client))
        assert client.get("/conversations").status_code == 401
        paths = {}
        for name in ("ada", "bob"):
            sign_in(run, client, name)
            paths[name] = use(client)
        with run.running("python", "-m", "app.worker"):
            for name, path in paths.items():
                sign_in(run, client, name)
                wait_for_the_reminder(client, path)

    ids = {
        name: json.loads(run("faceplate", "users", name, "--json"))["user"]["id"] for name in paths
    }
    told = run("faceplate", "erase", "--user", ids["ada"], "--yes")
    assert re.search(r"with 1 conversation with 3 messages, .*1 reminder, 1 rating\.", told)
    for table in ("reminders", "ratings"):
        assert re.search(rf"(?m)^public\.{table} +0 *$", told)

    # A table that erase is not told of: it says so, and does not claim success.
    (url,) = re.findall(r"FACEPLATE_OWNER_URL=(\S+)", (run.directory / ".env").read_text())
    asyncio.run(forget_a_table(url, ids["bob"]))
    told = run("faceplate", "erase", "--user", ids["bob"], "--yes", code=1)
    assert re.search(r"(?m)^(public\.)?visits +1 *$", told)
    assert re.search(r"(?m)^public\.ratings +0 *$", told)
