"""Fixtures for the event loops of pytest-asyncio, one for each scope that a loop can have."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio


def _loop(scope: Any) -> Any:
    async def running_loop() -> AsyncIterator[asyncio.AbstractEventLoop]:
        yield asyncio.get_running_loop()

    return pytest_asyncio.fixture(running_loop, loop_scope=scope)


_faceplate_asyncio_loop_function = _loop("function")
_faceplate_asyncio_loop_class = _loop("class")
_faceplate_asyncio_loop_module = _loop("module")
_faceplate_asyncio_loop_package = _loop("package")
_faceplate_asyncio_loop_session = _loop("session")
