"""The removal of library frames from tracebacks: they hold passwords and rows.

Error trackers send the locals of every frame in a traceback. A caller decides what the locals of
its own frames hold. It cannot decide for the driver, which keeps a password in one, or for a
statement, which keeps the values of a row.
"""

import sys
from collections.abc import Iterator
from types import TracebackType

DRIVER = "asyncpg"
"""It calls only codecs of the caller, so every frame below its own is removed as well."""
LIBRARIES = frozenset({"alembic", "faceplate", "sqlalchemy"})
INSTRUMENTATION = frozenset(
    {"ddtrace", "elasticapm", "logfire", "newrelic", "opentelemetry", "sentry_sdk", "wrapt"}
)
CALLED_BY_LIBRARIES = (
    sys.stdlib_module_names | INSTRUMENTATION | {"cryptography", "pydantic", "pydantic_settings"}
)
"""Packages whose frames are removed if a library called them, and stay if a caller did."""


def remove_library_frames(error: BaseException) -> None:
    """Remove the frames of libraries from ``error`` and its linked errors.

    Linked are its ``__cause__`` and ``__context__``, the members of an exception group, and their
    own linked errors. The caller's frames stay, in their order.

    An error that is raised again collects the frames that it passes from then on. A library that
    removes its frames must therefore clear its secrets before it raises.
    """
    for member in linked_errors(error):
        member.__traceback__ = _without_library_frames(member.__traceback__)


def linked_errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and every error that is linked to it, each once."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        member = pending.pop()
        if member is None or id(member) in seen:
            continue
        seen.add(id(member))
        yield member
        pending += member.__cause__, member.__context__
        if isinstance(member, BaseExceptionGroup):
            pending += member.exceptions


def _without_library_frames(traceback: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    is_in_library = False
    while traceback is not None and (package := _package_of(traceback)) != DRIVER:
        called = is_in_library and package in CALLED_BY_LIBRARIES
        is_in_library = called or package in LIBRARIES
        if not is_in_library:
            kept.append(traceback)
        traceback = traceback.tb_next
    rebuilt: TracebackType | None = None
    for link in reversed(kept):
        rebuilt = TracebackType(rebuilt, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return rebuilt


def _package_of(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
