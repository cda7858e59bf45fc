"""The application under test: found by its name, started and stopped, and signed in."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import ConfigurationError

Message: TypeAlias = MutableMapping[str, Any]
Application: TypeAlias = Callable[
    [
        Message,
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]

RUNNER = "runner_for.<locals>.runner"
IDENTITY = "who"


def load(name: str) -> Application:
    """Return the application ``module:attribute``; a function without parameters is called.

    Raises ConfigurationError if there is none.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigurationError(
            "faceplate_client needs the application: set `faceplate_app = app.main:app` in pytest's"
            " configuration, or override the fixture faceplate_app"
        )
    found: Any = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise ConfigurationError(f"faceplate_app: {module} has no {attribute}")
    is_factory = callable(found) and getattr(found, "__code__", None) is not None
    application: Application = found() if is_factory and not _takes_scope(found) else found
    return application


def _takes_scope(function: Any) -> bool:
    count: int = function.__code__.co_argcount
    return count == 3


def sign_in(application: Any, identity: object) -> None:
    """Override, in a FastAPI application, each dependency that `runner_for` identifies a user by."""
    overrides = getattr(application, "dependency_overrides", None)
    if overrides is None:
        return
    for identify in {*_identifying(application)}:
        overrides[identify] = lambda: identity


def _identifying(application: Any) -> Iterator[Callable[..., Any]]:
    for route in getattr(application, "routes", ()):
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            yield from _within(dependant)
        elif (mounted := getattr(route, "app", None)) is not None:
            yield from _identifying(mounted)


def _within(dependant: Any) -> Iterator[Callable[..., Any]]:
    for one in dependant.dependencies:
        if getattr(dependant.call, "__qualname__", "") == RUNNER and one.name == IDENTITY:
            yield one.call
        yield from _within(one)


@asynccontextmanager
async def started(application: Application, settings: Settings) -> AsyncIterator[Application]:
    """Run the application's lifespan around the block; yield it with the lifespan's state.

    Raises ConfigurationError if the application has opened another database than the test's.
    """
    state: dict[str, Any] = {}
    asked: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    scope: Message = {
        "type": "lifespan",
        "asgi": {"version": "3.0", "spec_version": "2.0"},
        "state": state,
    }

    async def live() -> None:
        try:
            await application(scope, asked.get, answers.put)
        finally:
            answers.put_nowait({"type": "lifespan.ended"})

    running = asyncio.create_task(live())

    async def step(name: str) -> None:
        asked.put_nowait({"type": f"lifespan.{name}"})
        answer = await answers.get()
        if answer["type"] == "lifespan.ended" and running.done() is False:
            await running  # raises what the application raised
        if answer["type"] == f"lifespan.{name}.failed":
            await asyncio.gather(running, return_exceptions=True)
            raise ConfigurationError(f"the application's {name} failed: {answer.get('message')}")

    await step("startup")
    try:
        _check_database(state, settings)

        async def with_state(scope: Message, receive: Any, send: Any) -> None:
            await application({**scope, "state": state.copy()}, receive, send)

        yield with_state
    finally:
        await step("shutdown")
        await running


def _check_database(state: dict[str, Any], settings: Settings) -> None:
    for value in state.values():
        if isinstance(value, Database) and value.settings.target != settings.target:
            raise ConfigurationError(
                f"the application opened {value.settings.target}, not the test's database: make its"
                " settings when it starts (faceplate.integrations.web.lifespan() does), not when"
                " its module is imported"
            )
