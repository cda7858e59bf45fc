"""What a connection of the driver knows of itself, without asking the server."""

import asyncio
import select
import socket
import time
from typing import Any

import asyncpg

from faceplate._driver.session_state import may_deallocate

POLL_AFTER_IDLE_S = 0.002
PING_AFTER_IDLE_S = 5.0


class TrackedConnection(asyncpg.Connection):
    """A connection that knows whether it is alive, idle and fit for another unit."""

    __slots__ = (
        "_poll",
        "begun_s",
        "is_citus",
        "is_pipelined",
        "is_preparing",
        "last_heard_s",
        "must_close",
        "must_reset_session",
        "skip_next_ping",
    )

    begun_s: float
    """When connecting began, by the monotonic clock."""
    last_heard_s: float
    is_citus: bool
    """Whether the server has the extension Citus: see `faceplate._driver.citus`."""
    is_pipelined: bool
    """Whether a preamble and its statement take one round trip."""
    is_preparing: bool
    """Whether the server may still be in the transaction in which it has prepared a statement.

    The driver prepares without a Sync, so its own status does not show that transaction. The next
    command ends it.
    """
    must_close: bool
    """Whether the pool must replace it instead of lending it again."""
    skip_next_ping: bool
    """Whether the next ping is skipped, because the connection was just seen alive."""
    must_reset_session: bool
    """Whether text was run that may have changed the state of the session."""
    _protocol: Any
    """The driver's own, which speaks with the server; None once it is closed."""

    def track(self, begun_s: float, *, is_pipelined: bool) -> None:
        """Set the state of a connection that was just made in the running loop."""
        self.begun_s = begun_s
        self.last_heard_s = time.monotonic()
        self.is_citus = False
        self.is_pipelined = is_pipelined
        self.is_preparing = False
        self.must_close = False
        self.skip_next_ping = False
        self.must_reset_session = False
        self._loop = asyncio.get_running_loop()  # not the one that makes wires
        self._poll: select.poll | None = None
        if is_pipelined:
            self._poll = select.poll()
            self._poll.register(self.socket.fileno(), select.POLLIN)

    @property
    def socket(self) -> socket.socket:
        """The socket that the connection is made of."""
        found: socket.socket = self._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # asyncpg's stubs leave it out
        return found

    def is_in_transaction(self) -> bool:
        """Return whether the server's last answer said so; False if it is closed."""
        protocol = self._protocol
        is_open = protocol is not None and protocol.is_in_transaction()
        return is_open and not self.is_closed()

    def is_reusable(self) -> bool:
        """Return whether it is idle and its session is as another unit may find it."""
        if self.must_close or self.must_reset_session or self.is_preparing or self.is_closed():
            return False
        return not self._protocol.is_in_transaction()

    def is_in_its_loop(self) -> bool:
        """Return whether the caller runs in the connection's event loop."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def is_quiet(self) -> bool:
        """Return whether the connection needs no ping: used lately, and nothing to read.

        A server sends unasked only that it is going away. So a socket with something to read
        carries that, or is at its end. One that was used within `POLL_AFTER_IDLE_S` is not asked.
        A connection that is not pipelined is never quiet: the pool pings it at each check-out.
        """
        poll = self._poll
        if poll is None:
            return False
        idle_s = time.monotonic() - self.last_heard_s
        if idle_s > PING_AFTER_IDLE_S:
            return False
        return idle_s < POLL_AFTER_IDLE_S or not poll.poll(0)

    def note_session_change(self, sql: str) -> None:
        """Note that ``sql`` may change the session, which must then be reset."""
        self.must_reset_session = True
        self.must_close |= may_deallocate(sql)
