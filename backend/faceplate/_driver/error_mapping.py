"""What an exception of the driver or of SQLAlchemy means, as one of faceplate's own errors.

An error is told by its severity, its SQLSTATE and its constraint, not by its class or its message:
the same fault arrives wrapped or bare depending on the version and on the moment it struck.
`MISUSES` is what has none of them.

A FATAL or PANIC ends the connection, whatever its SQLSTATE: poolers have codes of their own.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import asyncpg
from sqlalchemy.exc import (
    InvalidRequestError,
    PendingRollbackError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from faceplate._driver import constraints
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

# https://www.postgresql.org/docs/18/errcodes-appendix.html
LOST = {
    "57P01",
    "57P02",
    "57P03",
    "57P05",
    "53300",
    "25006",
}  # class 08 and ENDS too: see is_connection_lost
ENDS = {"FATAL", "PANIC"}
"""The severities after which the server, or a pooler, closes the connection."""
TIME_LIMITS = {"25P03", "25P04"}
"""They end the connection too, but nothing is wrong with the server, and a retry would only run
into them again."""
PASSING = {"08", "53", "57", "58", "XX"}
"""The classes of what keeps a connection from being made for a while. Poolers at their limit or
without their server say 53400, 58000, XX000."""
ABOUT_ROWS = {"22", "23", "44", "P0"}
"""The classes whose words may quote a value of a row."""
READ_ONLY = "25006"
READ_ONLY_WORDS = (
    "the server is read-only: it is a standby, or default_transaction_read_only is on (for the"
    " server, the database or the role)"
)
CONTENTION = "other transactions kept getting in the way"
FLUSH_FAILED = (
    "a flush had failed and its error was caught: a part that may fail belongs into"
    " `async with scope.session.begin_nested():`, and its error is caught around that"
)
VANISHED = "a row that the session was to change or delete is not there any more"
UNMIGRATED = "a table or a column is not there: if it is faceplate's, run `faceplate migrate`"
SWALLOWED = "nothing was written: a statement of the unit had failed and its error was caught"
MEANINGS: dict[str, tuple[type[FaceplateError], str]] = {
    "57014": (TimedOut, "the statement was cancelled, or ran longer than statement_timeout_s"),
    "55P03": (TimedOut, "a lock was not free within lock_timeout_s"),
    "25P03": (TimedOut, "the transaction was idle longer than idle_in_transaction_timeout_s"),
    "25P04": (TimedOut, "the transaction ran longer than the server's transaction_timeout"),
    "40001": (Contention, CONTENTION),
    "40P01": (Contention, CONTENTION),
    "25P02": (DatabaseError, SWALLOWED),
    "42501": (Unauthorized, "the database refused the operation"),
    "53100": (DatabaseError, "the server's disk is full"),
    "42P01": (DatabaseError, UNMIGRATED),
    "42703": (DatabaseError, UNMIGRATED),
    "3F000": (DatabaseError, UNMIGRATED),
}
BUSY = (
    "a scope is for one task at a time: await one statement before the next, or let each task run"
    " a unit of its own"
)
# By the driver's words, for want of a code; what it may quote a value in is not among them.
MISUSES = {
    "another operation is in progress": BUSY,
    "the number of query arguments cannot exceed": "a statement takes at most 32,767 values: pass"
    " one array (`column == any_(array)`), or run several statements",
}
# The function of PostgreSQL that refuses, under row_security = off, what a policy would cut down.
HIDES_ROWS = "check_enable_rls"
# The one by which PL/pgSQL raises what a function says, with any SQLSTATE that it says.
RAISES = "exec_stmt_raise"
BLIND = (
    "the connecting role cannot see the rows of all users: connect as the owner of faceplate's"
    " tables, or name its login in FACEPLATE_OWNER_URL; where a unit is refused so, row_security is"
    " off for its login: see `faceplate check`"
)
REFUSED = {"23502": "is required", "23514": "breaks a rule of the table"}
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
FOREIGN_ERRORS = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What leaves a unit as one of faceplate's errors. An OSError is the unit's own."""


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything under it, the outermost first."""
    seen: set[int] = set()
    below: BaseException | None = error
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        yield below
        below = getattr(below, "orig", None) or below.__cause__


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE that the server gave, or None where it did not come to that."""
    states = _sqlstates(error)
    if not states:
        return None
    if _was_cut_short(error):
        return next(state for state in states if state.startswith("08"))
    # The innermost one is the server's own word; the ones around it may be the driver's, for
    # example 08003 around 57P01.
    return states[-1]


