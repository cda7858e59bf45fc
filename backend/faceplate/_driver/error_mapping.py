"""The error mapping: from the driver's and SQLAlchemy's errors to faceplate's."""

import os
import socket
import ssl

import asyncpg
from sqlalchemy.exc import (
    InvalidRequestError,
    PendingRollbackError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from faceplate._driver import constraints
from faceplate._driver.error_details import (
    READ_ONLY,
    error_chain,
    innermost_cause,
    is_connection_lost,
    server_error,
    sqlstate_of,
    was_cut_short,
)
from faceplate._driver.passwords import UNANSWERED
from faceplate.errors import (
    CannotConnect,
    ConnectionLost,
    Contention,
    DatabaseError,
    FaceplateError,
    InvalidInput,
    NotFound,
    PoolExhausted,
    SchemaChanged,
    TimedOut,
    Unauthorized,
    Unavailable,
    UsageError,
)

FOREIGN_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""The errors that are mapped when they leave a unit. An OSError is the unit's own."""

TRANSIENT_CLASSES = {"08", "53", "57", "58", "XX"}
"""The SQLSTATE classes that prevent a connection for a while. A pooler at its limit, or without a
server, says 53400, 58000 or XX000."""
CLASSES_QUOTING_VALUES = {"22", "23", "44", "P0"}
"""The SQLSTATE classes whose messages may quote a value of a row."""

UNMIGRATED = "a table or a column does not exist: if it is faceplate's, run `faceplate migrate`"
ABORTED = (
    "nothing was written: the transaction is aborted, because a statement of the unit failed and"
    " the unit caught its error"
)
BUSY = (
    "a scope is for one task at a time: await one statement before the next, or let each task run"
    " a unit of its own"
)
FLUSH_FAILED = (
    "a flush failed and the unit caught its error: flush what may fail inside of"
    " `async with scope.session.begin_nested():`, and catch the error outside of that block"
)
_CONFLICTED = "a deadlock or serialization failure: the transaction conflicted with another one"
_HIDDEN_ROWS = (
    "the connecting role cannot see the rows of all users: connect as the owner of faceplate's"
    " tables, or name its login in FACEPLATE_OWNER_URL; if the unit runs for one user, row_security"
    " is off for its login: see `faceplate check`"
)
_NOT_GRANTED = (
    "if units are to use a table of the project's own, grant it in a revision: op.grant_to_units,"
    " or op.enable_user_isolation where its rows belong to users"
)
_READ_ONLY_SERVER = (
    "the server is read-only: it is a standby, or default_transaction_read_only is on (for the"
    " server, the database or the role)"
)
_ROW_IS_GONE = "a row that the session was to update or delete no longer exists"

MEANINGS: dict[str, tuple[type[FaceplateError], str]] = {
    "57014": (TimedOut, "the statement was cancelled, or ran longer than statement_timeout_s"),
    "55P03": (TimedOut, "a lock was not free within lock_timeout_s"),
    "25P03": (TimedOut, "the transaction was idle longer than idle_in_transaction_timeout_s"),
    "25P04": (TimedOut, "the transaction ran longer than the server's transaction_timeout"),
    "40001": (Contention, _CONFLICTED),
    "40P01": (Contention, _CONFLICTED),
    "25P02": (DatabaseError, ABORTED),
    "42501": (Unauthorized, "the database refused the operation"),
    "53100": (DatabaseError, "the server's disk is full"),
    "42P01": (DatabaseError, UNMIGRATED),
    "42703": (DatabaseError, UNMIGRATED),
    "3F000": (DatabaseError, UNMIGRATED),
}
BROKEN_RULES = {"23502": "is required", "23514": "breaks a rule of the table"}
MISUSES = {
    "another operation is in progress": BUSY,
    "the number of query arguments cannot exceed": "a statement takes at most 32,767 values: pass"
    " one array (`column == any_(array)`), or run several statements",
}
"""Parts of asyncpg's messages that have no SQLSTATE. The rest of a message may quote a value."""
# PostgreSQL's C function that raises, with row_security = off, where a policy would hide rows.
_ROW_SECURITY_FUNCTION = "check_enable_rls"
# The one that raises where a privilege is missing; its message names the object.
_PRIVILEGE_FUNCTION = "aclcheck_error"


def map_error(error: Exception, *, target: str, closed: bool = False) -> FaceplateError:
    """Return faceplate's error for ``error`` of the server ``target``."""
    for cause in error_chain(error):
        if isinstance(cause, FaceplateError):
            return cause
    state = sqlstate_of(error)
    if is_connection_lost(error, closed=closed):
        return ConnectionLost(f"{target}: {describe_loss(error)}", sqlstate=state)
    if state is not None:
        return _map_sqlstate(state, server_error(error) or innermost_cause(error))
    if any(isinstance(cause, TimeoutError) for cause in error_chain(error)):
        return TimedOut(f"{target}: no answer within command_timeout_s")
    if isinstance(error, PendingRollbackError):  # its message quotes the first error
        return UsageError(FLUSH_FAILED)
    return _map_without_sqlstate(innermost_cause(error))


def map_connect_error(error: Exception, *, target: str, limit_s: float) -> FaceplateError:
    """Return faceplate's error for a failed attempt to connect."""
    state = sqlstate_of(error)
    if isinstance(error, FaceplateError):
        return error
    if isinstance(error, PoolTimeout):
        return PoolExhausted("no connection became free within pool_timeout_s; all are in use")
    if isinstance(error, TimeoutError):
        notes = [note for cause in error_chain(error) for note in getattr(cause, "__notes__", ())]
        unanswered = UNANSWERED if UNANSWERED in notes else "no answer"
        return Unavailable(f"{target}: {unanswered} within {limit_s:g} s")
    kind = Unavailable if _is_transient(error, state) else CannotConnect
    return kind(f"{target}: {_describe(error)}", sqlstate=state)


def is_from_pooler(error: BaseException) -> bool:
    """Return whether a pooler reports, as a plain ERROR, that it has lost its server.

    PostgreSQL names the place in its source with each error.
    """
    server = server_error(error)
    if server is None or server.server_source_filename is not None:
        return False
    return server.sqlstate[:2] in TRANSIENT_CLASSES and server.sqlstate not in MEANINGS


def describe_loss(error: BaseException) -> str:
    """Return why a unit's connection was lost, without a value of a row."""
    state = sqlstate_of(error)
    if state == READ_ONLY:
        return _READ_ONLY_SERVER
    if state is not None and state[:2] in CLASSES_QUOTING_VALUES:
        return "the server ended the connection"
    return _describe(error)


def _map_sqlstate(state: str, error: BaseException) -> FaceplateError:
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return SchemaChanged("a table was changed under a prepared statement", sqlstate=state)
    if state in MEANINGS:
        kind, message = MEANINGS[state]
        raised_by = getattr(error, "server_source_function", None)
        if raised_by == _ROW_SECURITY_FUNCTION:
            message = _HIDDEN_ROWS
        if raised_by == _PRIVILEGE_FUNCTION:
            message = f"{_first_line(error)}: {_NOT_GRANTED}"
        return kind(message, sqlstate=state)
    if (broken := constraints.refusal(state, error)) is not None:
        return broken
    if state in BROKEN_RULES or state.startswith("22"):
        rule = BROKEN_RULES.get(state, "the database refused the value")
        named = ("table_name", "column_name", "constraint_name")
        field = ".".join(filter(None, (getattr(error, name, None) for name in named))) or "value"
        return InvalidInput(field, rule, sqlstate=state)
    return DatabaseError(f"the server raised {type(error).__name__}", sqlstate=state)


def _map_without_sqlstate(error: BaseException) -> FaceplateError:
    if isinstance(error, asyncpg.InterfaceError):
        for part, remedy in MISUSES.items():
            if part in str(error):
                return UsageError(remedy)
    if isinstance(error, StaleDataError):
        return NotFound(None, _ROW_IS_GONE)
    if isinstance(error, SQLAlchemyError):
        # The messages of other classes may quote a value.
        is_plain = isinstance(error, InvalidRequestError)
        message = str(error) if is_plain else type(error).__name__
        return UsageError(f"SQLAlchemy refused the call: {message}")
    return DatabaseError(f"unexpected {type(error).__name__} from the driver")


def _is_transient(error: Exception, state: str | None) -> bool:
    """Return whether the fault that prevented a connection may go away by itself."""
    if state is not None:
        return state[:2] in TRANSIENT_CLASSES
    # A connection that breaks during the handshake arrives wrapped.
    cause = innermost_cause(error)
    if isinstance(cause, ssl.SSLError | socket.gaierror):
        return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return False
    # The server is stopping, or no host accepts writes yet because one is being promoted.
    if isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    # The driver reports a server without TLS as "rejected SSL upgrade". A server that is stopping
    # answers the request for TLS with an error, which the driver reports in other words.
    return isinstance(cause, OSError) and "rejected SSL upgrade" not in str(cause)


def _describe(error: BaseException) -> str:
    """Return the driver's message, or the first line of the server's.

    That line may name a user, a database or a setting.
    """
    cause: BaseException = server_error(error) or innermost_cause(error)
    if isinstance(cause, asyncpg.TargetServerAttributeNotMatched):
        return "no host is what target_session_attrs asks for"
    # The driver raises InternalClientError where the connection closes between two statements.
    # Where an error of the server came first, its message may quote a value.
    if isinstance(cause, asyncpg.InternalClientError) or was_cut_short(error):
        return "the server closed the connection"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        if cause.errno is not None and cause.errno > 0:
            return os.strerror(cause.errno)  # plainer than asyncio's message
        if cause.strerror:
            return cause.strerror
        if type(cause) is ConnectionError and "SSL" not in str(cause):
            return "the server closed the connection"
    return _first_line(cause)


def _first_line(error: BaseException) -> str:
    """Return the server's message, without the DETAIL, HINT and CONTEXT that follow it."""
    return str(error).partition("\n")[0] or type(error).__name__
