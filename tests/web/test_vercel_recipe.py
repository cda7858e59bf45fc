"""The recipe for chats of the Vercel AI SDK: its example and its page."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from examples.sdks.vercel import app
from tests.blocks import run_page, runnable_blocks
from tests.web.conftest import Calling

from faceplate import Database
from faceplate.services import conversations, messages, users

PAGE = Path(__file__).parents[2] / "docs" / "sdks" / "vercel.md"


def ui_message(id_: str, text: str, role: str = "user") -> dict[str, Any]:
    parts = [
        {"type": "step-start"},
        {"type": "text", "text": text, "state": "done"},
        {"type": "tool-weather", "toolCallId": "c", "state": "output-available", "output": 10**20},
        {"type": "data-place", "data": {"z": 1, "a": "\x00"}},
    ]
    return {"id": id_, "role": role, "metadata": {"z": [1, None]}, "parts": parts}


async def test_a_chat_is_kept_to_the_letter(
    database_url: str, db: Database, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posted twice it is stored once; the product's pages have its text; a user has no other's."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    said = [ui_message("m1", "Where to?"), ui_message("m2", "To Oslo.", "assistant")]
    again = ui_message("m3", "To Bergen.", "assistant")
    async with calling(app, headers={"X-User": "vercel-ada"}) as http:
        for message in (said[0], *said):
            assert (await http.post("/chats/trip/messages", json=message)).status_code == 201
        assert (await http.get("/chats/trip/messages")).json() == said
        ada = await db.run_system(users.by_subject, "vercel-ada")
        id_ = conversations.id_of(ada.id, source="vercel-ai", key="trip")
        history = await db.run(ada.id, messages.history, id_)
        assert [(row.role, row.content) for row in history] == [
            ("user", "Where to?"),
            ("assistant", "To Oslo."),
        ]
        answer = await http.post("/chats/trip/messages", json=again, params={"after": "m1"})
        assert answer.status_code == 201
        assert (await http.get("/chats/trip/messages")).json() == [said[0], again]
        await db.run(ada.id, messages.append, id_, role="user", content="By train?")
        last = (await http.get("/chats/trip/messages")).json()[-1]
        assert last["parts"] == [{"type": "text", "text": "By train?"}]
        other = await http.get("/chats/trip/messages", headers={"X-User": "vercel-bob"})
        assert other.json() == []
        missing = {"after": "nowhere"}
        answer = await http.post("/chats/trip/messages", json=again, params=missing)
        assert answer.status_code == 404


async def test_what_the_page_shows_runs(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runnable_blocks(PAGE)
    module = ModuleType("page_vercel")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    await run_page(PAGE, tmp_path, vars(module))
