"""A watch: a connection of its own to one server, which is asked again and again."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

from faceplate._driver.connecting import open_pooled_connection, with_mapped_errors
from faceplate._driver.connection import Connection
from faceplate._driver.error_mapping import map_connect_error
from faceplate._replicas.position import Position
from faceplate.config import Settings

logger = logging.getLogger("faceplate")

NOT_ASKED = "it has not been asked yet"
NOT_ASKED_ANY_MORE = "it is not asked any more"
OnConnect = Callable[[Connection], object]

PACE_S = 1.0
"""The time from one answer to the next question, where nobody hurries it."""
SHORTEST_PAUSE_S = 0.002
"""The time from one answer to the next question, however often it is hurried."""
ANSWER_S = 2.0
"""How long an answer may take before the server counts as gone."""
RECONNECT_S = 1.0
"""The time from a failure to the next attempt to connect."""


class Watch(ABC):
    """How far one server is, as it said last."""

    position: Position | None = None
    """What it said last; None before its first answer, and while it cannot be asked."""
    asked_s: float = float("-inf")
    """When it was asked for that, by the monotonic clock."""
    problem: str | None = NOT_ASKED
    """Why it cannot be used, or None."""
    has_units_role = True
    """Whether it is asked with the role of units."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._answer = self._loop.create_future()
        self._hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, on_connect: OnConnect) -> None:
        """Begin to ask. ``on_connect`` is called with each connection, and may refuse it."""
        self._task = asyncio.create_task(self._run(on_connect), name="faceplate-watch")

    def cancel(self) -> None:
        """Ask no more. `ended` tells when the connection is closed."""
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Return when it asks no more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    @property
    def target(self) -> str:
        """The server's name in messages."""
        return self._settings.target

    @property
    def next_answer(self) -> "asyncio.Future[None]":
        """A future that ends with the next answer, or when there is none. Do not cancel it."""
        return self._answer

    def hurry(self) -> None:
        """Ask as soon as possible."""
        self._hurried.set()

    async def _run(self, on_connect: OnConnect) -> None:
        try:
            while True:
                try:
                    await self._ask_until_it_fails(on_connect)
                except Exception as error:  # noqa: BLE001 - a function for the password raises anything
                    failure = map_connect_error(error, target=self.target, limit_s=ANSWER_S)
                    self._forget(failure.message)
                self._tell()
                await asyncio.sleep(RECONNECT_S)  # a server that is gone is not asked all the time
        finally:
            self.problem = NOT_ASKED_ANY_MORE  # which is no news
            self._forget(NOT_ASKED_ANY_MORE)
            self._tell()

    async def _ask_until_it_fails(self, on_connect: OnConnect) -> None:
        settings = self._settings
        connection = await with_mapped_errors(
            open_pooled_connection(settings, units_role=self.has_units_role), settings
        )
        try:
            on_connect(connection)
            async with asyncio.timeout(ANSWER_S):
                await self._begin(connection)
            while True:
                asked_s = time.monotonic()
                self._hurried.clear()
                async with asyncio.timeout(ANSWER_S):
                    problem = await self._ask(connection, asked_s)
                self.asked_s = asked_s
                self._set_problem(problem)
                self._tell()
                await self._pause()
        finally:
            connection.terminate()

    async def _pause(self) -> None:
        await asyncio.sleep(SHORTEST_PAUSE_S)  # many readers share one question
        # Not wait_for, which Python 3.11 lets swallow a cancellation.
        with suppress(TimeoutError):
            async with asyncio.timeout(PACE_S):
                await self._hurried.wait()

    def _tell(self) -> None:
        told, self._answer = self._answer, self._loop.create_future()
        told.set_result(None)

    def _forget(self, problem: str) -> None:
        """Believe nothing that was heard, because of ``problem``."""
        self.position = None
        self._set_problem(problem)

    def _set_problem(self, problem: str | None) -> None:
        if problem != self.problem and (problem or self.problem != NOT_ASKED):
            logger.warning("reads: %s: %s", self.target, problem or "it can be read from again")
        self.problem = problem

    @abstractmethod
    async def _begin(self, connection: Connection) -> None:
        """Ask what does not change while a connection lasts."""

    @abstractmethod
    async def _ask(self, connection: Connection, asked_s: float) -> str | None:
        """Ask once, and set `position`. Return why the server cannot be used, or None."""
