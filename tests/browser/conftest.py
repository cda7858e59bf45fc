"""The example chat in Debian's Chromium, driven by Playwright.

The servers are shared; a test begins with nothing in their databases. It fails by what the page's
console says, too: an error, a warning, or something that the Content-Security-Policy has refused.
Screenshots go to build/screenshots.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    ViewportSize,
    async_playwright,
    expect,
)
from sqlalchemy import make_url
from tests.browser.hands import Hands
from tests.browser.serving import ROOT, ChatServer, serving
from tests.conftest import _database
from tests.postgres import Server, dsn, execute

CHROMIUM = shutil.which("chromium")
WHY_NOT = "chromium is not installed: apt-get install chromium"
REQUIRED = "FACEPLATE_TEST_BROWSER"
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = ViewportSize(width=1320, height=820)
PHONE = ViewportSize(width=360, height=740)
TIMEOUT_MS = 60_000.0
# What Chromium says of any request that fails, where a test has one fail on purpose.
FAILED_REQUEST = "Failed to load resource"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder on the event loop that the browser lives on."""
    is_optional = os.environ.get(REQUIRED) != "required"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.skipif(CHROMIUM is None and is_optional, reason=WHY_NOT))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests. Without one they are skipped, or fail where it is required."""
    assert CHROMIUM, WHY_NOT
    expect.set_options(timeout=TIMEOUT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        await browser.close()


StartServer = Callable[..., Awaitable[ChatServer]]
FAST = {"CHAT_TOKEN_DELAY_S": "0.002", "CHAT_SAVE_EVERY_S": "0.02"}
# So slow that a test which has seen the first words is always in the middle of a reply.
SLOW = {"CHAT_TOKEN_DELAY_S": "0.5", "CHAT_SAVE_EVERY_S": "0.02"}


@pytest.fixture
def start_server(make_database: Callable[[], str], tmp_path: Path) -> Iterator[StartServer]:
    """Start a server of the test's own, over its own database; keywords are settings of it."""
    with ExitStack() as stack:

        async def start(**options: str) -> ChatServer:
            url = await asyncio.to_thread(make_database)  # which has a loop of its own
            log = tmp_path / "server.log"
            return await asyncio.to_thread(stack.enter_context, serving(url, log, **options))

        yield start


@pytest.fixture(scope="session")
def serve(
    server: Server, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., ChatServer]]:
    """Return the server with these settings that all tests share."""
    started: dict[str, ChatServer] = {}
    with ExitStack() as stack:

        def serve(**settings: str) -> ChatServer:
            name = str(settings)
            if name not in started:
                url = stack.enter_context(_database(server, template_database))
                log = tmp_path_factory.mktemp("chat") / "server.log"
                started[name] = stack.enter_context(serving(dsn(url), log, **settings))
            return started[name]

        yield serve


@pytest.fixture
def chat_server(serve: Callable[..., ChatServer]) -> ChatServer:
    """A server whose replies take no time, with nothing in its database."""
    return emptied(serve(**FAST))


@pytest.fixture
def slow_chat_server(serve: Callable[..., ChatServer]) -> ChatServer:
    """A server whose replies take long, with nothing in its database."""
    return emptied(serve(**SLOW))


def emptied(chat_server: ChatServer) -> ChatServer:
    """The example has two users, so what they have must go before another test is them."""
    url = make_url(chat_server.database_url)
    execute(url, "TRUNCATE faceplate.conversations, faceplate.tasks CASCADE")
    return chat_server


class Tabs:
    """Opens pages, and keeps what their consoles complain of."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._complaints: list[str] = []
        self._expected: tuple[str, ...] = ()

    async def context(self, **options: Any) -> BrowserContext:
        """Somebody's browser, with its own storage."""
        context = await self._browser.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(TIMEOUT_MS)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._complaints.append(str(error.error)))
        self._contexts.append(context)
        return context

    async def open(
        self, server: ChatServer, address: str = "", *, context: BrowserContext | None = None
    ) -> Hands:
        """Open the page in a context that is there, or in a new one."""
        page = await (context or await self.context()).new_page()
        await page.goto(f"{server.url}/{address}")
        return Hands(page)

    def expect_complaints(self, *beginnings: str) -> None:
        """Let the console complain of what a test does on purpose."""
        self._expected = beginnings

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._complaints.append(message.text)

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()
        left = [text for text in self._complaints if not text.startswith(self._expected or "\0")]
        assert not left, f"the console complained: {left}"


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(browser: Browser) -> AsyncIterator[Tabs]:
    tabs = Tabs(browser)
    yield tabs
    await tabs.close()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder for pictures of the page."""
    folder = ROOT / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
