"""The parts of the pytest plugin that need no database: an application's lifespan and sign-in."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Header

from faceplate.config import Settings
from faceplate.integrations.fastapi import runner_for
from faceplate.testing import Server, _application

SETTINGS = Settings(database_url="postgresql://me@localhost/tests")


async def without_a_lifespan(scope: Any, _receive: Any, _send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("only HTTP")


async def with_an_empty_lifespan(_scope: Any, _receive: Any, _send: Any) -> None:
    return


async def with_a_lifespan_that_dies(
    _scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    raise ValueError("no longer")


@pytest.mark.parametrize("application", [without_a_lifespan, with_an_empty_lifespan])
@pytest.mark.timeout(10)
async def test_an_application_without_a_lifespan_is_served(application: Any) -> None:
    """Else the tests of a Django project hang."""
    async with _application.started(application, SETTINGS) as started:
        assert await started({"type": "http"}, None, None) is None  # type: ignore[arg-type, func-returns-value]  # called and through


@pytest.mark.timeout(10)
async def test_a_lifespan_that_dies_fails_the_test() -> None:
    """Else nobody hears of it."""
    with pytest.raises(ValueError, match="no longer"):
        async with _application.started(with_a_lifespan_that_dies, SETTINGS):
            pass


def test_nobody_stays_signed_in_after_an_error() -> None:
    """Else the next test of the application meets the user of this one."""

    def identify(x_user: Annotated[UUID, Header()]) -> UUID:
        return x_user

    runner_for(identify)
    outer, inner = FastAPI(), FastAPI()
    outer.mount("/inner", inner)
    with suppress(ZeroDivisionError), _application.signed_in(outer, "me"):
        assert identify in outer.dependency_overrides
        assert identify in inner.dependency_overrides
        raise ZeroDivisionError
    assert (outer.dependency_overrides, inner.dependency_overrides) == ({}, {})


def test_a_server_shows_no_password() -> None:
    """Else a failing test that has the fixture prints it into the log of a CI."""
    url = "postgresql://me:s3cret@localhost/tests"
    assert "s3cret" not in repr(Server("url", url, url, "18.0"))
