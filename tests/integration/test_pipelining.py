"""When statements are pipelined, and that a unit works the same where they are not."""

import asyncio
import inspect
import logging
import re
from collections.abc import Iterator
from importlib.metadata import requires
from uuid import uuid4

import pytest

from faceplate import Database, Settings
from faceplate._driver import pipelining
from faceplate._driver.wire import Wire
from faceplate.services import conversations, messages, users

PASSED = [
    "database",
    "_runner/retry",
    "services/messages/_writing",
    "services/_appending",
    "scope",
    "_transaction/transaction",
    "_driver/shielding",
    "_driver/connection",
    "_driver/wire",
]
"""As docs/architecture.md says."""


class UnknownLoop(asyncio.SelectorEventLoop):
    """An event loop that is neither asyncio's nor uvloop's, as far as its name says."""


@pytest.fixture
def unwarned() -> Iterator[None]:
    """Forget what was warned of and decided in this process."""

    def forget() -> None:
        pipelining._warn.cache_clear()
        pipelining._obstacle.cache_clear()

    forget()
    yield
    forget()


async def _append(settings: Settings) -> tuple[bool, list[str]]:
    """Return whether the connections were pipelined, and what was stored."""
    async with Database(settings) as db:
        user = await db.run_system(users.ensure, f"pipelining-{uuid4()}")
        chat = await db.run(user.id, conversations.create)
        await db.run(user.id, messages.append, chat.id, role="user", content="one")
        async with db.begin(user.id) as scope:
            is_pipelined = scope._driver.is_pipelined
            stored = await messages.history(scope, chat.id)
        return is_pipelined, [message.content for message in stored]


@pytest.mark.pipelined
async def test_statements_are_pipelined(settings: Settings) -> None:
    """Else all that the fast lane promises is measured on the plain one."""
    assert await _append(settings) == (True, ["one"])


@pytest.mark.pipelined
async def test_an_append_passes_few_modules(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a reader who follows a call to its bytes meets modules that the page does not name."""
    passed: list[str] = []
    write = Wire.write

    def look(wire: Wire, data: bytes) -> None:
        frame = inspect.currentframe()
        while frame is not None:
            module = str(frame.f_globals["__name__"])
            if module.startswith("faceplate.") and module not in passed:
                passed.append(module)
            frame = frame.f_back
        write(wire, data)

    async with Database(settings) as db:
        user = await db.run_system(users.ensure, f"pipelining-{uuid4()}")
        chat = await db.run(user.id, conversations.create)
        for _ in range(2):  # the first one prepares
            await db.run(user.id, messages.append, chat.id, role="user", content="one")
        monkeypatch.setattr(Wire, "write", look)
        await db.run(user.id, messages.append, chat.id, role="user", content="two")
        monkeypatch.undo()
    names = [module.removeprefix("faceplate.").replace(".", "/") for module in reversed(passed)]
    assert [*names, "_driver/wire"] == PASSED


async def test_a_setting_switches_it_off(settings: Settings) -> None:
    """Else somebody whom it harms has to wait for a release."""
    plain = settings.model_copy(update={"pipelining": False})
    assert await _append(plain) == (False, ["one"])


@pytest.mark.pipelined
@pytest.mark.usefixtures("unwarned")
def test_an_unknown_event_loop_is_served_by_public_means(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a unit hangs, or is answered wrongly, in a loop whose transports differ."""
    for _ in range(2):
        with asyncio.Runner(loop_factory=UnknownLoop) as runner:
            assert runner.run(_append(settings)) == (False, ["one"])
    [record] = [each for each in caplog.records if "not pipelined" in each.message]
    assert (record.name, record.levelno) == ("faceplate", logging.WARNING)
    assert "the event loop of " in record.message


@pytest.mark.pipelined
@pytest.mark.usefixtures("unwarned")
async def test_an_unknown_driver_is_used_by_public_means(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a new asyncpg that sends or reads otherwise corrupts what it should carry."""
    monkeypatch.setattr(pipelining, "TESTED_DRIVERS", ((0, 1), (0, 2)))
    assert await _append(settings) == (False, ["one"])
    assert "asyncpg 0." in caplog.text


@pytest.mark.usefixtures("unwarned")
@pytest.mark.parametrize("version", ["0.99.0", "0.99rc1", "1", "unknown"])
def test_any_version_of_the_driver_is_told_from_those_tested(version: str) -> None:
    """Else a release candidate of the driver lets nobody connect."""
    assert pipelining._obstacle(version, "asyncio") == f"asyncpg {version}"


def test_the_package_asks_for_the_drivers_that_were_tested() -> None:
    """Else a new driver is installed that nobody has tried, or one is refused that works."""
    [asked] = [each for each in requires("faceplate") or () if each.startswith("asyncpg<")]
    ceiling, floor = re.fullmatch(r"asyncpg<0\.(\d+),>=0\.(\d+)", asked).groups()  # type: ignore[union-attr]  # else the test fails, as it should
    oldest, newest = pipelining.TESTED_DRIVERS
    assert ((0, int(floor)), (0, int(ceiling) - 1)) == (oldest, newest)
