"""Errors in OpenAI's shape, and the id of each request.

The statuses are those of `faceplate.integrations.web`, but for 400 in place of 422. OpenAI's
clients send a request again after 409, 429 and 500 to 504, unless ``x-should-retry`` says no: it
does where a retry would fail as well, and where it might store something twice.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from faceplate.errors import CommitOutcomeUnknown, Conflict, FaceplateError, InvalidInput, NotFound
from faceplate.integrations.web import problem_of
from faceplate.records import Conversation, Message

logger = logging.getLogger("faceplate")

SHOULD_RETRY: Final = "x-should-retry"
MAY_REPEAT: Final = "faceplate.may_repeat"
"""In a request's scope: whether the client may send it again although it may be done already."""
REQUEST_ID: Final = "x-request-id"
_INVALID: Final = "invalid_request_error"
_TYPES: Final = {429: "rate_limit_error", 403: "permission_error"}


class Refused(Exception):  # noqa: N818 - named for what it says
    """A request that breaks a rule of the API."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


def json_response(
    value: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with JSON, whatever text and numbers it has.

    An integer that Python does not write is answered as text.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    try:
        content = text.encode()
    except UnicodeEncodeError:  # lone surrogates, which only an escape can write
        content = json.dumps(value, separators=(",", ":"), default=str).encode()
    return Response(content, status, headers, media_type="application/json")


def error_response(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as OpenAI's clients read it."""
    kind = _TYPES.get(
        status, _INVALID if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    )
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json_response({"error": error}, status, headers)


async def _answer_refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    return error_response(error.status, error.message, param=error.param, code=error.code)


async def _answer_ours(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if isinstance(error, InvalidInput):
        return error_response(
            HTTPStatus.BAD_REQUEST, error.message, param=error.field, code="invalid_value"
        )
    if isinstance(error, NotFound):
        return error_response(problem.status, _missing(request, error))
    headers = dict(problem.headers)
    is_in_doubt = isinstance(error, CommitOutcomeUnknown)
    if isinstance(error, Conflict) or (is_in_doubt and not request.scope.get(MAY_REPEAT)):
        headers[SHOULD_RETRY] = "false"
    detail, code = str(problem.body["detail"]), str(problem.body["code"])
    return error_response(problem.status, detail, code=code, headers=headers)


def _missing(request: Request, error: NotFound) -> str:
    given = request.path_params
    if error.record is Conversation:
        return f"Conversation with id '{given.get('conversation_id')}' not found."
    if error.record is Message:
        item_id = given.get("item_id") or request.query_params.get("after")
        return f"Item with id '{item_id}' not found in this conversation."
    return f"{error.message.capitalize()}."


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer what the router raises, or the application's sign-in."""
    if not isinstance(error, HTTPException):
        raise error
    message, code = str(error.detail), None
    if error.status_code == HTTPStatus.NOT_FOUND and message == HTTPStatus.NOT_FOUND.phrase:
        message, code = f"Invalid URL ({request.method} {request.url.path})", "unknown_url"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message, code = f"Not allowed to {request.method} here.", "method_not_supported"
    elif error.status_code == HTTPStatus.UNAUTHORIZED:
        code = "invalid_api_key"
    return error_response(error.status_code, message, code=code, headers=error.headers)


async def _answer_unexpected(_request: Request, error: Exception) -> Response:
    request_id = new_request_id()  # Starlette answers these outside of the middleware
    logger.error("request %s answered with status 500: %s", request_id, type(error).__name__)
    return error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "An internal error occurred and was logged.",
        headers={REQUEST_ID: request_id},
    )


def new_request_id() -> str:
    return f"req_{uuid4().hex}"


HANDLERS: Final[Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]] = {
    Refused: _answer_refused,
    FaceplateError: _answer_ours,
    HTTPException: _answer_http,
    Exception: _answer_unexpected,
}


class RequestIds:
    """Middleware that gives each response an ``x-request-id``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_request_id()

        async def send_with_id(event: Event) -> None:
            if event["type"] == "http.response.start":
                MutableHeaders(scope=event)[REQUEST_ID] = request_id
            await send(event)

        await self._app(scope, receive, send_with_id)
