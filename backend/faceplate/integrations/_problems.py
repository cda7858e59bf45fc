"""Errors as problem documents. The docstring of `faceplate.integrations.web` has the table."""

import logging
from http import HTTPStatus
from typing import Any, NamedTuple

from faceplate.errors import (
    CommitOutcomeUnknown,
    Conflict,
    ConnectionLost,
    Contention,
    FaceplateError,
    InvalidInput,
    NotErased,
    NotFound,
    Overloaded,
    PoolExhausted,
    SchemaChanged,
    TimedOut,
    Unavailable,
)

logger = logging.getLogger("faceplate")

MEDIA_TYPE = "application/problem+json"


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
    NotErased: INTERNAL,  # the caller can mend nothing: a table of the project lacks its key
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