def _was_cut_short(error: BaseException) -> bool:
    """Whether the connection was lost just after the server had told of an error in a statement.

    Where that error was the end of the connection, as 57P01 is, the server calls it FATAL.
    """
    server = _server_error(error)
    if server is None or _severity_of(server) in ENDS or server.sqlstate in TIME_LIMITS:
        return False
    return any(state.startswith("08") for state in _sqlstates(error) if state != server.sqlstate)


def _server_error(error: BaseException) -> Any:
    """Return the driver's copy of the server's own error, or None where the server said nothing.

    The driver's errors of the same classes, such as 08003 around a FATAL, have no severity.
    """
    said = (cause for cause in error_chain(error) if isinstance(cause, asyncpg.PostgresError))
    return next((cause for cause in said if _severity_of(cause)), None)


def _severity(error: BaseException) -> str | None:
    server = _server_error(error)
    return None if server is None else _severity_of(server)


def _severity_of(server: Any) -> str | None:
    # PostgreSQL translates the other one; old poolers send no field V.
    severity: str | None = server.severity_en or server.severity
    return severity


def _sqlstates(error: BaseException) -> list[str]:
    return [state for cause in error_chain(error) if (state := getattr(cause, "sqlstate", None))]


def is_connection_lost(error: BaseException, *, closed: bool) -> bool:
    """Whether the connection is what failed. ``closed`` says if the driver has given it up.

    A statement that was on its way may have been run, and a COMMIT may have taken effect.
    """
    state = sqlstate_of(error)
    if _severity(error) in ENDS:
        return state not in TIME_LIMITS
    if state is not None:
        if not state.startswith("08") and state not in LOST:
            return False
        return closed or not _is_from_statement(error, state)
    if any(isinstance(cause, FaceplateError | TimeoutError) for cause in error_chain(error)):
        return False
    # Between a server's last word and the end of the stream, the driver is only out of step.
    kinds = DRIVER_ERRORS if closed else (asyncpg.InternalClientError, ConnectionError)
    return any(isinstance(cause, kinds) for cause in error_chain(error))


def _is_from_statement(error: BaseException, state: str) -> bool:
    """Whether a statement has raised it, as a function may, or a wrapper of foreign data that has
    lost a server of its own: the connection goes on.

    A pooler names no place in PostgreSQL's source.
    """
    server = _server_error(error)
    if server is None or server.sqlstate != state or server.server_source_filename is None:
        return False
    return state.startswith("08") or server.server_source_function == RAISES


def is_from_pooler(error: BaseException) -> bool:
    """Whether a pooler says that it has lost its server, as a plain ERROR.

    PostgreSQL names the place in its source with each error.
    """
    server = _server_error(error)
    if server is None or server.server_source_filename is not None:
        return False
    return server.sqlstate[:2] in PASSING and server.sqlstate not in MEANINGS


def map_connect_error(error: Exception, *, target: str, limit_s: float) -> FaceplateError:
    """Return faceplate's error for a connection that could not be made."""
    state = sqlstate_of(error)
    if isinstance(error, FaceplateError):
        return error
    if isinstance(error, PoolTimeout):
        return PoolExhausted("no connection became free within pool_timeout_s; all are in use")
    if isinstance(error, TimeoutError):
        notes = [note for cause in error_chain(error) for note in getattr(cause, "__notes__", ())]
        unanswered = UNANSWERED if UNANSWERED in notes else "no answer"
        return Unavailable(f"{target}: {unanswered} within {limit_s:g} s")
    kind = Unavailable if _passes(error, state) else CannotConnect
    return kind(f"{target}: {_words(error)}", sqlstate=state)


