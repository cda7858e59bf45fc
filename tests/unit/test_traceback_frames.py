"""An error shows the frames of the caller's own code, and no frame of a library."""

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest

from faceplate._tracebacks import remove_library_frames

SECRET = "hunter2"
CALL = f"""
def call(function):
    secret = {SECRET!r}
    return function()
"""
Called = Callable[[], object]


def calls_from(module_name: str) -> Callable[[Called], object]:
    """Return a function of the module ``module_name``, with a secret in a local, that calls."""
    module = ModuleType(module_name)
    exec(CALL, module.__dict__)
    call: Callable[[Called], object] = module.call
    return call


def through(*module_names: str) -> Called:
    """Return a function that fails in the last of ``module_names``, called by those before it."""
    called: Called = fail
    for name in reversed(module_names):
        called = partial(calls_from(name), called)  # which has no frame of its own
    return called


def fail() -> None:
    raise ValueError("no")


def caught(function: Called) -> Exception:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
        return error
    pytest.fail("nothing was raised")


def names(error: BaseException) -> list[str]:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [frame.f_globals["__name__"] for frame in frames if frame.f_code.co_name == "call"]


def shown(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_the_frames_of_libraries_go_and_the_callers_stay_in_their_order() -> None:
    """Else an error tracker is sent the database's password, or nobody sees where a unit failed."""
    modules = ("app.web", "faceplate.database", "app.units", "sqlalchemy.engine", "app.types")
    error = caught(through(*modules, "faceplate", "app.codec"))
    lines = dict(traceback.walk_tb(error.__traceback__))
    remove_library_frames(error)
    assert names(error) == ["app.web", "app.units", "app.types", "app.codec"]
    kept = list(traceback.walk_tb(error.__traceback__))
    assert all(lines[frame] == line for frame, line in kept)
    assert kept[-1][0].f_code.co_name == "fail"


@pytest.mark.parametrize("name", ["faceplate_tools", "app.faceplate", "asyncpg_extra", "__main__"])
def test_a_caller_whose_name_only_looks_like_a_librarys_stays(name: str) -> None:
    """Else a project that is called after faceplate sees none of its own frames."""
    error = caught(through(name))
    remove_library_frames(error)
    assert names(error) == [name]


def test_every_frame_below_the_drivers_goes() -> None:
    """Else what instruments the driver shows the password that it passes on."""
    below = (
        "asyncpg.connect_utils",
        "sentry_sdk.integrations.asyncpg",
        "tracer",
        "asyncpg.protocol",
    )
    error = caught(through("app", "faceplate._driver.engine", *below, "app.codec"))
    remove_library_frames(error)
    assert names(error) == ["app"]


@pytest.mark.parametrize("helper", ["json", "asyncio.timeouts", "pydantic.main", "sentry_sdk.x"])
def test_what_a_library_calls_goes_with_it_and_what_a_caller_calls_stays(helper: str) -> None:
    """Else a secret stands in the frame of the encoder that the library handed it to."""
    error = caught(through("app", helper, "faceplate.encryption", helper, helper))
    remove_library_frames(error)
    assert names(error) == ["app", helper]


def test_causes_contexts_and_groups_are_followed_wherever_they_lead() -> None:
    """Else the driver's frames are still there, one error further down."""
    below, beside, left, right = (caught(through("app", "asyncpg.connection")) for _ in range(4))
    group = ExceptionGroup("both", [left, ExceptionGroup("inner", [right])])
    group.__context__ = beside
    right.__cause__ = below
    below.__context__ = group  # a circle ends
    error = caught(through("app", "faceplate._driver.engine"))
    error.__cause__ = group
    error.__suppress_context__ = False
    assert SECRET in shown(error)
    remove_library_frames(error)
    for member in (error, below, beside, left, right):
        assert names(member) == ["app"]


def test_an_error_of_libraries_alone_can_be_raised_again() -> None:
    """Else an error that was made ready for the caller cannot reach it."""
    error = caught(through("faceplate._driver.engine", "asyncpg.connection"))
    remove_library_frames(error)
    with pytest.raises(ValueError, match="no") as raised:
        raise error
    assert SECRET not in shown(raised.value)


async def test_a_failure_of_a_task_that_goes_on_leaves_that_task_alone() -> None:
    """Else looking at an error ends a unit that is still running."""
    failure: list[Exception] = []
    resume = asyncio.Event()

    async def goes_on() -> str:
        with contextlib.suppress(ValueError):
            try:
                through("asyncpg.connection")()
            except ValueError as error:
                failure.append(error)
                await resume.wait()
        return "done"

    task = asyncio.create_task(goes_on())
    while not failure:  # noqa: ASYNC110 - one turn of the loop lets the task begin
        await asyncio.sleep(0)
    remove_library_frames(failure[0])
    resume.set()
    assert await task == "done"
