"""Files of chats are imported on the page, with the eyes, by ear and by keyboard."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, expect
from tests.browser.conftest import FAILED_REQUEST, PHONE, StartServer, Tabs
from tests.browser.hands import Hands
from tests.browser.serving import ChatServer
from tests.browser.test_page_access import barriers


def chats(count: int, *, text: str = "hello") -> list[dict[str, Any]]:
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    return [{"id": str(n), "title": f"Chat {n}", "messages": said} for n in range(1, count + 1)]


def write(path: Path, values: Iterable[object]) -> Path:
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
    return path


async def opened(chat: Hands) -> Locator:
    await chat.button("Import chats").click()
    dialog = chat.page.get_by_role("dialog", name="Import chats")
    await expect(dialog).to_contain_text("ChatGPT export")
    return dialog


async def imported(chat: Hands, *paths: Path) -> Locator:
    """Choose files and start their import; return the dialog."""
    dialog = await opened(chat)
    await dialog.get_by_label("Files").set_input_files([str(path) for path in paths])
    await chat.button("Import").click()
    return dialog


async def test_files_are_imported_and_the_list_shows_them(
    chat_server: ChatServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else a user has to know of a command line to bring chats along."""
    chat = await tabs.open(chat_server)
    many = write(tmp_path / "many.jsonl", [*chats(40), {"id": "odd"}])
    few = write(tmp_path / "few.json", [chats(3)])
    dialog = await imported(chat, many, few)
    await expect(dialog).to_contain_text("Imported: 40 new chats with 80 messages, 1 refused.")
    await expect(dialog).to_contain_text("Imported: 0 new chats with 0 messages, 3 already there.")
    await dialog.get_by_text("1 refused or not understood").click()
    await expect(dialog.get_by_text("line 41:")).to_be_visible()
    await expect(chat.conversations).to_have_count(30)
    assert await barriers(chat.page) == []
    await chat.button("Close").click()
    await expect(chat.button("Import chats")).to_be_focused()
    await chat.button("Older chats").click()
    await expect(chat.conversations).to_have_count(40)
    await chat.conversation("Chat 7").click()
    await expect(chat.texts).to_have_text(["hello"])


async def test_a_file_can_be_looked_at_first(
    chat_server: ChatServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else a user finds out what is in a file only when it is stored."""
    chat = await tabs.open(chat_server)
    dialog = await opened(chat)
    await dialog.get_by_label("Only show what is in them").check()
    path = write(tmp_path / "chats.jsonl", chats(2))
    await dialog.get_by_label("Files").set_input_files(str(path))
    await chat.button("Import").click()
    found = "2 chats (OpenAI chat messages) with 4 messages. Nothing was stored."
    await expect(dialog).to_contain_text(found)
    assert chat_server.get("/api/conversations")["items"] == []


async def test_chats_are_imported_by_keyboard_and_by_ear(
    chat_server: ChatServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else a user without a mouse, or who does not see the page, is left out."""
    chat = await tabs.open(chat_server)
    press = chat.page.keyboard.press
    await chat.tab_to("Import chats", key="Shift+Tab")
    await press("Enter")
    dialog = chat.page.get_by_role("dialog", name="Import chats")
    files = dialog.get_by_label("Files")
    await expect(files).to_be_focused()
    assert await barriers(chat.page) == []
    await chat.tab_to("Import")
    await press("Enter")
    await expect(dialog.get_by_role("alert")).to_have_text("Choose a file first.")
    await expect(files).to_be_focused()
    async with chat.page.expect_file_chooser() as choosing:
        await press("Enter")
    path = write(tmp_path / "chats.jsonl", chats(1))
    await (await choosing.value).set_files(str(path))
    await chat.tab_to("Import")
    await press("Enter")
    told = "chats.jsonl: Imported: 1 new chat with 2 messages."
    await expect(dialog.get_by_role("status")).to_have_text(told)
    await expect(chat.button("Close")).to_be_focused()
    await press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(chat.button("Import chats")).to_be_focused()


async def test_an_import_goes_on_behind_the_chat_until_it_is_stopped(
    chat_server: ChatServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else a large file keeps its user from everything else, or cannot be stopped."""
    chat = await tabs.open(chat_server)
    path = write(tmp_path / "chats.jsonl", chats(6_000, text="word " * 200))
    dialog = await imported(chat, path)
    await expect(chat.button("Stop")).to_be_focused()
    await expect(dialog.get_by_role("status")).to_contain_text("chats.jsonl: ")
    await expect(chat.conversations).to_have_count(30)  # while it goes on
    assert await barriers(chat.page) == []
    await chat.button("Close").click()
    await chat.ask_and_hear("Are you there?")
    await chat.page.get_by_role("button", name="Importing, ").click()
    await expect(chat.button("Stop")).to_be_focused()
    await chat.button("Stop").click()
    await expect(dialog).to_contain_text("Import the file again to go on from there.")
    await expect(dialog).to_contain_text("At least ")
    await expect(chat.button("Close")).to_be_focused()


async def test_an_import_that_breaks_off_says_what_is_stored(
    start_server: StartServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else a user does not know whether to import the file again."""
    tabs.expect_complaints(FAILED_REQUEST)
    server = await start_server()
    chat = await tabs.open(server)
    path = write(tmp_path / "chats.jsonl", chats(4_000, text="word " * 200))
    dialog = await imported(chat, path)
    await expect(chat.conversations).to_have_count(30)
    server.stop()
    await expect(dialog).to_contain_text("The server cannot be reached.")
    await expect(dialog).to_contain_text("Import the file again to go on from there.")
    server.start()
    await dialog.get_by_label("Files").set_input_files(str(path))
    await chat.button("Import").click()
    await expect(dialog).to_contain_text("already there")
    await expect(dialog).to_contain_text("Imported: ")


async def test_a_file_that_is_too_large_is_not_sent(
    start_server: StartServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else a user waits for an upload that is refused."""
    server = await start_server(CHAT_MAX_UPLOAD_MB="1")
    context = await tabs.context(viewport=PHONE)
    chat = await tabs.open(server, context=context)
    await chat.button("Conversations").click()
    path = write(tmp_path / "chats.jsonl", chats(1, text="word " * 200_000))
    dialog = await imported(chat, path)
    await expect(dialog).to_contain_text("This file is too large. It may have 1 MB.")
    assert await barriers(chat.page) == []
    assert await chat.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


async def test_what_one_user_imported_is_not_shown_to_the_next(
    chat_server: ChatServer, tabs: Tabs, tmp_path: Path
) -> None:
    """Else the next user reads the names of files that are not theirs."""
    chat = await tabs.open(chat_server)
    path = write(tmp_path / "chats.jsonl", chats(1))
    dialog = await imported(chat, path)
    await expect(dialog).to_contain_text("Imported: 1 new chat")
    await chat.button("Close").click()
    await chat.sign_in("Grace")
    dialog = await opened(chat)
    await expect(dialog.get_by_role("list")).to_be_hidden()
    await expect(dialog).not_to_contain_text("chats.jsonl")
    assert chat_server.get("/api/conversations", user="grace")["items"] == []
