"""Lifespans, dependencies with `yield` and mounted applications, as docs/web/fastapi.md says."""

from types import ModuleType
from typing import Annotated

import pytest
import sqlalchemy as sa
from fastapi import Depends, FastAPI
from tests.databases import outside
from tests.web.conftest import Calling
from tests.web.pages import WEB, loaded
from uuid6 import uuid7

from faceplate import Database, Scope, Settings, User
from faceplate.services import conversations, messages, tasks, users

# A constraint that PostgreSQL checks at COMMIT.
DEFERRED = """
CREATE TABLE places (place int UNIQUE DEFERRABLE INITIALLY DEFERRED);
GRANT INSERT ON places TO faceplate_app
"""


@pytest.fixture
async def page(database_url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return await loaded(WEB / "fastapi.md", monkeypatch)


async def test_a_commit_after_the_response_fails_unseen_and_one_before_it_does_not(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch, calling: Calling
) -> None:
    """Else a reader takes the default, and acknowledges rows that are not stored."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    page = await loaded(WEB / "fastapi.md", monkeypatch)
    app: FastAPI = page.app
    late = Annotated[Scope, Depends(page.transaction)]

    async def create(scope: Scope) -> str:
        await tasks.create(scope, title="lost")
        await scope.session.execute(sa.text("INSERT INTO public.places VALUES (1), (1)"))
        return "stored"

    @app.post("/after")
    async def after(scope: late) -> str:
        return await create(scope)

    @app.post("/before")
    async def before(scope: page.InOne) -> str:  # type: ignore[name-defined]  # of the page
        return await create(scope)

    async with outside(Settings(database_url=fresh_database_url)) as operator:
        await operator.execute(DEFERRED)
    async with Database(fresh_database_url) as db:
        user = await db.run_system(users.create, subject_id="ada")
        async with calling(app, headers={"X-User": str(user.id)}) as http:
            unseen, answered = await http.post("/after"), await http.post("/before")
            kept = await http.post("/tasks", params={"title": "kept"})
        found = await db.run(user.id, tasks.page)
    assert (unseen.status_code, unseen.json()) == (200, "stored")
    assert (answered.status_code, answered.json()["code"]) == (409, "conflict")
    assert kept.status_code == 200
    assert [task.title for task in found.items] == ["kept"]


async def test_a_background_task_runs_after_the_response(
    page: ModuleType, calling: Calling, db: Database, user: User
) -> None:
    """Else a reader hands on a scope that has ended, or a runner that is closed."""
    chat = await db.run(user.id, conversations.create)
    for text in ("Will it rain?", "And tomorrow?"):
        await db.run(user.id, messages.append, chat.id, role="user", content=text)
    async with calling(page.app, headers={"X-User": str(user.id)}) as http:
        done = await http.post(f"/conversations/{chat.id}/title")
        missing = await http.post(f"/conversations/{uuid7()}/title")
    assert (done.status_code, missing.status_code) == (202, 404)
    assert (await db.run(user.id, conversations.get, chat.id)).title == "Will it rain?"


async def test_a_mounted_application_finds_the_database_of_the_outer_one(
    page: ModuleType, calling: Calling, db: Database, user: User
) -> None:
    """Else a chat under a prefix answers 500 to everything."""
    chat = await db.run(user.id, conversations.create, title="Rain")
    async with calling(page.outer, headers={"X-User": str(user.id)}) as http:
        found = await http.get(f"/v1/conversations/{chat.id}")
        missing = await http.get(f"/v1/conversations/{uuid7()}")
    assert found.json() == {"title": "Rain"}
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_the_outer_application_enters_the_lifespan_of_the_mounted_one(
    page: ModuleType, calling: Calling, db: Database
) -> None:
    """Else an application that works alone fails where it is mounted."""
    async with calling(page.site) as http:
        found = (await http.get("/chats/guest")).json()
    assert found == str((await db.run_system(users.by_subject, "guest")).id)


async def test_a_lifespan_that_nobody_runs_is_named(
    page: ModuleType, calling: Calling, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a reader looks for the fault in the mounted application, where it is not."""
    bare = FastAPI()
    bare.mount("/v1", page.api)

    async with calling(bare, headers={"X-User": str(user.id)}) as http:
        assert (await http.get(f"/v1/conversations/{uuid7()}")).status_code == 500
    assert "give the outer one the lifespan" in caplog.text
