"""`Faults`: what a test plans to go wrong between its service and PostgreSQL."""

from collections.abc import Callable
from typing import Final, Literal

from faceplate.errors import (
    Conflict,
    Contention,
    DatabaseError,
    FaceplateError,
    InvalidInput,
    SchemaChanged,
    TimedOut,
    Unauthorized,
    UsageError,
)
from faceplate.testing._proxy import Fault, Point, Proxy

SQLSTATES: Final[dict[type[FaceplateError], str]] = {
    Conflict: "23505",
    Contention: "40001",
    DatabaseError: "53100",
    InvalidInput: "22023",
    SchemaChanged: "26000",
    TimedOut: "57014",
    Unauthorized: "42501",
}
At = Literal["statement", "commit"]
POINTS: Final[dict[At, Callable[[Point], bool]]] = {
    "statement": lambda point: point.is_statement,
    "commit": lambda point: point.is_commit,
}


class Faults:
    """Faults on the connections of a test: of its `Database` and of its application.

    A fault strikes once, at the next statement or COMMIT on any of these connections; several
    strike in the order in which they were planned. PostgreSQL, the driver, the error mapping and
    the retries are those of production.
    """

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def lose_connection(self, at: At = "statement", *, times: int = 1) -> None:
        """Close the connection just before the next statement, or COMMIT, reaches the server.

        Nothing was written. `Database.run` retries a unit once; with ``times=2`` its caller gets
        ConnectionLost. A block of `Database.begin` is never retried.

        Raises UsageError for another place.
        """
        if at not in POINTS:
            raise UsageError(f"a connection is lost at {' or '.join(POINTS)}, not at {at!r}")
        for _ in range(times):
            self._plan(Fault(POINTS[at], is_lost=True))

    def fail_commit(self, *, committed: bool) -> None:
        """Lose the answer to the next COMMIT of a transaction that writes.

        The transaction has taken effect, or has not, as ``committed`` says. The caller gets
        CommitOutcomeUnknown: the server does not remember the outcome when the runner asks, and
        where the runner would find out by a retry, the retry is lost as well.
        """
        forgotten = Fault(lambda point: point.is_question, is_forgotten=True)
        lost_again = Fault(POINTS["statement"], is_lost=True)
        self._plan(
            Fault(
                POINTS["commit"],
                is_lost=not committed,
                is_lost_after=committed,
                then=(forgotten, lost_again),
            )
        )

    def refuse_next(self, error: type[FaceplateError] | str, *, times: int = 1) -> None:
        """Have PostgreSQL refuse the next statement, with an error class or an SQLSTATE.

        The transaction is aborted, as after any error. Contention and SchemaChanged are retried,
        so a caller of `Database.run` sees them only with more ``times``.

        Raises UsageError for an error that no statement can raise.
        """
        for _ in range(times):
            self._plan(Fault(POINTS["statement"], refusal=_raising(error)))

    def slow(self, seconds: float) -> None:
        """Hold the next statement back."""
        self._plan(Fault(POINTS["statement"], delay_s=seconds))

    @property
    def planned(self) -> int:
        """How many faults have not struck yet."""
        return len(self._proxy.faults)

    def clear(self) -> None:
        """Forget the faults that have not struck yet."""
        self._proxy.faults.clear()

    def _plan(self, fault: Fault) -> None:
        self._proxy.faults.append(fault)


def _raising(error: type[FaceplateError] | str) -> str:
    """Return SQL that raises an error with the SQLSTATE of ``error``."""
    state = SQLSTATES.get(error) if isinstance(error, type) else error
    if state is None:
        known = ", ".join(sorted(kind.__name__ for kind in SQLSTATES))
        raise UsageError(
            f"no statement is refused with {error}: name an SQLSTATE or one of {known};"
            " for a lost connection, use lose_connection() or fail_commit()"
        )
    if len(state) != 5 or not state.isalnum() or not state.isascii() or state == "00000":
        raise UsageError(f"an SQLSTATE has five digits or capital letters, not {state!r}")
    return (
        "DO $$BEGIN RAISE EXCEPTION 'refused by faceplate_faults' USING"
        f" ERRCODE = '{state}', SCHEMA = 'faceplate', TABLE = 'refused', CONSTRAINT = 'refused';"
        " END$$"
    )
