"""The page by keyboard alone, by screen reader, and on a phone."""

from importlib.resources import files

import pytest
from playwright.async_api import Page, expect
from tests.browser.conftest import PHONE, Tabs
from tests.browser.serving import ChatServer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()


async def barriers(page: Page) -> list[str]:
    """Return what axe-core finds: the rule and the element."""
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run({resultTypes: ['violations', 'passes']})")
    assert len(found["passes"]) > 15, "axe-core has seen too little of the page"
    return [
        f"{violation['id']}: {node['html'][:200]} {node['any'][:1]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_stands_in_the_way_of_a_screen_reader(
    chat_server: ChatServer, tabs: Tabs, scheme: str
) -> None:
    """Else a user who does not see the page, or sees it poorly, cannot use it."""
    context = await tabs.context(color_scheme=scheme, reduced_motion="reduce")
    chat = await tabs.open(chat_server, context=context)
    await expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()
    assert await barriers(chat.page) == []
    await chat.ask_and_hear("How is the weather in `Oslo`, **really**?")
    await chat.page.locator("summary").click()
    await chat.page.get_by_role("textbox", name="New task").fill("Call")
    await chat.page.keyboard.press("Enter")
    await chat.tasks.get_by_role("checkbox").check()
    assert await barriers(chat.page) == []
    await chat.button("Delete").click()
    await expect(chat.page.get_by_role("dialog")).to_be_visible()
    assert await barriers(chat.page) == []
    await chat.page.keyboard.press("Escape")
    await chat.said.get_by_role("button", name="Edit").click()
    assert await barriers(chat.page) == []
    await chat.page.keyboard.press("Escape")
    await chat.button("Rename").click()
    assert await barriers(chat.page) == []
    await chat.page.keyboard.press("Escape")
    await chat.page.set_viewport_size(PHONE)
    await chat.button("Conversations").click()
    await expect(chat.button("Close conversations")).to_be_focused()
    assert await barriers(chat.page) == []


async def test_an_interrupted_reply_is_no_barrier(slow_chat_server: ChatServer, tabs: Tabs) -> None:
    """Else only a user who sees colours learns what went wrong."""
    chat = await tabs.open(slow_chat_server)
    await chat.ask_and_catch("hello")
    assert await barriers(chat.page) == []
    await expect(chat.replies).to_have_attribute("aria-busy", "true")
    status = chat.page.locator("#announcer")
    await expect(status).to_have_text("The reply begins.")
    await chat.stop.click()
    await expect(status).to_have_text("The reply has ended early.")
    await expect(chat.replies).to_have_attribute("aria-busy", "false")
    assert await barriers(chat.page) == []


async def test_a_reply_is_read_out_once(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a screen reader begins anew with every word, or says nothing."""
    chat = await tabs.open(chat_server)
    await expect(chat.field).to_be_focused()
    await chat.page.evaluate(
        """() => {
            const announcer = document.getElementById("announcer");
            window.heard = [];
            new MutationObserver(() => window.heard.push(announcer.textContent))
                .observe(announcer, {childList: true, characterData: true, subtree: true});
        }"""
    )
    await chat.ask_and_hear("hello")
    begun, told = await chat.page.evaluate("window.heard")
    assert begun == "The reply begins."
    assert told.startswith("Assistant: You said:\n\nhello")
    await expect(chat.page.locator("article [aria-live], [role=log]")).to_have_count(0)


async def test_a_chat_can_be_had_by_keyboard(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a user without a mouse is left out."""
    chat = await tabs.open(chat_server)
    press, write = chat.page.keyboard.press, chat.page.keyboard.type

    await expect(chat.field).to_be_focused()
    await write("one line")
    await press("Shift+Enter")
    await write("and another")
    await press("Enter")
    await chat.hear()
    await expect(chat.said.locator(".body")).to_have_text("one line\nand another")

    await chat.tab_to("Rename", key="Shift+Tab")
    await press("Enter")
    await write("Typed")
    await press("Enter")
    await expect(chat.title).to_have_text("Typed")

    await chat.tab_to("Edit")
    await press("Enter")
    await press("Control+A")
    await write("once more")
    await press("Enter")
    await expect(chat.said.locator(".body")).to_have_text("once more")
    await chat.hear()
    await expect(chat.field).to_be_focused()


async def test_lists_can_be_used_by_keyboard(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a user without a mouse cannot use what stands beside the chat."""
    chat = await tabs.open(chat_server)
    press, write = chat.page.keyboard.press, chat.page.keyboard.type
    await chat.ask_and_hear("Typed")

    await chat.tab_to("New task", "textbox")
    await write("Call")
    await press("Enter")
    task = chat.tasks.get_by_role("checkbox", name="Call")
    await expect(task).to_be_visible()
    await chat.tab_to("Call", "checkbox")
    await press("Space")
    await expect(task).to_be_checked()
    await chat.tab_to("Delete task Call")
    await press("Enter")
    await expect(task).to_have_count(0)
    await expect(chat.page.get_by_role("textbox", name="New task")).to_be_focused()

    await chat.tab_to("Grace")
    await press("Enter")
    await expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()
    await chat.tab_to("Ada", key="Shift+Tab")
    await press("Enter")
    await expect(chat.conversations).to_have_count(1)
    await chat.tab_to("Typed", "link", key="Shift+Tab")
    await press("Enter")
    await expect(chat.said).to_have_count(1)

    await chat.tab_to("Delete")
    await press("Enter")
    await expect(chat.button("Keep it")).to_be_focused()
    await press("Tab")
    await press("Enter")
    await expect(chat.conversations).to_have_count(0)
    await expect(chat.field).to_be_focused()


async def test_the_side_bar_can_be_skipped(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else each message begins with a walk through the side bar."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    await chat.page.reload()
    await expect(chat.said).to_have_count(1)
    await chat.page.keyboard.press("Tab")
    await expect(chat.button("Skip to the message field")).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await expect(chat.field).to_be_focused()


async def test_a_phone_shows_all_of_it(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else the page is of no use on the way."""
    context = await tabs.context(viewport=PHONE, has_touch=True, is_mobile=True)
    chat = await tabs.open(chat_server, context=context)
    await chat.ask_and_hear("How is the weather in " + "Llanfairpwllgwyngyll" * 3)
    assert await chat.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    side_bar = chat.page.locator("#sidebar")
    await expect(side_bar).to_be_hidden()
    await expect(chat.page.locator("#tasks")).to_be_hidden()

    await chat.button("Conversations").tap()
    await expect(side_bar).to_be_in_viewport(ratio=1)
    await chat.page.keyboard.press("Escape")
    await expect(side_bar).to_be_hidden()
    await expect(chat.button("Conversations")).to_be_focused()

    await chat.button("Conversations").tap()
    await chat.page.get_by_role("link", name="New chat").tap()
    await expect(side_bar).to_be_hidden()
    await expect(chat.title).to_have_text("New chat")

    await chat.button("Tasks").tap()
    await chat.page.get_by_role("textbox", name="New task").fill("Call")
    await chat.button("Add task").tap()
    await chat.tasks.get_by_role("checkbox", name="Call").tap()
    await expect(chat.tasks.get_by_role("checkbox", name="Call")).to_be_checked()
    await chat.page.locator("#backdrop").tap(position={"x": 10, "y": 300})
    await expect(chat.page.locator("#tasks")).to_be_hidden()
