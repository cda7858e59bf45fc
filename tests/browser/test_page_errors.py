"""What the server refuses is told to a person, and what can be tried again is."""

import asyncpg
from playwright.async_api import expect
from tests.browser.conftest import FAILED_REQUEST, StartServer, Tabs
from tests.browser.hands import fill
from tests.browser.serving import ChatServer
from tests.browser.stumbling import WHY


async def test_a_reply_that_failed_says_so_and_is_given_again(
    start_server: StartServer, tabs: Tabs
) -> None:
    """Else a reply that broke off looks like a whole one."""
    server = await start_server(app="tests.browser.stumbling:create_app")
    chat = await tabs.open(server)
    await chat.ask("hello")
    await expect(chat.replies).to_contain_text(["The reply failed"])
    await expect(chat.texts).to_have_text(["You said:"])
    await chat.page.reload()
    await expect(chat.replies).to_contain_text(["The reply failed. What had arrived is kept."])
    await chat.regenerate.click()
    await expect(chat.texts).to_contain_text(["hello"])
    await chat.hear()
    await expect(chat.page.get_by_text("The reply failed")).to_be_hidden()


async def test_what_a_provider_said_is_still_told_after_a_reload(
    start_server: StartServer, tabs: Tabs
) -> None:
    """Else the one who comes back knows only that it failed, and tries in vain."""
    server = await start_server(app="tests.browser.stumbling:create_app")
    chat = await tabs.open(server)
    await chat.ask(WHY)
    await expect(chat.replies).to_contain_text(["The reply failed: The model is gone."])
    await chat.page.reload()
    await expect(chat.replies).to_contain_text(["The reply failed: The model is gone."])


async def test_a_problem_of_the_database_is_told_and_tried_again(
    start_server: StartServer, tabs: Tabs
) -> None:
    """Else the page stays empty, or a tick is shown that was never stored."""
    tabs.expect_complaints(FAILED_REQUEST)
    server = await start_server(FACEPLATE_LOCK_TIMEOUT_S="0.2")
    chat = await tabs.open(server)
    await chat.page.get_by_role("textbox", name="New task").fill("Call Oslo")
    await chat.page.keyboard.press("Enter")
    tick = chat.tasks.get_by_role("checkbox", name="Call Oslo")
    await expect(tick).to_be_visible()
    connection = await asyncpg.connect(server.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE faceplate.tasks")
            await tick.click()
            notice = chat.page.get_by_role("alert")
            await expect(notice).to_contain_text("The task was not saved.")
            await expect(notice).to_contain_text("The server took too long")
            await expect(tick).not_to_be_checked()
            await chat.page.reload()
            await expect(chat.tasks).to_contain_text("The server took too long")
            await chat.ask_and_hear("The chat goes on meanwhile")
        await chat.tasks.get_by_role("button", name="Try again").click()
        await expect(tick).to_be_visible()
        await expect(tick).not_to_be_checked()
    finally:
        await connection.close()


async def test_a_title_that_was_not_saved_is_the_old_one_again(
    start_server: StartServer, tabs: Tabs
) -> None:
    """Else the page shows a name that nothing has."""
    tabs.expect_complaints(FAILED_REQUEST)
    server = await start_server(FACEPLATE_LOCK_TIMEOUT_S="0.2", CHAT_TOKEN_DELAY_S="0")
    chat = await tabs.open(server)
    await chat.ask_and_hear("hello")
    connection = await asyncpg.connect(server.database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM faceplate.conversations FOR UPDATE")
            await chat.button("Rename").click()
            await chat.page.get_by_role("textbox", name="Title").fill("Greetings")
            await chat.page.keyboard.press("Enter")
            await expect(chat.page.get_by_role("alert")).to_contain_text("The title was not saved.")
            await expect(chat.title).to_have_text("hello")
        await chat.button("Try again").click()
        await expect(chat.title).to_have_text("Greetings")
        await expect(chat.page.get_by_role("alert")).to_be_hidden()
    finally:
        await connection.close()
    assert server.get("/api/conversations")["items"][0]["title"] == "Greetings"


async def test_a_refused_message_keeps_its_words(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else what the server does not take has to be written again."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    words = "What is this \0?"
    await chat.ask(words)
    await expect(chat.said.last).to_contain_text("This cannot be saved")
    await chat.button("Take it back").click()
    await expect(chat.field).to_have_value(words)


async def test_an_edit_that_failed_is_tried_again(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else the new text is lost, or trying again answers the old one."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("eins")
    await chat.page.route("**/edit", lambda route: route.abort())
    await chat.said.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit your message").fill("zwei")
    await chat.page.keyboard.press("Enter")
    await expect(chat.page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    await expect(chat.said.locator(".body")).to_have_text("eins")
    await chat.page.unroute("**/edit")
    await chat.button("Try again").click()
    await expect(chat.texts).to_contain_text(["zwei"])
    await expect(chat.said.locator(".body")).to_have_text("zwei")
    await expect(chat.page.get_by_role("alert")).to_be_hidden()


async def test_earlier_messages_that_did_not_come_are_asked_for_again(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else trying again does something else, such as removing the last reply."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("number 0")
    await fill(chat, chat_server, 26)
    await chat.page.reload()
    await expect(chat.said).to_have_count(25)
    await chat.page.route("**/messages?before=*", lambda route: route.abort())
    await chat.button("Earlier messages").click()
    await expect(chat.page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    await chat.page.unroute("**/messages?before=*")
    await chat.button("Try again").click()
    await expect(chat.said).to_have_count(27)
    await expect(chat.page.get_by_role("alert")).to_be_hidden()


async def test_a_server_that_is_not_there_is_waited_for(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a page that was opened a moment too early stays empty."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    await chat.page.route("**/api/**", lambda route: route.abort())
    await chat.page.reload()
    await expect(chat.page.get_by_text("The server cannot be reached")).to_be_visible()
    await chat.page.unroute("**/api/**")
    await chat.button("Try again").click()
    await expect(chat.said).to_contain_text(["hello"])
    await expect(chat.conversations).to_have_count(1)
