"""The parts of a web integration that need no framework.

These are a lifespan, a runner for one user, errors as problem documents, the start of a streamed
response, and a readiness probe. `faceplate.integrations.fastapi` is built on them;
docs/web/ shows them with Starlette, Litestar, Quart and Django.

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
NotErased and anything else                      500     internal_error              no
===============================================  ======  ==========================  ==============

A cancellation, also one after COMMIT (`faceplate.was_committed`), has no response: the client has
gone.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypedDict, TypeVar
from uuid import UUID

from pydantic import SecretStr

from faceplate import drafts
from faceplate.column_types import JsonObject
from faceplate.config import Settings
from faceplate.database import Database
from faceplate.integrations._problems import (
    ANSWERS,
    BUSY,
    INTERNAL,
    INTERRUPTED,
    MEDIA_TYPE,
    Answer,
    Problem,
    problem,
    problem_of,
)
from faceplate.integrations._readiness import READY_WITHIN_S, Probe, Readiness
from faceplate.scope import Scope

__all__ = [
    "ANSWERS",
    "BUSY",
    "INTERNAL",
    "INTERRUPTED",
    "MEDIA_TYPE",
    "READY_WITHIN_S",
    "Answer",
    "Probe",
    "Problem",
    "Readiness",
    "State",
    "UserRunner",
    "lifespan",
    "problem",
    "problem_of",
    "start_stream",
]

P = ParamSpec("P")
T = TypeVar("T")


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


async def start_stream(stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Run ``stream`` up to its first item; return a stream of all its items.

    Call it in a handler, before the response is made: an error until the first item is then
    answered with its own status. Later the status has been sent, and an error can only break the
    response off::

        return StreamingResponse(await start_stream(reply(chat, conversation_id, question)))

    ``stream`` is closed when the returned stream is closed or abandoned.

    Raises what ``stream`` raises.
    """
    try:
        first = [await anext(stream)]
    except StopAsyncIteration:  # it yields nothing
        first = []

    async def whole() -> AsyncGenerator[T, None]:
        async with aclosing(stream):
            for item in first:
                yield item
            async for item in stream:
                yield item

    return whole()
