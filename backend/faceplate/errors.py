"""Every error that leaves the package.

::

    FaceplateError
    ├── ConfigurationError      a setting is missing or malformed
    ├── UsageError              the library was called in a way that cannot work
    ├── InvalidInput            a value breaks a rule; nothing was written
    ├── NotFound                no such row, or it is somebody else's
    ├── Conflict                a row is there already, or is still referred to
    ├── Unauthorized            the database refused the operation
    ├── Unavailable             the server cannot be used now
    │   ├── CannotConnect       it never will, as things are: password, database, TLS
    │   ├── ConnectionLost      the connection broke while a unit was running
    │   ├── Overloaded          too many units wait for a connection already
    │   ├── PoolExhausted       no connection became free in time
    │   └── ShuttingDown        the Database is being closed
    ├── TimedOut                the server or the driver ran into a time limit
    ├── Contention              deadlocks or serialization failures, beyond the retries
    ├── SchemaChanged           a migration has changed a table under a prepared statement
    ├── CommitOutcomeUnknown    nobody can tell whether the COMMIT took effect
    └── DatabaseError           any other error of the server

A caller that is cancelled gets CancelledError; `was_committed` tells whether the unit took effect.

No message carries a password, a token or the content of a row.
"""

import re
from collections.abc import Sequence
from uuid import UUID


def _words(record: type | None) -> str:
    """Return the name of a record in words: ``mcp config`` of McpConfig."""
    name = "row" if record is None else record.__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


class FaceplateError(Exception):
    """The root of every error that faceplate raises.

    ``sqlstate`` is PostgreSQL's five-character code where the server said one, else None.
    ``unit`` is the module and name of the unit that was running, such as ``messages.append``, and
    ``begin`` in a block; None outside of both.
    """

    sqlstate: str | None = None
    unit: str | None = None
    is_recorded = False  # whether faceplate.events has counted and logged it already

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
    """A setting is missing or malformed: which one, what was read, what a right one looks like."""


class UsageError(FaceplateError):
    """The library was called in a way that cannot work; the message says what to do instead."""


class InvalidInput(FaceplateError, ValueError):  # noqa: N818 - named for what it says
    """A value breaks a rule. It was refused before anything was written.

    ``field`` is ``table.column`` or the argument's name; ``rule`` says what is allowed and,
    where a length counts, what was given. The value itself is never repeated.
    """

    def __init__(self, field: str, rule: str, *, sqlstate: str | None = None) -> None:
        super().__init__(f"{field}: {rule}", sqlstate=sqlstate)
        self.field = field
        self.rule = rule

    def __reduce__(self) -> tuple[type["InvalidInput"], tuple[str, str], dict[str, object]]:
        return type(self), (self.field, self.rule), vars(self)


class NotFound(FaceplateError, LookupError):  # noqa: N818 - named for what it says
    """There is no such row for this user. Another user's row gives the same error.

    ``record`` says of which kind it would be. ``constraint`` is the foreign key's name where a row
    was to be stored that refers to it; ``record`` is None for a table of the application's own.
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
    """A row is there already that this one would repeat, or is still referred to by another.

    ``constraint`` is the constraint's name in the database, or None where it did not say.
    """

    def __init__(
        self, message: str, *, constraint: str | None = None, sqlstate: str | None = None
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.constraint = constraint


class Unauthorized(FaceplateError):  # noqa: N818 - named for what it says
    """The database refused the operation: a missing privilege, or row-level security."""


class Unavailable(FaceplateError):  # noqa: N818 - named for what it says
    """The server cannot be used now: not reached, refused, or the connection was lost."""


class CannotConnect(Unavailable):
    """The server cannot be used with these settings; trying again would not help."""


class ConnectionLost(Unavailable):
    """The connection broke, or its server took no more writes, before COMMIT: nothing was kept."""

    in_doubt = False  # broke during the COMMIT of a unit that may simply be run again


class Overloaded(Unavailable):
    """Too many units wait for a connection already (``max_waiting``); this one was not begun."""


class PoolExhausted(Unavailable):
    """No pooled connection became free within ``pool_timeout_s``."""


class ShuttingDown(Unavailable):
    """The `Database` is being closed: this was not begun, or cut off and rolled back.

    Another process may do it.
    """


class TimedOut(FaceplateError):  # noqa: N818 - named for what it says
    """A statement, lock, transaction or command ran into its time limit and was rolled back."""


class Contention(FaceplateError):  # noqa: N818 - named for what it says
    """Others got in the way, beyond the retries or in a block, which has none; nothing was written.

    By deadlocks, serialization failures, or the same message appended at the same time.
    """


class SchemaChanged(FaceplateError):  # noqa: N818 - named for what it says
    """A migration has changed a table under a prepared statement; a second try sees the new one."""


class CommitOutcomeUnknown(FaceplateError):  # noqa: N818 - named for what it says
    """The connection was lost during COMMIT and its outcome could not be found out.

    ``ids`` are the ids that the unit minted, in order: look for them before trying again.
    """

    def __init__(self, message: str, *, ids: Sequence[UUID] = ()) -> None:
        super().__init__(message)
        self.ids = tuple(ids)


class CancelledAfterCommit(Exception):  # noqa: N818 - named for what it says
    """The caller was cancelled while COMMIT was in flight, and the unit took effect.

    It is the ``__cause__`` of the CancelledError that `Database.run` raises then, and so of the
    TimeoutError that `asyncio.timeout` and `asyncio.wait_for` make of that: ask `was_committed`.
    Any other cancellation means that nothing was written.

    Ask right around `run`. What is further out may hide it: `asyncio.gather`, a task that is
    awaited for the second time, and a cancel scope of anyio raise a CancelledError of their own or
    none.
    """

    def __init__(self) -> None:
        super().__init__("cancelled while COMMIT was in flight; what the unit did is kept")


def was_committed(error: BaseException) -> bool:
    """Return whether a unit took effect although ``error`` left it.

    ``error`` is the CancelledError or TimeoutError that was caught around `Database.run`.
    """
    seen: set[int] = set()
    below: BaseException | None = error
    while below is not None and id(below) not in seen:
        if isinstance(below, CancelledAfterCommit):
            return True
        seen.add(id(below))
        below = below.__cause__ or below.__context__
    return False


class DatabaseError(FaceplateError):
    """The server answered with an error that none of the other classes stands for."""
