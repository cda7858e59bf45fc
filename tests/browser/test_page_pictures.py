"""Pictures of the page, in build/screenshots. They show what the other tests say in words."""

from pathlib import Path

import pytest
from playwright.async_api import ViewportSize, expect
from tests.browser.conftest import FAILED_REQUEST, PHONE, Tabs
from tests.browser.hands import Hands
from tests.browser.serving import ChatServer
from uuid6 import uuid7

PAST = ("Packing for a week in Tromsø", "Names for a cat", "A letter to the landlord")
ASKED = "Compare these two for me:\nthe night train is slower, but saves a hotel"
TASKS = ("Book the train to Oslo", "Write back to Grace", "Renew the passport")


async def furnish(chat: Hands) -> None:
    """Make the page look as it does after some days."""
    for text in PAST:
        await chat.page.get_by_role("link", name="New chat").click()
        await expect(chat.title).to_have_text("New chat")
        await chat.ask_and_hear(text)
    for task in TASKS:
        await chat.page.get_by_role("textbox", name="New task").fill(task)
        await chat.page.keyboard.press("Enter")
        await expect(chat.tasks.get_by_role("checkbox", name=task)).to_be_visible()
    await chat.tasks.get_by_role("checkbox", name="Write back to Grace").check()
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(chat.title).to_have_text("New chat")
    await chat.ask_and_hear(ASKED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pictures_of_a_desktop(
    chat_server: ChatServer, tabs: Tabs, screenshots: Path, scheme: str
) -> None:
    """Else nobody has looked at the page."""
    context = await tabs.context(color_scheme=scheme, reduced_motion="reduce")
    chat = await tabs.open(chat_server, context=context)
    await expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()
    await chat.page.screenshot(path=screenshots / f"empty-{scheme}.png")
    await furnish(chat)
    await chat.ask_and_hear("And how is the weather in Oslo?")
    await chat.page.screenshot(path=screenshots / f"desktop-{scheme}.png")
    await chat.page.locator("summary").click()
    await expect(chat.page.get_by_label("Result")).to_be_visible()
    await chat.page.screenshot(path=screenshots / f"tool-call-{scheme}.png")
    await chat.said.last.hover()
    await chat.said.last.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit your message").fill("And in Bergen?")
    await chat.page.keyboard.press("Enter")
    await chat.hear()
    for count in (2, 3):
        await chat.regenerate.click()
        await expect(chat.page.get_by_text(f"{count} of {count}").last).to_be_visible()
    await chat.said.last.hover()
    await chat.page.screenshot(path=screenshots / f"alternatives-{scheme}.png")
    await chat.button("Delete").click()
    await expect(chat.page.get_by_role("dialog")).to_be_visible()
    await chat.page.screenshot(path=screenshots / f"delete-{scheme}.png")


async def test_pictures_of_a_phone(chat_server: ChatServer, tabs: Tabs, screenshots: Path) -> None:
    """Else nobody has looked at the page on a phone."""
    context = await tabs.context(reduced_motion="reduce")
    chat = await tabs.open(chat_server, context=context)
    await furnish(chat)
    await chat.page.set_viewport_size(PHONE)
    await expect(chat.regenerate).to_be_in_viewport()
    await chat.page.screenshot(path=screenshots / "phone.png")
    await chat.regenerate.click()
    await expect(chat.page.get_by_text("2 of 2")).to_be_visible()
    await chat.page.screenshot(path=screenshots / "phone-alternatives.png")
    await chat.button("Conversations").click()
    await expect(chat.page.locator("#sidebar")).to_be_in_viewport(ratio=1)
    await chat.page.screenshot(path=screenshots / "phone-conversations.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pictures_of_what_is_read(
    chat_server: ChatServer, tabs: Tabs, screenshots: Path, scheme: str
) -> None:
    """Else nobody has looked at the parts of Markdown, or at a page without its conversation."""
    tabs.expect_complaints(FAILED_REQUEST)
    context = await tabs.context(color_scheme=scheme, reduced_motion="reduce")
    chat = await tabs.open(chat_server, f"#ada/{uuid7()}", context=context)
    await expect(chat.page.get_by_text("This conversation is not here")).to_be_visible()
    await chat.page.screenshot(path=screenshots / f"missing-{scheme}.png")
    await chat.page.set_viewport_size(ViewportSize(width=1320, height=1400))
    await chat.page.get_by_role("link", name="Start a new chat").click()
    await chat.ask_and_hear("Show me some Markdown")
    await chat.page.screenshot(path=screenshots / f"markdown-{scheme}.png")
    await chat.page.set_viewport_size(PHONE)
    await chat.page.screenshot(path=screenshots / f"phone-markdown-{scheme}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pictures_of_a_reply_that_broke_off(
    slow_chat_server: ChatServer, tabs: Tabs, screenshots: Path, scheme: str
) -> None:
    """Else nobody has looked at what is shown when something ends early."""
    context = await tabs.context(color_scheme=scheme, reduced_motion="reduce")
    chat = await tabs.open(slow_chat_server, context=context)
    await chat.ask("Will it last?")
    await expect(chat.texts).to_contain_text("I am an echo and know")
    await chat.page.screenshot(path=screenshots / f"streaming-{scheme}.png")
    await chat.stop.click()
    await expect(chat.regenerate).to_be_visible()
    await chat.page.screenshot(path=screenshots / f"interrupted-{scheme}.png")
