"""The parts of a web integration that need no framework.

These are a lifespan, a runner for one user, errors as problem documents, and a readiness probe.
`faceplate.integrations.fastapi` is built on them; docs/web.md shows them with Starlette and
Litestar.

===============================================  ======  ==========================  ==============
error                                            status  code                        Retry-After
===============================================  ======  ==========================  ==============
InvalidInput                                     422     invalid_input               no
NotFound                                         404     not_found                   no
Conflict                                         409     conflict                    no
Overloaded, PoolExhausted, Contention            503     busy                        1
ConnectionLost, SchemaChanged                    503     interrupted                 1
Unavailable                                      503     unavailable                 5
CommitOutcomeUnknown                             503     outcome_unknown             5
TimedOut                                         504     timed_out                   no
anything else                                    500     internal_error              no
===============================================  ======  ==========================  ==============

A cancellation, also one after COMMIT (`faceplate.was_committed`), has no response: the client has
gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypedDict, TypeVar
from uuid import UUID

from pydantic import SecretStr

from faceplate import drafts, migrate
from faceplate.column_types import JsonObject
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.errors import (
    CommitOutcomeUnknown,
    Conflict,
    ConnectionLost,
    Contention,
    FaceplateError,
    InvalidInput,
    NotFound,
    Overloaded,
    PoolExhausted,
    SchemaChanged,
    TimedOut,
    Unavailable,
)
from faceplate.health import Health, Pool
from faceplate.scope import Scope

logger = logging.getLogger("faceplate")

P = ParamSpec("P")
T = TypeVar("T")

MEDIA_TYPE = "application/problem+json"
READY_WITHIN_S = 5.0


class State(TypedDict):
    """The state that the lifespan yields: ``request.state.faceplate``."""

    faceplate: Database


def lifespan(
    settings: Settings | SecretStr | str | None = None,
) -> Callable[[object], AbstractAsyncContextManager[State]]:
    """Return a lifespan that opens a `Database` and closes it.

    ``settings`` are those of `Database`, and are read when the application starts. An application
    with its own lifespan enters this one inside it::

        @asynccontextmanager
        async def own(app: object) -> AsyncIterator[Mapping[str, Any]]:
            async with lifespan()(app) as state:
                yield {**state, "model": await load_model(state["faceplate"])}
    """

    # If the start fails, the traceback shows the locals of the frame below.
    given = SecretStr(settings) if isinstance(settings, str) else settings

    @asynccontextmanager
    async def opened(_app: object) -> AsyncIterator[State]:
        async with Database(given) as db:
            yield {"faceplate": db}

    return opened


@dataclass(frozen=True, slots=True)
class UserRunner:
    """A `Database` for one user, whom the application has authenticated."""

    db: Database
    user_id: UUID

    def run(
        self,
        unit: Callable[Concatenate[Scope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[object, None, T]:
        """Run a unit for the user and return its result: see `Database.run`."""
        return self.db.run(self.user_id, unit, *args, **kwargs)

    def begin(self) -> AbstractAsyncContextManager[Scope]:
        """Return a transaction around a block: see `Database.begin`.

        It is never retried.
        """
        return self.db.begin(self.user_id)

    def draft(
        self,
        conversation_id: UUID,
        *,
        metadata: JsonObject | None = None,
        model: str | None = None,
        after: int | None = None,
        branch: bool = False,
        save_every_s: float = drafts.SAVE_EVERY_S,
    ) -> drafts.Draft:
        """Return a draft; enter it with ``async with``: see `faceplate.drafts`."""
        return drafts.open(
            self.db,
            self.user_id,
            conversation_id,
            metadata=metadata,
            model=model,
            after=after,
            branch=branch,
            save_every_s=save_every_s,
        )


class Answer(NamedTuple):
    """The HTTP response to a kind of error."""

    status: HTTPStatus
    code: str
    detail: str | None = None
    """The text for the client. None for the error's own message, which is only about the input."""
    retry_after_s: int | None = None
    safe_to_retry: bool | None = None
    """Whether the failed unit has written nothing. None if a retry would fail as well."""


