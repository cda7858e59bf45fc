"""Facts about an error of the driver or SQLAlchemy: SQLSTATE, severity, loss.

A server's error is classified by its severity, its SQLSTATE and its constraint. Its class does not
matter, because the same fault arrives bare or wrapped, depending on versions and timing. The
driver's own errors have no SQLSTATE, so `error_mapping` knows some of them by class or message.

FATAL and PANIC end the connection whatever their SQLSTATE is: poolers have codes of their own.
"""

from collections.abc import Iterator
from typing import Any

import asyncpg

from faceplate.errors import FaceplateError

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
# https://www.postgresql.org/docs/18/errcodes-appendix.html
READ_ONLY = "25006"
LOST_STATES = {"57P01", "57P02", "57P03", "57P05", "53300", READ_ONLY}
"""The SQLSTATEs, beside class 08, that mean a lost connection."""
ENDING_SEVERITIES = {"FATAL", "PANIC"}
"""The severities after which the server, or a pooler, closes the connection."""
TIME_LIMIT_STATES = {"25P03", "25P04"}
"""Time limits that end the connection. The server is fine, and a retry would reach them again."""

_RAISE_FUNCTION = "exec_stmt_raise"
"""PostgreSQL's C function behind RAISE in PL/pgSQL, which may use any SQLSTATE."""


def error_chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, the outermost first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__


def innermost_cause(error: BaseException) -> BaseException:
    """Return the last error of the chain."""
    return list(error_chain(error))[-1]


def server_error(error: BaseException) -> Any:
    """Return the driver's copy of the server's own error, or None.

    Errors of the same classes that the driver makes itself, such as 08003 around a FATAL, have no
    severity.
    """
    copies = (cause for cause in error_chain(error) if isinstance(cause, asyncpg.PostgresError))
    return next((copy for copy in copies if _severity(copy)), None)


def sqlstate_of(error: BaseException) -> str | None:
    """Return the server's SQLSTATE, or None if the error has none."""
    states = _sqlstates(error)
    if not states:
        return None
    if was_cut_short(error):
        return next(state for state in states if state.startswith("08"))
    # The innermost is the server's; those around it may be the driver's, as 08003 around 57P01.
    return states[-1]


def was_cut_short(error: BaseException) -> bool:
    """Return whether the connection broke right after the error of a statement.

    An error that is itself the end of the connection, such as 57P01, is FATAL.
    """
    server = server_error(error)
    if server is None or _severity(server) in ENDING_SEVERITIES:
        return False
    if server.sqlstate in TIME_LIMIT_STATES:
        return False
    return any(state.startswith("08") for state in _sqlstates(error) if state != server.sqlstate)


def is_connection_lost(error: BaseException, *, closed: bool) -> bool:
    """Return whether the connection failed, as opposed to the statement.

    ``closed`` says whether the driver has closed it. A statement that was in flight may have run,
    and a COMMIT may have taken effect.
    """
    state = sqlstate_of(error)
    server = server_error(error)
    if server is not None and _severity(server) in ENDING_SEVERITIES:
        return state not in TIME_LIMIT_STATES
    if state is not None:
        if not state.startswith("08") and state not in LOST_STATES:
            return False
        return closed or not _is_from_statement(server, state)
    if any(isinstance(cause, FaceplateError | TimeoutError) for cause in error_chain(error)):
        return False
    # Between the server's last message and the end of the stream, the driver may raise these two
    # before it has noticed that the connection is closed.
    kinds = DRIVER_ERRORS if closed else (asyncpg.InternalClientError, ConnectionError)
    return any(isinstance(cause, kinds) for cause in error_chain(error))


def _is_from_statement(server: Any, state: str) -> bool:
    """Return whether a statement raised the error and the connection still works.

    A function may raise any SQLSTATE, and a foreign data wrapper raises class 08 when it loses its
    own server. A pooler names no place in PostgreSQL's source.
    """
    if server is None or server.sqlstate != state or server.server_source_filename is None:
        return False
    return state.startswith("08") or server.server_source_function == _RAISE_FUNCTION


def _severity(server: Any) -> str | None:
    # PostgreSQL translates `severity`; old poolers do not send `severity_en` (field V).
    severity: str | None = server.severity_en or server.severity
    return severity


def _sqlstates(error: BaseException) -> list[str]:
    return [state for cause in error_chain(error) if (state := getattr(cause, "sqlstate", None))]
