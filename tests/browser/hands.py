"""What a person does and sees on the page. Everything is found as a screen reader would find it."""

from typing import Literal

import pytest
from playwright.async_api import Locator, Page, expect
from tests.browser.serving import ChatServer


async def fill(chat: "Hands", server: ChatServer, count: int) -> None:
    """Ask so many questions more in the only conversation, not on the page."""
    (conversation,) = server.get("/api/conversations")["items"]
    for number in range(1, count + 1):
        answer = await chat.page.request.post(
            f"{server.url}/api/conversations/{conversation['id']}/replies",
            data={"content": f"number {number}"},
            headers={"X-Demo-User": "ada"},
        )
        assert answer.ok


class Hands:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.field = page.get_by_role("textbox", name="Message", exact=True)
        self.stop = page.get_by_role("button", name="Stop the reply")
        self.title = page.get_by_role("heading", level=1)
        self.conversations = page.get_by_role("navigation", name="Conversations").get_by_role(
            "listitem"
        )
        self.tasks = page.get_by_role("complementary", name="Tasks")
        self.said = page.get_by_role("article", name="You")
        self.replies = page.get_by_role("article", name="Assistant")
        self.regenerate = self.button("Regenerate").last

    @property
    def texts(self) -> Locator:
        """What the assistant said, without what stands around it."""
        return self.replies.locator(".body")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def conversation(self, title: str) -> Locator:
        return self.conversations.get_by_role("link", name=title)

    async def ask(self, text: str) -> None:
        """Send a message, whatever becomes of it."""
        await self.field.fill(text)
        await self.field.press("Enter")

    async def ask_and_hear(self, text: str) -> None:
        """Send a message and wait for the end of its reply."""
        count = await self.said.count()
        await self.ask(text)
        await expect(self.said).to_have_count(count + 1)
        await self.hear()

    async def hear(self) -> None:
        """Wait until the last reply is complete."""
        await expect(self.stop).to_be_hidden()
        await expect(self.regenerate).to_be_visible()

    async def ask_and_catch(self, text: str) -> str:
        """Send a message and return what is shown of its reply, in the middle of it."""
        await self.ask(text)
        await expect(self.texts.last).to_contain_text("You said:")
        await expect(self.stop).to_be_visible()
        return await self.shown()

    async def tab_to(
        self,
        name: str,
        role: Literal["button", "checkbox", "link", "textbox"] = "button",
        *,
        key: Literal["Tab", "Shift+Tab"] = "Tab",
    ) -> None:
        """Press the key until that has the focus: within one round of the page."""
        wanted = self.page.get_by_role(role, name=name, exact=role != "link")
        wanted = wanted.and_(self.page.locator(":focus"))
        for _ in range(60):
            await self.page.keyboard.press(key)
            if await wanted.count():
                return
        pytest.fail(f"{key} does not lead to {name}")

    async def shown(self) -> str:
        return await self.texts.last.inner_text()

    async def sign_in(self, name: str) -> None:
        await self.button(name).click()
        await expect(self.button(name)).to_have_attribute("aria-pressed", "true")
