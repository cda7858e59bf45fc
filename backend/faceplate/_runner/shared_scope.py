"""The scope of a unit whose statement is sent in a shared flight."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from faceplate._driver import preamble
from faceplate._driver.connection import Connection
from faceplate._runner.flight import FliesAlone, Passenger
from faceplate._runner.shared_flights import SharedFlights
from faceplate._transaction.state import Ids
from faceplate.errors import CancelledAfterCommit, CommitOutcomeUnknown, ConnectionLost, Unavailable
from faceplate.scope import Scope
from faceplate.statement import Statement

R = TypeVar("R")
T = TypeVar("T")


class SharedScope(Scope):
    """The scope of a unit of one statement, which it sends in a shared flight.

    It has no connection. If the unit needs one, it is run again.
    """

    is_on_citus = False
    """Nothing is shared there."""
    _has_flown = False

    def __init__(self, flights: SharedFlights, user_id: UUID, *, read_only: bool) -> None:
        self.settings = flights.settings
        self.ids = self._ids = Ids()
        self._flights = flights
        self._user_id = user_id
        self._read_only = read_only
        self.autocommits = True

    async def run_unit(self, unit: Callable[[Scope], Awaitable[T]]) -> T:
        """Return what the unit returns. Raises FliesAlone, NeedsTransaction."""
        try:
            result = await unit(self)
            self.check_complete()
        finally:
            self.close()
        return result

    async def all(self, statement: Statement[R], **values: Any) -> list[R]:
        """Return the rows."""
        if not statement.may_share or self.is_busy or self._has_flown:
            return await super().all(statement, **values)  # which needs a connection
        self.check_usable()
        self._check_only_reads(statement.compiled)
        passenger = self._passenger(statement, values)
        self.is_busy = self._has_flown = True
        try:
            self._flights.add(passenger)
            rows = await passenger
        except Unavailable as error:
            self.connection_error = error
            if passenger.cancelled is None:
                raise
            if isinstance(error, ConnectionLost) and error.in_doubt:
                raise CommitOutcomeUnknown(error.message, ids=self.ids.minted) from None
            raise passenger.cancelled from None
        except (FliesAlone, asyncio.CancelledError):
            if passenger.cancelled is None:
                self._go_alone()
            raise passenger.cancelled from None
        finally:
            self.is_busy = False
            if passenger.cancelled is not None:
                self._flights.leave(passenger)
        if passenger.cancelled is not None:
            has_committed = passenger.writes and bool(rows)
            raise passenger.cancelled from CancelledAfterCommit() if has_committed else None
        return statement.make_all(rows)

    def _passenger(self, statement: Statement[Any], values: dict[str, Any]) -> Passenger:
        compiled, settings = statement.compiled, self.settings
        arguments = compiled.bind(values, self._user_id)
        enter = preamble.enter(self._user_id, settings.seal)
        return Passenger(
            compiled.sql,
            arguments,
            enter if settings.row_level_security else preamble.NONE,
            key=None if statement.locks_by is None else values[statement.locks_by].int,
            writes=compiled.writes,
            limit=values.get("limit", 1),
        )

    def _go_alone(self) -> NoReturn:
        """Leave the unit, and have the runner run it again by itself."""
        self.needs_transaction = True  # should the unit catch this, it is run in a transaction
        raise FliesAlone

    @property
    def _driver(self) -> Connection:  # type: ignore[override]  # an attribute there; here it never returns
        self.restart_in_transaction()
