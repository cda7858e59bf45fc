"""Alternatives on the page: arrows between them, a fork, and tabs that bury nothing."""

from urllib.parse import urlsplit

from playwright.async_api import Locator, expect
from tests.browser.conftest import FAILED_REQUEST, Tabs
from tests.browser.hands import Hands
from tests.browser.serving import ChatServer
from tests.browser.test_page_access import barriers

from faceplate import Database
from faceplate.services import conversations, messages, users

MOVED_ON = "This conversation has moved on"


def chooser(message: Locator) -> Locator:
    return message.get_by_role("group", name="Alternatives")


async def edit(chat: Hands, number: int, text: str) -> None:
    """Put other words in the place of what was said, and wait for their reply."""
    await chat.said.nth(number).hover()
    await chat.said.nth(number).get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit your message").fill(text)
    await chat.page.keyboard.press("Enter")
    await expect(chat.said.nth(number).locator(".body")).to_have_text(text)
    await chat.hear()


async def has_said(chat: Hands, *texts: str) -> None:
    await expect(chat.said.locator(".body")).to_have_text(list(texts))


async def test_what_was_edited_is_one_arrow_away(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else an edit takes a question and everything after it away."""
    chat = await tabs.open(chat_server)
    for text in ("one", "two", "three"):
        await chat.ask_and_hear(text)
    await edit(chat, 1, "zwei")
    await has_said(chat, "one", "zwei")
    await expect(chooser(chat.said.nth(1))).to_have_text("2 of 2")
    await expect(chat.button("Next alternative")).to_be_disabled()
    await chat.button("Previous alternative").click()
    await has_said(chat, "one", "two", "three")
    await expect(chat.replies).to_have_count(3)
    await expect(chooser(chat.said.nth(1))).to_have_text("1 of 2")

    await chat.page.reload()  # the path that was chosen is the conversation's
    await has_said(chat, "one", "two", "three")
    await chat.ask_and_hear("four")
    await edit(chat, 0, "eins")
    await has_said(chat, "eins")
    await chat.page.reload()
    await has_said(chat, "eins")
    await expect(chat.button("Earlier messages")).to_be_hidden()
    await chat.button("Previous alternative").click()
    await has_said(chat, "one", "two", "three", "four")
    await expect(chat.page.get_by_role("group", name="Alternatives")).to_have_text(
        ["1 of 2", "1 of 2"]
    )


async def test_every_reply_can_be_given_again(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a better reply costs the one before, or only the last one can be asked for again."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("How is the weather in Oslo?")
    await chat.ask_and_hear("hello")
    for count in (2, 3):
        await chat.regenerate.click()
        await expect(chooser(chat.replies.last)).to_have_text(f"{count} of {count}")
    await has_said(chat, "How is the weather in Oslo?", "hello")
    await chat.button("Previous alternative").click()
    await expect(chooser(chat.replies.last)).to_have_text("2 of 3")

    earlier = chat.replies.filter(has_text="I have asked a tool")
    await earlier.hover()
    await earlier.get_by_role("button", name="Regenerate").click()
    await has_said(chat, "How is the weather in Oslo?")
    # The whole turn is another one, with its tool call.
    await expect(chooser(chat.replies.first)).to_have_text("2 of 2")
    await expect(chat.replies.first.get_by_role("group").first).to_contain_text("done")
    await chat.button("Previous alternative").click()
    await has_said(chat, "How is the weather in Oslo?", "hello")
    await expect(chooser(chat.replies.last)).to_have_text("3 of 3")  # the newest


async def test_alternatives_are_chosen_by_keyboard(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a user who uses no mouse, or does not see the page, never gets back to what was."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    for count in (2, 3):
        await chat.regenerate.click()
        await expect(chooser(chat.replies.last)).to_have_text(f"{count} of {count}")
    assert await barriers(chat.page) == []
    status = chat.page.locator("#announcer")
    await chat.tab_to("Previous alternative", key="Shift+Tab")
    await chat.page.keyboard.press("Enter")
    await expect(status).to_have_text("Alternative 2 of 3.")
    await expect(chat.button("Previous alternative")).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await expect(status).to_have_text("Alternative 1 of 3.")
    await expect(chat.button("Next alternative")).to_be_focused()
    await chat.tab_to("Continue in a new chat")
    assert await barriers(chat.page) == []


async def test_a_chat_goes_on_in_a_new_one(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else trying another way out of a conversation changes the conversation."""
    chat = await tabs.open(chat_server)
    for text in ("one", "two"):
        await chat.ask_and_hear(text)
    address = chat.page.url
    await chat.replies.first.hover()
    await chat.replies.first.get_by_role("button", name="Continue in a new chat").click()
    await has_said(chat, "one")
    await expect(chat.conversations).to_have_count(2)
    await expect(chat.field).to_be_focused()
    assert chat.page.url != address
    await chat.ask_and_hear("three")
    await chat.page.reload()
    await has_said(chat, "one", "three")
    await chat.page.goto(address)
    await has_said(chat, "one", "two")


async def test_a_stale_tab_says_so_and_reloads(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else one tab buries what was written in another one."""
    tabs.expect_complaints(FAILED_REQUEST)
    context = await tabs.context()
    here = await tabs.open(chat_server, context=context)
    await here.ask_and_hear("one")
    there = await tabs.open(chat_server, f"#{urlsplit(here.page.url).fragment}", context=context)
    await has_said(there, "one")
    await there.ask_and_hear("from there")

    await here.ask("from here")
    await expect(here.said.last).to_contain_text(MOVED_ON)
    await has_said(here, "one", "from here")
    await expect(here.button("Send again")).to_be_hidden()
    await here.button("Reload").click()
    await has_said(here, "one", "from there", "from here")
    await here.button("Send again").click()
    await expect(here.replies).to_have_count(3)
    await here.hear()

    # The other tab has not seen this.
    for name in ("Regenerate", "Edit"):
        await there.said.last.hover()
        await there.button(name).last.click()
        if name == "Edit":
            await there.page.get_by_role("textbox", name="Edit your message").fill("otherwise")
            await there.page.keyboard.press("Enter")
        await expect(there.page.get_by_role("alert")).to_contain_text(MOVED_ON)
        await has_said(there, "one", "from there")
    await there.button("Reload").click()
    await has_said(there, "one", "from there", "from here")
    await expect(there.page.get_by_role("alert")).to_be_hidden()
    await there.page.reload()
    await has_said(there, "one", "from there", "from here")


async def test_a_path_that_another_tab_has_left_is_not_gone_on_with(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a message lands in another branch than the one that its writer reads."""
    tabs.expect_complaints(FAILED_REQUEST)
    context = await tabs.context()
    here = await tabs.open(chat_server, context=context)
    await here.ask_and_hear("one")
    await edit(here, 0, "eins")
    there = await tabs.open(chat_server, f"#{urlsplit(here.page.url).fragment}", context=context)
    await has_said(there, "eins")
    await here.button("Previous alternative").click()
    await has_said(here, "one")
    await there.ask("zwei")
    await expect(there.said.last).to_contain_text(MOVED_ON)
    await there.button("Reload").click()
    await has_said(there, "one", "zwei")


async def test_a_switch_that_failed_is_tried_again(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else an arrow does nothing, and nobody knows why."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("one")
    await edit(chat, 0, "eins")
    await chat.page.route("**/path", lambda route: route.abort())
    await chat.button("Previous alternative").click()
    await expect(chat.page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    await has_said(chat, "eins")
    await chat.page.unroute("**/path")
    await chat.button("Try again").click()
    await has_said(chat, "one")
    await expect(chat.page.get_by_role("alert")).to_be_hidden()


async def test_what_another_program_keeps_is_shown_as_it_can_be(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else an imported conversation is blank, or looks as if something were missing."""
    async with Database(chat_server.database_url) as db:
        ada = (await db.run_system(users.ensure, "demo|ada")).id
        stored = await db.run(ada, conversations.create, title="Imported")
        gone = await db.run(ada, messages.append, stored.id, role="user", content="Removed.")
        await db.run(ada, messages.remove, stored.id, gone.id)
        await db.run(ada, messages.append, stored.id, role="developer", content="Be brief.")
        await db.run(ada, messages.append, stored.id, body='{"kind": "image"}')
    chat = await tabs.open(chat_server, f"#ada/{stored.id}")
    other = chat.page.get_by_role("article", name="Another program")
    await expect(other).to_contain_text("It has no text to show.")
    await expect(chat.page.get_by_role("article", name="Developer")).to_contain_text("Be brief.")
    await expect(chat.button("Earlier messages")).to_be_hidden()
    await expect(chat.page.get_by_text("This message has no reply.")).to_be_hidden()
    await chat.ask_and_hear("What is this?")
    await expect(other).to_have_count(1)
    assert await barriers(chat.page) == []
