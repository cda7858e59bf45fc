"""The applications of docs/web.md and of the README, called as a server calls them."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.blocks import python_blocks, run_block
from tests.web.conftest import Calling
from uuid6 import uuid7

from faceplate import Conflict, Database, User
from faceplate.services import conversations, messages

ROOT = Path(__file__).parents[2]
APPLICATIONS = {
    "FastAPI": ("docs/web.md", "from fastapi import Body"),
    "README": ("README.md", "from fastapi import Body"),
    "Starlette": ("docs/web.md", "from starlette.applications"),
    "Litestar": ("docs/web.md", "from litestar import"),
}


@pytest.fixture(params=APPLICATIONS.values(), ids=list(APPLICATIONS))
async def application(
    request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The ``app`` of one block of a page."""
    page, mark = request.param
    monkeypatch.setenv("DATABASE_URL", database_url)
    module = ModuleType("application")  # frameworks look the module of a handler up
    monkeypatch.setitem(sys.modules, module.__name__, module)
    ((line, source),) = [block for block in python_blocks(ROOT / page) if mark in block[1]]
    await run_block(source, page, line, vars(module))
    return module.app


async def test_an_application_of_the_documentation_works(
    application: Any, calling: Calling, db: Database, user: User
) -> None:
    """Else a reader who copies the application gets errors, or empty answers."""
    chat = await db.run(user.id, conversations.create)
    path = f"/conversations/{chat.id}/messages"
    headers = {"X-User": str(user.id)}
    async with calling(application, headers=headers) as http:
        stored = await http.post(path, json={"text": "hello"})
        assert (stored.status_code, stored.json()) == (200, {"position": 1})
        missing = await http.post(f"/conversations/{uuid7()}/messages", json={"text": "hello"})
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
        refused = await http.post(path, json={"text": "NUL \x00"})
        assert (refused.status_code, refused.json()["field"]) == (422, "messages.content")
        assert refused.headers["content-type"].startswith("application/problem+json")
    (message,) = await db.run(user.id, messages.history, chat.id)
    assert message.content == "hello"


async def test_edits_are_kept_as_the_documentation_shows(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    calling: Calling,
    db: Database,
    user: User,
) -> None:
    """Else a reader who copies the handlers loses edited messages, or cannot get back to them."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    module = ModuleType("application")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for line, source in python_blocks(ROOT / "docs/web.md"):
        await run_block(source, "docs/web.md", line, vars(module))
        if "branches_at" in source:
            break
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