BUSY = Answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "busy",
    "The server is too busy at the moment; nothing was changed.",
    retry_after_s=1,
    safe_to_retry=True,
)
INTERRUPTED = Answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "interrupted",
    "The request was interrupted; nothing was changed.",
    retry_after_s=1,
    safe_to_retry=True,
)
INTERNAL = Answer(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal_error",
    "An internal error occurred and was logged.",
)
ANSWERS: dict[type[Exception], Answer] = {
    InvalidInput: Answer(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input"),
    NotFound: Answer(HTTPStatus.NOT_FOUND, "not_found"),
    Conflict: Answer(HTTPStatus.CONFLICT, "conflict"),
    Overloaded: BUSY,
    PoolExhausted: BUSY,
    Contention: BUSY,
    ConnectionLost: INTERRUPTED,
    SchemaChanged: INTERRUPTED,
    Unavailable: Answer(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "The database cannot be used at the moment; nothing was changed.",
        retry_after_s=5,
        safe_to_retry=True,
    ),
    CommitOutcomeUnknown: Answer(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "outcome_unknown",
        "It is not known whether this was done: check before you send it again.",
        retry_after_s=5,
        safe_to_retry=False,
    ),
    TimedOut: Answer(
        HTTPStatus.GATEWAY_TIMEOUT,
        "timed_out",
        "This took too long and was cancelled; nothing was changed.",
        safe_to_retry=True,
    ),
    Exception: INTERNAL,
}


class Problem(NamedTuple):
    """A problem document of RFC 9457: send ``body`` as JSON of the type `MEDIA_TYPE`."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


def problem(status: HTTPStatus, code: str, detail: str, **more: Any) -> Problem:
    """Return a problem document of the application; ``more`` are additional members."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "code": code}
    return Problem(int(status), body | {"detail": detail} | more, {})


def problem_of(error: Exception) -> Problem:
    """Return the problem document for ``error``; an error with status 500 is logged.

    The member ``code`` names the kind of error. `InvalidInput` adds ``field`` and ``rule``. An
    error for which a retry may help adds ``safe_to_retry``, which is about the failed unit: a
    handler that runs several units must know whether the ones before it may run twice.

    Neither the document nor the log holds a host, a role, SQL, an SQLSTATE or a value of a row.
    """
    answer = next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    detail = answer.detail
    if isinstance(error, FaceplateError):
        detail = detail or error.message
        if answer is INTERNAL:
            logger.error("answered with status 500: %s: %s", type(error).__name__, error)
    more: dict[str, Any] = {}
    if isinstance(error, InvalidInput):
        more |= {"field": error.field, "rule": error.rule}
    if answer.safe_to_retry is not None:
        more["safe_to_retry"] = answer.safe_to_retry
    told = problem(answer.status, answer.code, detail or answer.status.phrase, **more)
    if answer.retry_after_s is not None:
        told.headers["Retry-After"] = str(answer.retry_after_s)
    return told


@dataclass(frozen=True)
class Readiness:
    """Whether this process should get traffic.

    A field is None if the answer is not known.
    """

    ready: bool
    reachable: bool
    migrated: bool | None
    """The schema is at the revision that the code needs, or at a newer one during a deploy."""
    isolated: bool | None
    """Every layer that should keep users apart is in force."""
    accepting: bool
    """A unit would get a connection, or could wait for one."""
    pool: Pool


class Probe:
    """A readiness probe that calls `Database.check`.

    Concurrent requests share one check, so that they cannot open more than one connection.
    """

    def __init__(self, *, within_s: float = READY_WITHIN_S) -> None:
        self._within_s = within_s
        self._checking: asyncio.Task[Health | None] | None = None

    async def ask(self, db: Database) -> Readiness:
        """Return the readiness, after ``within_s`` at most."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(db))
        health = await asyncio.shield(self._checking)  # other requests may wait for it as well
        pool = db.pool()
        is_full = pool.checked_out >= pool.limit
        accepting = not is_full or pool.waiting < db.settings.max_waiting
        reachable, migrated, isolated = False, None, None
        if health is not None and health.reachable:
            reachable = True
            migrated = health.at_head or _is_newer(health.revision)
            isolated = bool(health.isolation) and not health.gaps
        return Readiness(
            ready=reachable and bool(migrated) and bool(isolated) and accepting,
            reachable=reachable,
            migrated=migrated,
            isolated=isolated,
            accepting=accepting,
            pool=pool,
        )

    async def _check(self, db: Database) -> Health | None:
        try:
            async with asyncio.timeout(self._within_s):
                return await db.check()
        except TimeoutError:
            return None


def _is_newer(revision: str | None) -> bool:
    """Return whether ``revision`` comes from a newer version of the package."""
    return revision is not None and not migrate.knows(revision)
