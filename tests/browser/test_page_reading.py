"""What a reader sees first, reads, and takes along: suggestions, Markdown, copies, a way back."""

import pytest
from playwright.async_api import expect
from tests.browser.conftest import FAILED_REQUEST, PHONE, Tabs
from tests.browser.serving import ChatServer
from tests.browser.test_page_access import barriers

CODE = "SELECT 1;\n\n  SELECT 2;"
WRITTEN = f"""# A *plan*

1. first
   - inside
2. second, with `code`

> quoted **text**

| a | b |
|---|--:|
| x | **1** |

```sql
{CODE}
```
See [the manual](https://www.postgresql.org/docs/) and [this](javascript:alert(1)).
"""


async def test_a_reply_keeps_its_lines_and_its_markdown(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a list is one long line, and a table is a heap of bars."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear(WRITTEN)
    reply = chat.texts
    await expect(reply.get_by_role("heading", name="A plan")).to_be_visible()
    await expect(reply.locator("ol > li")).to_have_count(2)
    await expect(reply.locator("ol > li > ul > li")).to_have_text(["inside"])
    await expect(reply.locator("blockquote strong")).to_have_text("text")
    await expect(reply.get_by_role("columnheader")).to_have_text(["a", "b"])
    await expect(reply.get_by_role("cell").locator("strong")).to_have_text("1")
    await expect(reply.locator("pre")).to_have_text(CODE)
    link = reply.get_by_role("link")
    await expect(link).to_have_text(["the manual"])
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(reply).to_contain_text("[this](javascript:alert(1))")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("## **Bold** plans, with `code`", "Bold plans, with code"),
        ("```python\nimport csv", "import csv"),
        ("> - a [link](https://www.postgresql.org/)\n\nmore", "a link"),
        ("| a | b |\n|---|---|", "a, b"),
        ("Compare these two:\n- one\n- two", "Compare these two"),
        ("snake_case and 2 * 3 * 4", "snake_case and 2 * 3 * 4"),
        ("```\n```", "New Chat"),
    ],
)
async def test_a_title_is_plain_text(
    chat_server: ChatServer, tabs: Tabs, text: str, title: str
) -> None:
    """Else the side bar is full of asterisks."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear(text)
    await expect(chat.title).to_have_text(title)


async def test_a_heap_of_marks_is_shown(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else one message stops the page of its readers."""
    chat = await tabs.open(chat_server)
    heap = "**a_[`~~" * 25_000 + "*" * 100_000
    await chat.ask_and_hear(heap)
    shown = await chat.texts.evaluate("body => body.textContent")
    assert shown.count("a") > 25_000
    await chat.ask_and_hear("and on")


async def test_code_and_messages_are_copied(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a reader selects by hand, and takes the numbers of the page along."""
    context = await tabs.context(permissions=["clipboard-read", "clipboard-write"])
    chat = await tabs.open(chat_server, context=context)
    await chat.ask_and_hear(WRITTEN)
    status = chat.page.locator("#announcer")
    (stored,) = chat_server.get("/api/conversations")["items"]
    _, reply = chat_server.get(f"/api/conversations/{stored['id']}/messages")["items"]
    question = WRITTEN.strip()
    for button, text in (
        (chat.replies.get_by_role("button", name="Copy code"), CODE),
        (chat.said.get_by_role("button", name="Copy", exact=True), question),
        (chat.replies.get_by_role("button", name="Copy", exact=True), reply["content"]),
    ):
        await chat.page.evaluate("document.getElementById('announcer').textContent = ''")
        await button.click()
        await expect(status).to_have_text("Copied.")
        await expect(button).to_have_attribute("title", "Copied.")
        assert await chat.page.evaluate("navigator.clipboard.readText()") == text


async def test_a_copy_that_is_refused_says_so(chat_server: ChatServer, tabs: Tabs) -> None:
    """Else a reader pastes what they had copied before."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    refuse = "() => Promise.reject(new DOMException('', 'NotAllowedError'))"
    await chat.page.evaluate(f"() => {{ navigator.clipboard.writeText = {refuse} }}")
    await chat.replies.get_by_role("button", name="Copy").click()
    status = chat.page.locator("#announcer")
    await expect(status).to_have_text("The browser did not allow to copy.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_suggestion_begins_a_chat(chat_server: ChatServer, tabs: Tabs, scheme: str) -> None:
    """Else a newcomer looks at an empty field, and never sees what the chat can do."""
    context = await tabs.context(color_scheme=scheme, reduced_motion="reduce")
    chat = await tabs.open(chat_server, context=context)
    suggestions = chat.page.get_by_role("list", name="Suggestions").get_by_role("button")
    await expect(suggestions).to_have_count(4)
    await chat.field.fill("Mine, not sent yet")
    await suggestions.filter(has_text="Markdown").click()
    await chat.hear()
    await expect(chat.texts.get_by_role("table")).to_be_visible()
    await expect(chat.title).to_have_text("Show me some Markdown")
    await expect(suggestions).to_have_count(0)
    assert await barriers(chat.page) == []
    await chat.page.set_viewport_size(PHONE)
    assert await barriers(chat.page) == []
    width = await chat.page.evaluate("document.getElementById('scroller').scrollWidth")
    assert width <= PHONE["width"]  # what is wide scrolls by itself


@pytest.mark.parametrize(
    ("suggestion", "answer"),
    [
        ("How is the weather in Oslo?", "degrees"),
        ("Remind me to water the plants", "is on your list"),
        ("Count to 300", "299, 300."),
    ],
)
async def test_each_suggestion_is_answered(
    chat_server: ChatServer, tabs: Tabs, suggestion: str, answer: str
) -> None:
    """Else the first thing that a newcomer tries leads nowhere."""
    chat = await tabs.open(chat_server)
    await chat.page.get_by_role("button", name=suggestion).click()
    await chat.hear()
    await expect(chat.texts.last).to_contain_text(answer)


async def test_there_is_a_way_back_from_a_conversation_that_is_not_there(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else a stale link ends at a button that fails again and again."""
    tabs.expect_complaints(FAILED_REQUEST)
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("hello")
    (stored,) = chat_server.get("/api/conversations")["items"]
    chat = await tabs.open(chat_server, f"#grace/{stored['id']}")
    told = chat.page.get_by_role("alert").filter(has_text="This conversation is not here")
    await expect(told).to_be_visible()
    await expect(chat.field).to_be_disabled()
    assert await barriers(chat.page) == []
    await told.get_by_role("link", name="Start a new chat").press("Enter")
    await expect(chat.page.get_by_text("What is on your mind?")).to_be_visible()
    await expect(chat.field).to_be_focused()
    await chat.ask_and_hear("on with it")


async def test_the_actions_of_a_long_question_stand_beside_it(
    chat_server: ChatServer, tabs: Tabs
) -> None:
    """Else they leave a gap between the question and its reply."""
    chat = await tabs.open(chat_server)
    await chat.ask_and_hear("A question of more than one line. " * 8)
    question, reply = chat.said.first, chat.replies.first
    bubble = await question.locator(".body").bounding_box()
    actions = await question.locator(".message-foot").bounding_box()
    assert bubble
    assert actions
    assert actions["x"] + actions["width"] <= bubble["x"]
    below = await reply.bounding_box()
    assert below
    assert below["y"] - (bubble["y"] + bubble["height"]) < 24
