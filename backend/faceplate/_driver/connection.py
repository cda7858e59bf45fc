"""What a connection of the driver runs, with what goes ahead of it."""

import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from faceplate._driver.encoding import Encoded, encode
from faceplate._driver.error_details import DRIVER_ERRORS
from faceplate._driver.preamble import BEGIN_FLIGHT, COMMIT, LocalSettings, Preamble
from faceplate._driver.preamble_row import PreambleRow
from faceplate._driver.preparing import PreparingConnection
from faceplate._driver.session_state import RESET_SESSION
from faceplate._driver.shared_flight import SharedFlight
from faceplate.config import Settings
from faceplate.errors import FaceplateError, UsageError

if TYPE_CHECKING:
    from faceplate._driver.wire import Wire

    DriverConnection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    DriverConnection = asyncpg.Connection  # generic in the stubs alone
Answer: TypeAlias = tuple[list[Any], bytes]
"""The rows of a statement and its command tag, such as ``UPDATE 3``."""

driver_uuid = asyncpg.pgproto.pgproto.UUID
"""The type of the UUIDs that the driver returns."""
PING_TIMEOUT_S = 2.0


class Connection(PreparingConnection):
    """A connection that sends preambles ahead of its statements, in one write.

    The methods of this class raise faceplate's errors; those inherited from asyncpg raise the
    driver's.
    """

    __slots__ = (
        "_preamble_row",
        "_wire",
        "carried_tags",
        "limits",
        "sent_preamble",
        "supports_marks",
    )

    limits: LocalSettings
    """The time limits that each transaction has to set: none, but behind a pooler."""
    supports_marks: bool | None
    """Whether the server tells a transaction's mark; None until that was tried."""
    sent_preamble: bool
    """Whether the last preamble was sent."""
    carried_tags: list[bytes]
    """The command tags of the statements that the last preamble with any has carried."""

    def set_up(self, settings: Settings, begun_s: float, wire: "Wire | None") -> None:
        """Set what the driver's own constructor has no argument for.

        With a ``wire``, statements are pipelined: see `faceplate._driver.wire`.
        """
        self.track(begun_s, is_pipelined=wire is not None)
        self.use(settings)
        self.limits = tuple(settings.transaction_settings.items())
        self._wire = wire
        self.sent_preamble = True
        self.carried_tags = []
        self._preamble_row: PreambleRow | None = None
        self.supports_marks = None

    def begin_unit(self) -> None:
        """Forget the preamble's row of the unit before."""
        self._preamble_row = None

    async def run(
        self,
        ahead: Preamble,
        sql: str,
        values: list[Any],
        *,
        limit: int = 0,
        may_commit: bool = False,
    ) -> Answer:
        """Run ``sql`` with the preamble ``ahead``; return up to ``limit`` rows, or all if it is 0.

        Both ``sql`` and ``ahead`` have to be ready, and take one round trip. `sent_preamble` tells
        afterwards whether the preamble was sent. ``may_commit`` says that the statement is a
        transaction by itself: without an answer it is in doubt.
        """
        self.queue_preamble(ahead, sql)
        started_s = time.monotonic()
        try:
            # What the methods of a prepared statement come to, three calls further down.
            state = self._prepared[sql].state
            rows, tag, _ = await self._protocol.bind_execute(
                state, values, "", limit, return_extra=True, timeout=None
            )
        except DRIVER_ERRORS as error:
            failure = self.map_error(error, may_commit=may_commit)
        except AttributeError:
            if self._protocol is not None:
                raise
            failure = self.map_error(asyncpg.InterfaceError("connection is closed"))
        else:
            self.is_preparing = False
            self.last_heard_s = time.monotonic()
            return rows, tag
        finally:
            self.end_preamble()
            if (elapsed_s := time.monotonic() - started_s) >= self._log_after_s:
                self.log(sql, elapsed_s, ahead)
        raise failure

    async def run_and_commit(
        self, ahead: Preamble, sql: str, values: list[Any], *, limit: int = 0
    ) -> Answer:
        """Run ``sql`` as `run` does, and commit the open transaction in the same round trip.

        The command tag is that of COMMIT. Raises UsageError where the connection is not pipelined.
        """
        if self._wire is None:
            raise UsageError("nothing goes behind a statement on this connection")
        with self._wire.ending_with(COMMIT):
            return await self.run(ahead, sql, values, limit=limit, may_commit=True)

    async def run_shared(
        self, sql: str, aheads: Sequence[Preamble], values: Sequence[list[Any]], ending: Preamble
    ) -> tuple[list[list[Any]], FaceplateError | None]:
        """Run ``sql`` with each of ``values``, in one transaction. Return the rows of each.

        Each has its preamble ahead, and ``ending`` runs behind the last. All of them,
        `BEGIN_FLIGHT` and ``sql`` have to be ready. After an error it returns that, too, and a list
        for each statement that went well, or for all where none is to blame; nothing of them is
        committed, or all is in doubt.
        """
        first, *others = (ahead.messages for ahead in aheads)
        preambles = [BEGIN_FLIGHT.messages + first, *others]
        flight = SharedFlight(self._wire, preambles, ending.messages)
        run = partial(self._protocol.bind_execute_many, timeout=None, return_rows=True)
        failure, rows = None, list[Any]()
        try:
            rows = await self.call(
                lambda _: run(self._prepared[sql].state, values, ""), sql, may_commit=True
            )
            self.last_heard_s = time.monotonic()
        except FaceplateError as error:
            failure = error
        finally:
            flight.end()
        counts = flight.counts()
        if failure is not None and not counts:
            return [[] for _ in values], failure
        # The first command is that of BEGIN_FLIGHT. A preamble that sets a user has one, too.
        counts = counts[2::2] if first else counts[1 : 1 + len(values)]
        found = iter(rows)
        return [list(islice(found, count)) for count in counts], failure

    def queue_preamble(self, ahead: Preamble, sql: str | None = None) -> None:  # noqa: ARG002 - a subclass needs it
        """Send ``ahead`` together with the next write, until `end_preamble`.

        That write runs ``sql``, which is ready, or it is SQLAlchemy's. Raises UsageError where the
        connection is not pipelined.
        """
        if not ahead.messages:
            return
        wire, row = self._wire, None
        if wire is None:
            raise UsageError("nothing goes ahead of a statement on this connection")
        if ahead.has_row or ahead.carried:
            row = PreambleRow(
                wire.transport, wire.protocol, has_row=ahead.has_row, carried=ahead.carried
            )
            self.carried_tags = row.tags
            if ahead.has_row:
                self._preamble_row = row
        wire.queue(ahead.messages, row)

    def end_preamble(self) -> None:
        """Set `sent_preamble`, and drop the preamble where it was not sent."""
        self.sent_preamble = self._wire is None or not self._wire.drop_queued()
        if not self.sent_preamble:
            self._preamble_row = None

    @property
    def preamble_row(self) -> list[str] | None:
        """The row that a preamble of this unit returned."""
        return None if self._preamble_row is None else self._preamble_row.values

    @property
    def lacks_preamble_row(self) -> bool:
        """Whether a preamble of this unit should have returned a row and did not."""
        return self._preamble_row is not None and self._preamble_row.values is None

    def encode(self, sql: str, values: list[Any]) -> Encoded | None:
        """Return ``sql`` with its values for a preamble, or None where it has to be run by itself.

        So it has where it is not prepared yet, and where the driver has to wait for the end of a
        command that was cancelled. Its transaction has to be open.
        """
        wire, prepared = self._wire, self._prepared.get(sql)
        if wire is None or prepared is None:
            return None
        try:
            messages = encode(wire, prepared, values)
        except DRIVER_ERRORS as error:
            failure = self.map_error(error)
        else:
            return None if messages is None else Encoded(sql, messages, prepared)
        raise failure

    async def end_preparing(self) -> None:
        """End the implicit transaction in which the server has prepared a statement.

        The driver leaves it open, and a BEGIN would continue it, with its snapshot.
        """
        await self.call(self.execute, "SELECT 1")

    async def request_cancel(self) -> None:
        """Ask for the cancellation of the command in flight, by the connection's own key.

        Closes the connection if that cannot be sent.
        """
        cancel: Any = self._cancel  # type: ignore[attr-defined]  # asyncpg's stubs leave it out
        await cancel(self._loop.create_future())

    async def run_commands(
        self, commands: Sequence[str], *, timeout_s: float | None = None, may_commit: bool = False
    ) -> str:
        """Run commands in one round trip, and return the last one's command tag.

        Each takes its own on Citus, which would send the text of all to the workers once more for
        each SET in it. Raises FaceplateError.
        """
        status = ""
        for sql in commands if self.is_citus else ("; ".join(commands),):
            run = partial(self.execute, timeout=timeout_s)
            status = await self.call(run, sql, may_commit=may_commit)
        return status

    async def reset_session(self) -> None:
        """Undo what text has changed in the session, outside of a transaction.

        Raises FaceplateError.
        """
        await self.run_commands(RESET_SESSION, timeout_s=PING_TIMEOUT_S)
        self.must_reset_session = False

    async def ping(self) -> None:
        """Ask whether the server is there. Raises FaceplateError."""
        await self.call(partial(self.execute, timeout=PING_TIMEOUT_S), "SELECT 1")
        self.last_heard_s = time.monotonic()
