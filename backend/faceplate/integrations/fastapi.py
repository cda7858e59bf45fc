"""The integration with FastAPI. It needs the ``fastapi`` extra.

::

    async def current_user(request: Request) -> UUID: ...  # your authentication

    Chat = Annotated[UserRunner, Depends(runner_for(current_user))]

    app = FastAPI(lifespan=lifespan(), responses=RESPONSES)
    app.include_router(health_router())
    install(app)

    @app.post("/conversations/{conversation_id}/messages")
    async def post_message(conversation_id: UUID, text: Text, chat: Chat) -> dict[str, int]:
        message = await chat.run(messages.append, conversation_id, role="user", content=text)
        return {"position": message.position}

Each worker process opens its own `Database`, and so its own pool.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import ConfigurationError, FaceplateError, UsageError
from faceplate.integrations.web import (
    ANSWERS,
    MEDIA_TYPE,
    READY_WITHIN_S,
    Probe,
    Problem,
    Readiness,
    State,
    UserRunner,
    lifespan,
    problem,
    problem_of,
)
from faceplate.services import users

try:
    from fastapi import APIRouter, Depends, FastAPI, Response
    from fastapi.exceptions import RequestValidationError
    from fastapi.requests import HTTPConnection, Request
    from fastapi.responses import JSONResponse
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "the FastAPI integration needs a package: pip install 'faceplate[fastapi]'"
    ) from missing

__all__ = [
    "RESPONSES",
    "State",
    "UserRunner",
    "database",
    "health_router",
    "install",
    "lifespan",
    "problem_response",
    "runner_for",
]

MAX_PROBLEMS = 20

Identity = UUID | str

_identifying: set[Callable[..., Identity | Awaitable[Identity]]] = set()
"""The dependencies by which this process identifies users; `faceplate.testing` overrides them."""


def database(connection: HTTPConnection) -> Database:
    """Return the application's `Database` (a dependency).

    Raises UsageError without `lifespan`.
    """
    found = getattr(connection.state, "faceplate", None)
    if not isinstance(found, Database):
        raise UsageError(
            "no database is open: make the application with FastAPI(lifespan=...);"
            " of a mounted application, give the outer one the lifespan"
        )
    return found


def runner_for(
    identify: Callable[..., Identity | Awaitable[Identity]],
) -> Callable[..., Awaitable[UserRunner]]:
    """Return a dependency that gives a handler its `UserRunner`.

    ``identify`` is a dependency of the application that returns the user. A UUID is the id of the
    user. Text is the identity provider's ``sub``: the user is created if there is none yet
    (`faceplate.services.users.ensure`), which takes a transaction of its own.
    """
    _identifying.add(identify)

    async def runner(
        db: Annotated[Database, Depends(database)], who: Annotated[Identity, Depends(identify)]
    ) -> UserRunner:
        if isinstance(who, UUID):
            return UserRunner(db, who)
        return UserRunner(db, (await db.run_system(users.ensure, who)).id)

    return runner


def problem_response(problem: Problem) -> Response:
    """Return ``problem`` as a response."""
    return JSONResponse(problem.body, problem.status, problem.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer faceplate's and FastAPI's errors with problem documents.

    `faceplate.integrations.web` has the table. The application handles other exceptions. A mounted
    application has its own handlers: install them there as well.
    """
    app.add_exception_handler(FaceplateError, _answer)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


async def _answer(connection: HTTPConnection, error: Exception) -> Response:
    if not isinstance(connection, Request):
        raise error  # a WebSocket has no response; the server closes it and logs the error
    return problem_response(problem_of(error))


async def _answer_invalid(_connection: HTTPConnection, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    found = [  # without the input, and without the context of an error, which may quote it
        {"field": ".".join(map(str, one["loc"])), "rule": str(one["msg"])}
        for one in error.errors()[:MAX_PROBLEMS]
    ]
    first = found[0]
    detail = f"{first['field']}: {first['rule']}"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return problem_response(problem(status, "invalid_input", detail, **first, errors=found))


def health_router(*, ready_within_s: float = READY_WITHIN_S) -> APIRouter:
    """Return a router with the probes ``/livez`` and ``/readyz``.

    ``/livez`` answers as long as the event loop runs. ``/readyz`` has status 200 or 503 and says
    whether the database is reachable, migrated and isolated, whether the process accepts units, and
    the state of the pool. It shows no host and no version.
    """
    router = APIRouter(tags=["health"])
    probe = Probe(within_s=ready_within_s)

    @router.get("/livez")
    async def live() -> dict[str, bool]:
        """Return whether the process is alive."""
        return {"alive": True}

    @router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready"}})
    async def ready(db: Annotated[Database, Depends(database)], response: Response) -> Readiness:
        """Return whether the process can serve requests."""
        found = await probe.ask(db)
        if not found.ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return found

    return router


def _document(status: HTTPStatus) -> dict[str, Any]:
    answers = [answer for answer in ANSWERS.values() if answer.status is status]
    properties: dict[str, Any] = {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "const": int(status)},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    }
    required = list(properties)
    if status is HTTPStatus.UNPROCESSABLE_ENTITY:
        properties |= {"field": {"type": "string"}, "rule": {"type": "string"}}
        required += ["field", "rule"]
    if any(answer.safe_to_retry is not None for answer in answers):
        properties["safe_to_retry"] = {"type": "boolean"}
    schema = {"type": "object", "properties": properties, "required": required}
    document: dict[str, Any] = {
        "description": f"{status.phrase}: {', '.join(sorted({a.code for a in answers}))}",
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if any(answer.retry_after_s is not None for answer in answers):
        about = "Seconds after which to try again"
        document["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer"}}}
    return document


RESPONSES: dict[int | str, dict[str, Any]] = {
    int(status): _document(status) for status in sorted({a.status for a in ANSWERS.values()})
}
"""The problem documents, for ``responses=`` of an application, a router or a route."""
