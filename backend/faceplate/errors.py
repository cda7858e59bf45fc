"""Every error that leaves the package.

::

    FaceplateError
    ├── ConfigurationError      a setting is missing or malformed
    ├── UsageError              the library was called in a way that cannot work
    ├── InvalidInput            a value breaks a rule; nothing was written
    ├── NotFound                the row does not exist, or belongs to another user
    ├── Conflict                the row exists already, or another row refers to it
    │   └── NotErased           rows of a user are left after an erasure
    ├── Unauthorized            the database refused the operation
    ├── Unavailable             the server cannot be used now
    │   ├── CannotConnect       the settings do not allow it: password, database, TLS
    │   ├── ConnectionLost      the connection broke while a unit was running
    │   ├── Overloaded          too many units already wait for a connection
    │   ├── PoolExhausted       no connection became free in time
    │   └── ShuttingDown        the Database is being closed
    ├── TimedOut                the server or the driver reached a time limit
    ├── Contention              deadlocks or serialization failures outlasted the retries
    ├── SchemaChanged           a migration changed a table under a prepared statement
    ├── CommitOutcomeUnknown    it could not be found out whether the COMMIT took effect
    └── DatabaseError           any other error of the server

No message carries a password, a token or the content of a row.

A cancelled caller gets CancelledError; `was_committed` tells whether the unit took effect.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID


def _words(record: type | None) -> str:
    """Return the name of a record in words: ``mcp config`` of McpConfig."""
    name = "row" if record is None else record.__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


class FaceplateError(Exception):
    """The base class of every error that faceplate raises.

    ``sqlstate`` is PostgreSQL's five-character code, or None if the server sent none. ``unit`` is
    the module and name of the unit that was running, such as ``messages.append``. It is ``begin``
    in a block of `Database.begin`, and None outside units and blocks.
    """

    sqlstate: str | None = None
    unit: str | None = None
    is_recorded = False  # whether faceplate.events has counted and logged this error

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if sqlstate is not None:
            self.sqlstate = sqlstate

    def __str__(self) -> str:
        where = f"{self.unit}: " if self.unit else ""
        code = f" [SQLSTATE {self.sqlstate}]" if self.sqlstate else ""
        return f"{where}{self.message}{code}"


class ConfigurationError(FaceplateError):
    """A setting is missing or malformed.

    The message names the setting, shows the value that was read, and gives a valid example.
    """


class UsageError(FaceplateError):
    """The caller used the library in a way that cannot work.

    The message says what to do instead.
    """


class InvalidInput(FaceplateError, ValueError):  # noqa: N818 - named for what it says
    """A value breaks a rule. It was refused before anything was written.

    ``field`` is ``table.column`` or the name of the argument. ``rule`` says what is allowed and,
    for a limit on length, how long the value was. The message never contains the value.
    """

    def __init__(self, field: str, rule: str, *, sqlstate: str | None = None) -> None:
        super().__init__(f"{field}: {rule}", sqlstate=sqlstate)
        self.field = field
        self.rule = rule

    def __reduce__(self) -> tuple[type["InvalidInput"], tuple[str, str], dict[str, object]]:
        return type(self), (self.field, self.rule), vars(self)


class NotFound(FaceplateError, LookupError):  # noqa: N818 - named for what it says
    """The row does not exist for this user. Another user's row raises the same error.

    ``record`` is the record's class, or None for a table of the application. ``constraint`` is the
    name of the foreign key if a new row referred to a missing one, else None.
    """

    def __init__(
        self,
        record: type | None,
        message: str | None = None,
        *,
        constraint: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message or f"{_words(record)} not found", sqlstate=sqlstate)
        self.record = record
        self.constraint = constraint

    def __reduce__(self) -> tuple[type["NotFound"], tuple[type | None, str], dict[str, object]]:
        return type(self), (self.record, self.message), vars(self)


class Conflict(FaceplateError):  # noqa: N818 - named for what it says
    """A unique key is taken, or another row still refers to the row.

    ``constraint`` is the constraint's name in the database, or None if the server sent none.
    """

    def __init__(
        self, message: str, *, constraint: str | None = None, sqlstate: str | None = None
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.constraint = constraint


class NotErased(Conflict):
    """Rows of a user are left after `faceplate.erasure.erase`; the user's own row may be gone.

    The attributes are those of `faceplate.erasure.Erased`: ``left`` has how many rows each table
    still holds.
    """

    def __init__(
        self,
        *,
        rows: dict[str, int],
        user: bool,
        left: dict[str, int],
        unproven: dict[str, str],
    ) -> None:
        found = ", ".join(f"{number} in {table}" for table, number in left.items() if number)
        super().__init__(
            f"rows of the user are left: {found}; give each table a foreign key to faceplate.users"
            " with ON DELETE CASCADE, or remove its rows, and erase again"
        )
        self.rows = rows
        self.user = user
        self.left = left
        self.unproven = unproven

    def __reduce__(self) -> Any:
        given = {name: vars(self)[name] for name in ("rows", "user", "left", "unproven")}
        return partial(type(self), **given), (), vars(self)


class Unauthorized(FaceplateError):  # noqa: N818 - named for what it says
    """The database refused the operation: a missing privilege, or row-level security."""


class Unavailable(FaceplateError):  # noqa: N818 - named for what it says
    """The server cannot be used now: unreachable, refusing or disconnected."""


class CannotConnect(Unavailable):
    """The server cannot be used with these settings; a retry would not help."""


class ConnectionLost(Unavailable):
    """The connection broke before COMMIT; nothing was kept.

    Also raised if the server became read-only.
    """

    in_doubt = False  # whether it broke during the COMMIT of a unit that is safe to retry


class Overloaded(Unavailable):
    """``max_waiting`` units already wait for a connection; this one was not begun."""


class PoolExhausted(Unavailable):
    """No pooled connection became free within ``pool_timeout_s``."""


class ShuttingDown(Unavailable):
    """The `Database` is being closed; the unit was refused or rolled back.

    Another process can run it.
    """


class TimedOut(FaceplateError):  # noqa: N818 - named for what it says
    """A statement, lock, transaction or command reached its time limit.

    It was rolled back.
    """


class Contention(FaceplateError):  # noqa: N818 - named for what it says
    """Concurrent transactions conflicted with this one; nothing was written.

    The conflict is a deadlock, a serialization failure, or a message with the same id that was
    appended at the same time. It outlasted the retries, or happened in a block, which has none.
    """


class SchemaChanged(FaceplateError):  # noqa: N818 - named for what it says
    """A migration changed a table under a prepared statement.

    A retry sees the new table.
    """


class CommitOutcomeUnknown(FaceplateError):  # noqa: N818 - named for what it says
    """The connection was lost during COMMIT, and its outcome could not be found out.

    ``ids`` are the ids that the unit minted, in order. Look for their rows before a retry.
    """

    def __init__(self, message: str, *, ids: Sequence[UUID] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class CancelledAfterCommit(Exception):  # noqa: N818 - named for what it says
    """The caller was cancelled while COMMIT was in flight, and the unit took effect.

    It is the ``__cause__`` of the CancelledError that `Database.run` raises then, and so of the
    TimeoutError that `asyncio.timeout` and `asyncio.wait_for` make of it. `was_committed` looks
    for it. Any other cancellation means that nothing was written.

    Catch the error right around `run`. Further out it may be lost: `asyncio.gather`, a task that
    is awaited for the second time, and a cancel scope of anyio raise a CancelledError of their own
    or none.
    """

    def __init__(self) -> None:
        super().__init__("cancelled while COMMIT was in flight; what the unit did is kept")


def was_committed(error: BaseException) -> bool:
    """Return whether a unit took effect although its caller was cancelled.

    ``error`` is the CancelledError or TimeoutError that was caught around `Database.run`.
    """
    seen: set[int] = set()
    below: BaseException | None = error
    while below is not None and id(below) not in seen:
        if isinstance(below, CancelledAfterCommit):
            return True
        seen.add(id(below))
        below = below.__cause__
    return False


class DatabaseError(FaceplateError):
    """The server answered with an error that no other class covers."""
