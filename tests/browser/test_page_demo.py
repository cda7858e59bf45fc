"""`faceplate demo` leads into the page, which the README shows in pictures: `make pictures`."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from playwright.async_api import ViewportSize, expect
from tests.browser.conftest import PHONE, StartServer, Tabs
from tests.browser.hands import Hands
from tests.browser.serving import ROOT, ChatServer

SAMPLE = files("faceplate") / "samples" / "chats.jsonl"
SHOWN = "Why is the orders page slow?"
TASKS = ("Rehearse the talk", "Build the index on orders", "Log slow statements")  # one is done
# The same picture whenever it is taken.
NOW = datetime(2026, 3, 12, 10, 40, tzinfo=UTC)
AGES = [timedelta(days=days, minutes=4) for days in (11, 9, 4, 3, 1, 0)]
WIDE = ViewportSize(width=1280, height=784)
MAX_BYTES = 200_000


def import_sample(server: ChatServer, folder: Path) -> None:
    """Import the sample as `make demo FILE=...` does, each chat with a time of its own."""
    chats = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    chats = [chat for chat in chats if chat["title"].isascii()]  # which every font can show
    chats.sort(key=lambda chat: chat["title"] == SHOWN)
    for chat, age in zip(chats, AGES, strict=True):
        for each in (chat, *chat["messages"]):
            each["created_at"] = (NOW - age).timestamp()
    path = folder / "chats.jsonl"
    path.write_text("".join(f"{json.dumps(chat)}\n" for chat in chats), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "faceplate.cli", "demo", str(path)],
        env=os.environ | {"DATABASE_URL": server.database_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


async def test_imported_chats_are_what_the_page_opens_with(
    chat_server: ChatServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else somebody who has imported chats starts the page and does not find them."""
    chat = await tabs.open(chat_server)
    await expect(chat.button("Ada")).to_have_attribute("aria-pressed", "true")
    await expect(chat.button("Demo")).to_have_count(0)
    import_sample(chat_server, tmp_path)
    chat = await tabs.open(chat_server)
    await expect(chat.button("Demo")).to_have_attribute("aria-pressed", "true")
    await expect(chat.conversations).to_have_count(len(AGES))
    await chat.conversation(SHOWN).click()
    await expect(chat.title).to_have_text(SHOWN)
    await expect(chat.replies.get_by_role("group").first).to_contain_text("explain_query")
    await chat.sign_in("Ada")
    await expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder for the README's pictures: docs/pictures in `make pictures`."""
    folder = ROOT / os.environ.get("FACEPLATE_TEST_PICTURES", "build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pictures_of_the_readme(
    start_server: StartServer, tabs: Tabs, tmp_path: Path, pictures: Path, scheme: str
) -> None:
    """Else the README shows a page that is no more, or one that takes long to load."""
    server = await start_server(CHAT_TOKEN_DELAY_S="0", CHAT_SAVE_EVERY_S="0.02")
    import_sample(server, tmp_path)
    async with httpx.AsyncClient(base_url=server.url, headers={"X-Demo-User": "demo"}) as http:
        made = [await http.post("/api/tasks", json={"title": title}) for title in TASKS]
        await http.patch(f"/api/tasks/{made[0].json()['id']}", json={"completed": True})

    async def opened(size: ViewportSize, ratio: float) -> Hands:
        context = await tabs.context(
            color_scheme=scheme,
            reduced_motion="reduce",
            viewport=size,
            device_scale_factor=ratio,
            locale="en-GB",
            timezone_id="UTC",
        )
        page = await context.new_page()
        await page.clock.set_fixed_time(NOW)
        await page.goto(f"{server.url}/#demo")
        return Hands(page)

    wide = await opened(WIDE, 1.25)
    await wide.conversation(SHOWN).click()
    await expect(wide.title).to_have_text(SHOWN)
    await expect(wide.regenerate).to_be_visible()
    await wide.page.mouse.move(0, 0)
    taken = [pictures / f"chat-wide-{scheme}.png", pictures / f"chat-narrow-{scheme}.png"]
    await wide.page.screenshot(path=taken[0])

    narrow = await opened(PHONE, 2)
    if scheme == "light":
        await expect(narrow.page.get_by_role("list", name="Suggestions")).to_be_visible()
    else:
        await narrow.button("Conversations").click()
        await narrow.conversation("A first talk").click()
        await expect(narrow.page.get_by_role("table")).to_be_in_viewport()
    await narrow.page.screenshot(path=taken[1])
    assert [path.name for path in taken if path.stat().st_size > MAX_BYTES] == []
