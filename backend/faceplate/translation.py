"""What an exception of the driver or of SQLAlchemy means, as one of faceplate's own errors.

An error is told by its SQLSTATE and its constraint, never by its class or its message: the same
fault arrives wrapped or bare depending on the version and on the moment it struck.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from faceplate.errors import (
    CannotConnect,
    Conflict,
    ConnectionLost,
    Contention,
    DatabaseError,
    FaceplateError,
    InvalidInput,
    PoolExhausted,
    TimedOut,
    Unauthorized,
    Unavailable,
    UsageError,
)

CONFLICTS = {
    "pk_users": "a user with this id exists already",
    "uq_users_subject_id": "a user with this subject_id exists already",
    "uq_users_email": "a user with this email exists already",
    "pk_conversations": "a conversation with this id exists already",
    "fk_conversations_users": "the user does not exist",
    "pk_messages": "a message with this id exists already",
    "fk_messages_conversations": "the conversation does not exist",
    "uq_messages_user_id_conversation_id_position": "another message has this position",
    "pk_tasks": "a task with this id exists already",
    "fk_tasks_users": "the user does not exist",
    "pk_mcp_configs": "an MCP configuration with this id exists already",
    "uq_mcp_configs_user_id_name": "an MCP configuration with this name exists already",
    "fk_mcp_configs_users": "the user does not exist",
}

# https://www.postgresql.org/docs/18/errcodes-appendix.html
LOST = {"57P01", "57P02", "57P03", "53300", "25006"}  # and class 08: see is_lost
LIMITS = {
    "57014": "the statement was cancelled, or ran longer than statement_timeout_s",
    "55P03": "a lock was not free within lock_timeout_s",
    "25P03": "the transaction stood idle longer than idle_in_transaction_timeout_s",
    "25P04": "the transaction ran longer than the server's transaction_timeout",
}
CONTENTION = {"40001", "40P01"}
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything under it, the outermost first."""
    seen: set[int] = set()
    below: BaseException | None = error
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        yield below
        below = getattr(below, "orig", None) or below.__cause__


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE that the server gave, or None where it did not come to that."""
    states = [state for cause in causes(error) if (state := getattr(cause, "sqlstate", None))]
    # The innermost one is the server's own word; the ones around it may be the driver's, for
    # example 08003 around 57P01.
    return states[-1] if states else None


def is_lost(error: BaseException, *, closed: bool) -> bool:
    """Whether the connection is what failed. ``closed`` says if the driver has given it up."""
    state = sqlstate_of(error)
    if state is not None:
        return state.startswith("08") or state in LOST
    if any(isinstance(cause, FaceplateError | TimeoutError) for cause in causes(error)):
        return False
    return closed and any(isinstance(cause, DRIVER_ERRORS) for cause in causes(error))


def is_ours(error: BaseException) -> bool:
    """Whether ``error`` came from the database, and not from the code of a unit."""
    return isinstance(error, (SQLAlchemyError, TimeoutError, *DRIVER_ERRORS))


def translate_connect(error: Exception, *, target: str, limit_s: float) -> FaceplateError:
    """Return faceplate's error for a connection that could not be made."""
    state = sqlstate_of(error)
    if isinstance(error, FaceplateError):
        return error
    if isinstance(error, PoolTimeout):
        return PoolExhausted("no connection became free within pool_timeout_s; all are in use")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{target}: no answer within {limit_s:g} s")
    kind = Unavailable if _passes(error, state) else CannotConnect
    return kind(f"{target}: {reason(error)}", sqlstate=state)


def _passes(error: Exception, state: str | None) -> bool:
    """Whether the fault that kept a connection from being made may go away by itself."""
    if state is not None:
        return state.startswith("08") or state in LOST
    if isinstance(error, ssl.SSLError | socket.gaierror):
        return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    return isinstance(error, OSError) and "SSL" not in str(error)


def translate(error: Exception, *, target: str, closed: bool = False) -> FaceplateError:
    """Return faceplate's error for ``error``. ``target`` says which server, without secrets."""
    for cause in causes(error):
        if isinstance(cause, FaceplateError):
            return cause
    state = sqlstate_of(error)
    if is_lost(error, closed=closed):
        return ConnectionLost(f"{target}: {reason(error)}", sqlstate=state)
    if state is not None:
        server = next((c for c in causes(error) if isinstance(c, asyncpg.PostgresError)), None)
        return _by_sqlstate(state, server)
    if any(isinstance(cause, TimeoutError) for cause in causes(error)):
        return TimedOut(f"{target}: no answer within command_timeout_s")
    if isinstance(error, InvalidRequestError):
        return UsageError(f"SQLAlchemy refused the call: {error}")
    innermost = list(causes(error))[-1]
    return DatabaseError(f"unexpected {type(innermost).__name__} from the driver")


def _by_sqlstate(  # noqa: PLR0911 - one return for each line of the table that it is
    state: str, server: Any
) -> FaceplateError:
    constraint = getattr(server, "constraint_name", None)
    table, column = getattr(server, "table_name", None), getattr(server, "column_name", None)
    field = ".".join(filter(None, (table, column))) or "value"
    match state:
        case "23505" | "23503" | "23P01":
            message = CONFLICTS.get(constraint or "", "another row rules this one out")
            return Conflict(message, constraint=constraint, sqlstate=state)
        case "23502":
            return InvalidInput(field, "is required", sqlstate=state)
        case "23514":
            rule = f"breaks the rule {constraint or 'of the table'}"
            return InvalidInput(field, rule, sqlstate=state)
        case "42501":
            return Unauthorized("the database refused the operation", sqlstate=state)
        case _ if state in LIMITS:
            return TimedOut(LIMITS[state], sqlstate=state)
        case _ if state in CONTENTION:
            return Contention("other transactions kept getting in the way", sqlstate=state)
        case _ if state.startswith("22"):
            return InvalidInput(field, "the database refused the value", sqlstate=state)
        case "53100":
            return DatabaseError("the server's disk is full", sqlstate=state)
        case "42P01" | "3F000" | "42703":
            return DatabaseError(
                "the schema is not there or not up to date: run `faceplate migrate`", sqlstate=state
            )
        case _:
            return DatabaseError(f"the server raised {type(server).__name__}", sqlstate=state)


def reason(error: BaseException) -> str:
    """The innermost cause of a lost connection in words. Such errors carry no value of a row."""
    innermost = list(causes(error))[-1]
    return str(innermost) or type(innermost).__name__
