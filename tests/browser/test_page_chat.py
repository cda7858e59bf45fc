"""A conversation in the browser: said, answered, changed, taken away."""

import asyncio

from playwright.async_api import Route, expect
from tests.browser.conftest import FAILED_REQUEST, Tabs
from tests.browser.hands import fill
from tests.browser.serving import ChatServer


async def test_a_message_is_answered_and_both_are_stored(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else there is no chat."""
    chat = await tabs.open(chat_server)
    await expect(chat.page.get_by_text("What is on your mind?")).to_be_visible()
    await expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()
    await chat.ask_and_hear("Good morning\nto you all")
    await expect(chat.said.locator(".body")).to_have_text(["Good morning\nto you all"])
    await expect(chat.texts).to_contain_text(["Good morning to you all"])
    await expect(chat.title).to_have_text("Good morning")
    await expect(chat.conversations).to_have_count(1)

    (stored,) = chat_server.get("/api/conversations")["items"]
    assert (stored["title"], stored["message_count"]) == ("Good morning", 2)
    assert chat.page.url == f"{chat_server.url}/#ada/{stored['id']}"
    messages = chat_server.get(f"/api/conversations/{stored['id']}/messages")["items"]
    assert [(m["role"], m["status"]) for m in messages] == [
        ("user", "complete"),
        ("assistant", "complete"),
    ]
    assert messages[0]["content"] == "Good morning\nto you all"


async def test_a_title_is_cut_between_characters(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else half a character is left at its end, and the server refuses the first message."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("a" * 58 + "🦊🦊🦊")
    await expect(chat.title).to_have_text("a" * 58 + "🦊…")


async def test_a_reply_is_shown_while_it_arrives(slow_chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a reader waits for the last word before seeing the first one."""
    chat = await tabs.open(slow_chat_server)
    caught = await chat.ask_and_catch("one two three")
    await expect(chat.texts.last).not_to_have_text(caught)
    await expect(chat.stop).to_be_visible()
    grown = await chat.shown()
    assert grown.startswith(caught)
    assert "come back" not in grown


async def test_the_newest_activity_comes_first(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else the conversation one is in is somewhere down the list."""
    chat = await tabs.open(chat_server)
    for text in ("first", "second"):
        await chat.page.get_by_role("link", name="New chat").click()
        await expect(chat.title).to_have_text("New chat")
        await chat.ask_and_hear(text)
    await expect(chat.conversations).to_contain_text(["second", "first"])
    await chat.conversation("first").click()
    await expect(chat.said).to_contain_text(["first"])
    await chat.ask_and_hear("and more")
    await expect(chat.conversations).to_contain_text(["first", "second"])
    await chat.page.reload()
    await expect(chat.conversations).to_contain_text(["first", "second"])


async def test_long_lists_come_page_by_page(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else what is older than the first page cannot be reached."""
    chat = await tabs.open(chat_server)
    for number in range(35):
        body = {"title": f"chat {number:02}"}
        answer = await chat.page.request.post(
            f"{chat_server.url}/api/conversations", data=body, headers={"X-Demo-User": "ada"}
        )
        assert answer.ok
    await chat.page.reload()
    await expect(chat.conversations).to_have_count(30)
    await expect(chat.conversations.first).to_contain_text("chat 34")
    await chat.button("Older chats").click()
    await expect(chat.conversations).to_have_count(35)
    await expect(chat.conversations.last).to_contain_text("chat 00")
    await expect(chat.button("Older chats")).to_be_hidden()


async def test_earlier_messages_come_when_asked_for(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else the beginning of a long conversation is lost to its reader."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("number 0")
    await fill(chat, chat_server, 29)
    await chat.page.reload()
    await expect(chat.said).to_have_count(25)
    await expect(chat.said.last).to_be_in_viewport()
    await chat.button("Earlier messages").click()
    await expect(chat.said).to_have_count(30)
    await expect(chat.said.first).to_contain_text("number 0")
    await expect(chat.button("Earlier messages")).to_be_hidden()


async def test_a_tool_call_is_shown_with_its_result(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else nobody sees what was done in their name."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("How is the weather in Oslo?")
    call = chat.replies.first.get_by_role("group")
    await expect(call).to_contain_text("weather")
    await expect(call.get_by_text("Arguments")).to_be_hidden()
    await call.locator("summary").click()
    await expect(call.get_by_label("Arguments")).to_contain_text('"place": "Oslo"')
    await expect(call.get_by_label("Result")).to_contain_text("Oslo: 23 degrees, rain")
    await expect(chat.replies.last).to_contain_text("I have asked a tool")
    await chat.page.reload()
    await expect(chat.replies).to_have_count(2)
    await expect(call).to_contain_text("done")


async def test_markup_in_messages_is_text(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a message runs programs in its reader's browser."""
    chat = await tabs.open(chat_server)
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script> **loud** `code`"
    await chat.ask_and_hear(hostile)
    await expect(chat.said.locator(".body")).to_have_text(hostile)
    await expect(chat.texts).to_contain_text("<script>alert(2)</script> loud code")
    await expect(chat.texts.locator("strong")).to_have_text("loud")
    await expect(chat.page.locator("img, article script")).to_have_count(0)


async def test_a_conversation_is_renamed_in_place(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else every conversation keeps the name of its first words."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    await chat.button("Rename").click()
    field = chat.page.get_by_role("textbox", name="Title")
    await field.fill("Not this")
    await field.press("Escape")
    await expect(chat.title).to_have_text("hello")
    await expect(chat.button("Rename")).to_be_focused()
    await chat.button("Rename").press("Enter")
    await field.fill("Greetings")
    await field.press("Enter")
    await expect(chat.title).to_have_text("Greetings")
    await expect(chat.conversations).to_contain_text(["Greetings"])
    await expect(chat.page).to_have_title("Greetings · faceplate chat")
    await chat.page.reload()
    await expect(chat.title).to_have_text("Greetings")


async def test_an_edited_message_takes_the_place_of_what_followed(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a mistyped question stays in the conversation, with its answer."""
    chat = await tabs.open(chat_server)
    for text in ("one", "two", "three"):
        await chat.ask_and_hear(text)
    await chat.said.nth(1).hover()
    await chat.said.nth(1).get_by_role("button", name="Edit").click()
    field = chat.page.get_by_role("textbox", name="Edit your message")
    await expect(field).to_be_focused()
    await field.press("Escape")
    await expect(chat.said).to_have_count(3)
    await chat.said.nth(1).get_by_role("button", name="Edit").click()
    await field.fill("zwei")
    await field.press("Enter")
    await expect(chat.said.locator(".body")).to_have_text(["one", "zwei"])
    await chat.hear()
    await expect(chat.texts).to_contain_text(["one", "zwei"])
    await chat.page.reload()
    await expect(chat.said.locator(".body")).to_have_text(["one", "zwei"])
    await expect(chat.replies).to_have_count(2)


async def test_a_reply_is_given_again(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a bad reply is the last word."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    (stored,) = chat_server.get("/api/conversations")["items"]
    path = f"/api/conversations/{stored['id']}/messages"
    before = chat_server.get(path)["items"]
    async with chat.page.expect_response("**/regenerate"):
        await chat.regenerate.click()
    await chat.hear()
    await expect(chat.replies).to_have_count(1)
    after = chat_server.get(path)["items"]
    assert after[0] == before[0]
    assert len(after) == 2
    assert after[1]["id"] != before[1]["id"]


async def test_a_conversation_is_deleted_once_it_is_confirmed(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else one slip of the mouse takes a conversation away, or nothing ever does."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    await chat.button("Delete").click()
    dialog = chat.page.get_by_role("dialog", name="Delete this conversation?")
    await expect(dialog).to_contain_text("“hello”")
    await expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    await chat.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(chat.button("Delete")).to_be_focused()
    await expect(chat.conversations).to_have_count(1)
    await chat.button("Delete").click()
    await dialog.get_by_role("button", name="Delete").click()
    await expect(dialog).to_be_hidden()
    await expect(chat.conversations).to_have_count(0)
    await expect(chat.page.get_by_text("What is on your mind?")).to_be_visible()
    await expect(chat.field).to_be_focused()
    assert chat_server.get("/api/conversations")["items"] == []


async def test_a_conversation_is_deleted_in_the_middle_of_a_reply(
    slow_chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else what was deleted comes back, or the page asks for it for ever."""
    chat = await tabs.open(slow_chat_server)
    await chat.ask_and_catch("hello")
    await chat.button("Delete").click()
    await chat.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(chat.conversations).to_have_count(0)
    assert slow_chat_server.get("/api/conversations")["items"] == []


async def test_tasks_are_added_ticked_and_deleted(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else the list beside the chat is a picture."""
    chat = await tabs.open(chat_server)
    await expect(chat.tasks).to_contain_text("Nothing to do.")
    field = chat.page.get_by_role("textbox", name="New task")
    for title in ("Call Oslo", "Write"):
        await field.fill(title)
        await field.press("Enter")
        await expect(field).to_have_value("")
        await expect(chat.tasks.get_by_role("checkbox", name=title)).to_be_visible()
    await expect(chat.tasks.get_by_role("listitem")).to_have_text(["Write", "Call Oslo"])
    async with chat.page.expect_response("**/api/tasks/*"):
        await chat.tasks.get_by_role("checkbox", name="Call Oslo").check()
    await expect(chat.tasks).to_contain_text("1 open")
    async with chat.page.expect_response("**/api/tasks/*"):
        await chat.button("Delete task Write").click()
    await chat.page.reload()
    await expect(chat.tasks.get_by_role("listitem")).to_have_text(["Call Oslo"])
    await expect(chat.tasks.get_by_role("checkbox", name="Call Oslo")).to_be_checked()


async def test_a_task_is_not_taken_before_the_page_knows_whose_it_is(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else one that is typed on a slow line is gone without a word."""
    context = await tabs.context()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def later(route: Route) -> None:
        asked.set()
        await answer.wait()
        await route.continue_()

    await context.route("**/api/users", later)
    chat = await tabs.open(chat_server, context=context)
    await asked.wait()
    field = chat.page.get_by_role("textbox", name="New task")
    await expect(field).to_be_disabled()
    answer.set()
    await field.fill("Call Oslo")
    await field.press("Enter")
    await expect(chat.tasks.get_by_role("checkbox", name="Call Oslo")).to_be_visible()


async def test_a_task_that_the_model_made_stands_on_the_list(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else the tool says it did something of which nothing is seen."""
    chat = await tabs.open(chat_server)
    await expect(chat.tasks).to_contain_text("Nothing to do.")
    await chat.ask_and_hear("Please remember to water the plants.")
    await expect(chat.tasks.get_by_role("checkbox", name="water the plants")).to_be_visible()


async def test_nothing_of_another_user_is_seen(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else one user reads what another one has written."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("Ada's own secret")
    address = chat.page.url
    await chat.page.get_by_role("textbox", name="New task").fill("Ada's task")
    await chat.page.keyboard.press("Enter")
    await expect(chat.tasks.get_by_role("checkbox")).to_have_count(1)
    await chat.field.fill("Ada's unsent words")

    await chat.sign_in("Grace")
    await expect(chat.page.get_by_text("What is on your mind?")).to_be_visible()
    await chat.sign_in("Ada")
    await chat.sign_in("Grace")
    await expect(chat.page.get_by_text("What is on your mind?")).to_be_visible()
    await expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()
    await expect(chat.tasks).to_contain_text("Nothing to do.")
    await expect(chat.field).to_have_value("")
    await expect(chat.page.get_by_text("Ada's")).to_have_count(0)

    # A link to it is worth nothing to somebody else.
    await chat.page.goto(address.replace("#ada/", "#grace/"))
    await expect(chat.page.get_by_text("This conversation is not here")).to_be_visible()
    await expect(chat.page.get_by_text("Ada's")).to_have_count(0)

    await chat.page.goto(address)
    await expect(chat.said).to_contain_text(["Ada's own secret"])
    await expect(chat.field).to_have_value("Ada's unsent words")
