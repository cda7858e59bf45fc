"""Contract tests on each event loop."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

LOOPS: dict[str, Callable[[], Any]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_each_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """Run an async test once in a loop of each kind. It takes no async fixtures."""

    @functools.wraps(test)
    def run(loop: str, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(**fixtures))

    taken = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)
    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in taken.parameters.values()]
    vars(run)["__signature__"] = taken.replace(parameters=[*own, loop])
    return pytest.mark.parametrize("loop", LOOPS)(run)
