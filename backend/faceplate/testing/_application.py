"""The application under test: found by its name, started and stopped, and signed in."""

import asyncio
import importlib
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
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
    application: Application = found() if _is_factory(found) else found
    return application


def _is_factory(found: object) -> bool:
    """Return whether it is a function that can be called without arguments."""
    if not inspect.isfunction(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    return all(one.default is not one.empty for one in parameters)


@contextmanager
def signed_in(application: Any, identity: object) -> Iterator[None]:
    """Let `runner_for` take ``identity`` for the user of each request, during the block.

    It overrides the dependencies that FastAPI applications identify a user by, mounted ones too.
    Another framework's application is left as it is.
    """
    overrides: dict[Any, Any] = getattr(application, "dependency_overrides", {})
    before = overrides.copy()
    overrides.update(dict.fromkeys(_identifying(), lambda: identity))
    try:
        with ExitStack() as stack:
            for route in getattr(application, "routes", ()):
                if hasattr(mounted := getattr(route, "app", None), "dependency_overrides"):
                    stack.enter_context(signed_in(mounted, identity))
            yield
    finally:
        overrides.clear()
        overrides.update(before)


def _identifying() -> set[Any]:
    """Return the dependencies that `runner_for` was given, if there is a FastAPI application."""
    integration = sys.modules.get("faceplate.integrations.fastapi")
    return getattr(integration, "_identifying", set())


@asynccontextmanager
async def started(application: Application, settings: Settings) -> AsyncIterator[Application]:
    """Run the application's lifespan around the block; yield it with the lifespan's state.

    An application that ends the lifespan without an answer has none, as servers take it.

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

    async def step(name: str) -> bool:
        """Return whether the application has answered."""
        asked.put_nowait({"type": f"lifespan.{name}"})
        answer = await answers.get()
        if answer["type"] == f"lifespan.{name}.failed":
            await asyncio.gather(running, return_exceptions=True)
            raise ConfigurationError(f"the application's {name} failed: {answer.get('message')}")
        return bool(answer["type"] != "lifespan.ended")

    has_lifespan = await step("startup")
    if not has_lifespan:
        await asyncio.wait([running])
        running.exception()  # says that it has none; read, else asyncio logs it
    try:
        _check_database(state, settings)

        async def with_state(scope: Message, receive: Any, send: Any) -> None:
            await application({**scope, "state": state.copy()}, receive, send)

        yield with_state
    finally:
        if has_lifespan:
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
