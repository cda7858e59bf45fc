"""Nothing that was shown is lost: reloads, closed tabs, lost connections, servers that end."""

import asyncio
import signal

import pytest
from playwright.async_api import Route, expect
from tests.browser.conftest import FAILED_REQUEST, SLOW, StartServer, Tabs
from tests.browser.serving import ChatServer

BROKE_OFF = "Interrupted. What had arrived is kept."


def stored_in(server: ChatServer, user: str = "ada") -> list[tuple[str, str]]:
    """Role and text of every message of the user's only conversation."""
    (conversation,) = server.get("/api/conversations", user)["items"]
    messages = server.get(f"/api/conversations/{conversation['id']}/messages", user)["items"]
    return [(message["role"], message["content"]) for message in messages]


async def test_a_reload_in_the_middle_of_a_reply_keeps_what_was_shown(
    slow_chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a reload takes words away that somebody has read."""
    chat = await tabs.open(slow_chat_server)
    shown = await chat.ask_and_catch("hello")
    await chat.page.reload()
    await expect(chat.replies.last).to_contain_text(BROKE_OFF)
    assert (await chat.shown()).startswith(shown)
    await expect(chat.said).to_have_count(1)
    await expect(chat.title).to_have_text("hello")


async def test_a_stopped_reply_keeps_what_had_arrived(
    slow_chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else stopping a reply throws it away."""
    chat = await tabs.open(slow_chat_server)
    shown = await chat.ask_and_catch("hello")
    await chat.stop.click()
    await expect(chat.replies.last).to_contain_text(BROKE_OFF)
    await expect(chat.stop).to_be_hidden()
    await expect(chat.field).to_be_focused()
    assert (await chat.shown()).startswith(shown)
    await chat.page.reload()
    await expect(chat.replies.last).to_contain_text(BROKE_OFF)
    assert (await chat.shown()).startswith(shown)
    await chat.regenerate.click()
    await expect(chat.stop).to_be_visible()
    await expect(chat.replies).to_have_count(1)
    await expect(chat.page.get_by_text(BROKE_OFF)).to_be_hidden()


async def test_a_closed_tab_loses_nothing(slow_chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a user who closes the tab during a reply finds less than they had read."""
    context = await tabs.context()
    chat = await tabs.open(slow_chat_server, context=context)
    shown = await chat.ask_and_catch("hello")
    await chat.page.close()
    chat = await tabs.open(slow_chat_server, context=context)
    await chat.conversation("hello").click()
    await expect(chat.replies.last).to_contain_text(BROKE_OFF)
    assert (await chat.shown()).startswith(shown)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_server_that_ends_in_the_middle_of_a_reply_loses_nothing(
    start_server: StartServer, tabs: Tabs, how: signal.Signals
) -> None:
    """Else a deployment takes words away that somebody has read, or a reply never ends."""
    tabs.expect_complaints(FAILED_REQUEST)
    server = await start_server(**SLOW)
    chat = await tabs.open(server)
    await chat.ask_and_catch("hello")
    await asyncio.to_thread(server.stop, how)
    await expect(chat.page.get_by_text("Connection lost. Reconnecting…")).to_be_visible()
    shown = await chat.shown()
    await asyncio.to_thread(server.start)
    await expect(chat.replies.last).to_contain_text(BROKE_OFF)
    await expect(chat.page.get_by_text("Reconnecting")).to_be_hidden()
    assert (await chat.shown()).startswith(shown)
    await chat.regenerate.click()
    await expect(chat.stop).to_be_visible()
    await expect(chat.replies).to_have_count(1)


async def test_a_message_whose_answer_was_lost_is_there_once(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a bad connection makes two messages of one, or none."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    attempts: list[str] = []

    async def lose_two(route: Route) -> None:
        sent = route.request.post_data_json
        assert sent
        attempts.append(sent["id"])
        if len(attempts) == 1:  # it never arrives
            await route.abort()
        elif len(attempts) == 2:  # it arrives and is stored; the answer does not come back
            assert (await route.fetch()).ok
            await route.abort()
        else:
            await route.continue_()

    await chat.page.route("**/replies", lose_two)
    await chat.ask_and_hear("Only once")
    assert len(attempts) == 3
    assert len(set(attempts)) == 1
    await expect(chat.said).to_have_count(1)
    await expect(chat.replies).to_have_count(1)
    assert [role for role, _ in stored_in(chat_server)] == ["user", "assistant"]
    await chat.page.reload()
    await expect(chat.said).to_have_count(1)


async def test_a_message_that_could_not_be_sent_waits_for_its_sender(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a message is gone with the connection."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    await chat.page.route("**/replies", lambda route: route.abort())
    await chat.ask("Still here?")
    await expect(chat.said.last).to_contain_text("The server cannot be reached")
    await chat.page.reload()
    await expect(chat.said.last).to_contain_text("Still here?")
    await expect(chat.said.last).to_contain_text("It was not sent")
    await chat.page.unroute("**/replies")
    await chat.button("Send again").click()
    await expect(chat.texts).to_have_count(2)
    await chat.hear()
    assert [role for role, _ in stored_in(chat_server)] == ["user", "assistant"] * 2
    assert stored_in(chat_server)[2] == ("user", "Still here?")


async def test_a_first_message_that_could_not_be_sent_waits_too(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a new conversation is lost with its first message."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.page.route("**/api/conversations", lambda route: route.abort())
    await chat.ask("Hello?")
    await expect(chat.said).to_contain_text(["The server cannot be reached"])
    await chat.page.unroute("**/api/conversations")
    await chat.page.reload()
    await expect(chat.said).to_contain_text(["Hello?"])
    await chat.button("Send again").click()
    await chat.hear()
    await expect(chat.said).to_have_count(1)
    await expect(chat.conversations).to_have_count(1)
    assert [role for role, _ in stored_in(chat_server)] == ["user", "assistant"]


async def test_a_message_that_was_not_sent_can_be_taken_back(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else what was refused once stands in the way for ever."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    await chat.page.route("**/replies", lambda route: route.abort())
    await chat.ask("Wrong words")
    await expect(chat.said.last).to_contain_text("The server cannot be reached")
    await chat.button("Take it back").click()
    await expect(chat.field).to_have_value("Wrong words")
    await expect(chat.said).to_have_count(1)
    await chat.page.reload()
    await expect(chat.field).to_have_value("Wrong words")


async def test_a_first_message_that_was_taken_back_leaves_a_new_chat(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a reload looks for a conversation that was never begun."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.page.route("**/api/conversations", lambda route: route.abort())
    await chat.ask("Hello?")
    await chat.button("Take it back").click()
    await chat.page.unroute("**/api/conversations")
    await chat.page.reload()
    await expect(chat.page.get_by_text("What is on your mind?")).to_be_visible()
    await expect(chat.field).to_have_value("Hello?")
    await chat.field.press("Enter")
    await chat.hear()
    await expect(chat.conversations).to_have_count(1)


async def test_unsent_words_are_kept_for_each_conversation(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a reload, or a look at another conversation, takes a half-written message."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("first")
    await chat.field.fill("half a thou")
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(chat.field).to_have_value("")
    await chat.field.fill("another one")
    await chat.page.reload()
    await expect(chat.field).to_have_value("another one")
    await chat.conversation("first").click()
    await expect(chat.field).to_have_value("half a thou")


async def test_replies_do_not_mix_between_conversations(
    slow_chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else the words of one conversation, or of one user, turn up in another."""
    chat = await tabs.open(slow_chat_server)
    await chat.ask_and_catch("apples")
    await chat.page.get_by_role("link", name="New chat").click()
    await chat.ask_and_catch("pears")
    await expect(chat.texts).to_have_count(1)
    await expect(chat.texts).not_to_contain_text("apples")

    await chat.sign_in("Grace")
    await chat.ask_and_catch("plums")
    await expect(chat.texts).to_have_count(1)
    await expect(chat.conversations).to_have_count(1)

    await chat.sign_in("Ada")
    for fruit, others in (("apples", "pears plums"), ("pears", "apples plums")):
        await chat.conversation(fruit).click()
        await expect(chat.said).to_contain_text([fruit])
        # It went on while nobody looked.
        await expect(chat.stop).to_be_visible()
        await expect(chat.texts).to_contain_text(fruit)
        for other in others.split():
            await expect(chat.texts).not_to_contain_text(other)