def _passes(error: Exception, state: str | None) -> bool:
    """Whether the fault that kept a connection from being made may go away by itself."""
    if state is not None:
        return state[:2] in PASSING
    cause = list(error_chain(error))[
        -1
    ]  # a connection that breaks while it is set up comes wrapped
    if isinstance(cause, ssl.SSLError | socket.gaierror):
        return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
    if isinstance(cause, asyncpg.ClientConfigurationError):
        return False
    # Out of step with a server that ends; or no host takes writes, and one is being promoted.
    if isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    # An error in answer to the request for TLS is said in other words: the server goes away.
    return isinstance(cause, OSError) and "rejected SSL upgrade" not in str(cause)


def map_error(error: Exception, *, target: str, closed: bool = False) -> FaceplateError:
    """Return faceplate's error for ``error``. ``target`` says which server, without secrets."""
    for cause in error_chain(error):
        if isinstance(cause, FaceplateError):
            return cause
    state = sqlstate_of(error)
    if is_connection_lost(error, closed=closed):
        return ConnectionLost(f"{target}: {describe_loss(error)}", sqlstate=state)
    if state is not None:
        return _by_sqlstate(state, _server_error(error) or list(error_chain(error))[-1])
    if any(isinstance(cause, TimeoutError) for cause in error_chain(error)):
        return TimedOut(f"{target}: no answer within command_timeout_s")
    if isinstance(error, PendingRollbackError):  # it repeats the first one's words
        return UsageError(FLUSH_FAILED)
    return _by_words(list(error_chain(error))[-1])


def _by_words(innermost: BaseException) -> FaceplateError:
    if isinstance(innermost, asyncpg.InterfaceError):
        for words, remedy in MISUSES.items():
            if words in str(innermost):
                return UsageError(remedy)
    if isinstance(innermost, StaleDataError):
        return NotFound(None, VANISHED)
    if isinstance(innermost, SQLAlchemyError):
        # Other errors may quote what they were given.
        is_plain = isinstance(innermost, InvalidRequestError)
        words = str(innermost) if is_plain else type(innermost).__name__
        return UsageError(f"SQLAlchemy refused the call: {words}")
    return DatabaseError(f"unexpected {type(innermost).__name__} from the driver")


def _by_sqlstate(state: str, server: Any) -> FaceplateError:
    if isinstance(server, asyncpg.InvalidCachedStatementError):
        return SchemaChanged("a table was changed under a prepared statement", sqlstate=state)
    if state in MEANINGS:
        kind, message = MEANINGS[state]
        if getattr(server, "server_source_function", None) == HIDES_ROWS:
            message = BLIND
        return kind(message, sqlstate=state)
    if (broken := constraints.refusal(state, server)) is not None:
        return broken
    if state in REFUSED or state.startswith("22"):
        rule = REFUSED.get(state, "the database refused the value")
        named = ("table_name", "column_name", "constraint_name")
        field = ".".join(filter(None, (getattr(server, name, None) for name in named))) or "value"
        return InvalidInput(field, rule, sqlstate=state)
    return DatabaseError(f"the server raised {type(server).__name__}", sqlstate=state)


def describe_loss(error: BaseException) -> str:
    """Return in words why a unit's connection was lost, without a value of a row."""
    state = sqlstate_of(error)
    if state == READ_ONLY:
        return READ_ONLY_WORDS
    if state is not None and state[:2] in ABOUT_ROWS:
        return "the server ended the connection"
    return _words(error)


def _words(error: BaseException) -> str:
    """Return the innermost cause in words: the driver's, or the first line of the server's.

    That line may name a user, a database or a setting.
    """
    innermost = _server_error(error) or list(error_chain(error))[-1]
    if isinstance(innermost, asyncpg.TargetServerAttributeNotMatched):
        return "no host is what target_session_attrs asks for"
    # The driver finds it so between statements. What the server said before may quote a value.
    if isinstance(innermost, asyncpg.InternalClientError) or _was_cut_short(error):
        return "the server closed the connection"
    if isinstance(innermost, OSError) and not isinstance(innermost, ssl.SSLError):
        if innermost.errno is not None and innermost.errno > 0:
            return os.strerror(innermost.errno)  # asyncio's own words are less plain
        if innermost.strerror:
            return innermost.strerror
        if type(innermost) is ConnectionError and "SSL" not in str(innermost):
            return "the server closed the connection"
    # The server's DETAIL, HINT and CONTEXT follow the first line, or are left out.
    return str(innermost).partition("\n")[0] or type(innermost).__name__
