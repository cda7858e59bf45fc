"""Has the driver encode a statement without sending it, so that it can go ahead of another one.

The driver believes that it has run the statement: its write is kept, and it is given an answer.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncpg.protocol.protocol import NO_TIMEOUT

from faceplate._driver.wire import SYNC, Wire

if TYPE_CHECKING:
    from faceplate._driver.prepared import Prepared

UPDATED = b"UPDATE 1"
ANSWER = b"2\0\0\0\4" + b"C\0\0\0\rUPDATE 1\0" + b"Z\0\0\0\5T"
"""What the driver is given: bound, run, and still in a transaction."""


class Encoded(NamedTuple):
    """A statement with its values, and the messages that bind and execute it."""

    sql: str
    messages: bytes
    prepared: "Prepared"
    """Collected, it would close the server's statement before the messages are sent."""


def encode(wire: "Wire", prepared: "Prepared", values: list[Any]) -> bytes | None:
    """Return the messages that bind and execute ``prepared``, inside of a transaction.

    None if the driver would first wait for the end of a command that was cancelled. Raises the
    driver's error for a value that does not fit.
    """
    protocol = wire.protocol
    running = protocol.bind_execute(
        prepared.state, values, "", 0, return_extra=True, timeout=NO_TIMEOUT
    )
    with wire.holding() as held:
        waiter = running.send(None)
    if not held:
        running.close()
        return None
    # In a later turn of the event loop it would take the next command's time limit away.
    waiter.remove_done_callback(protocol._on_waiter_completed)  # noqa: SLF001 - the driver has no public name for it
    protocol.data_received(ANSWER)
    with suppress(StopIteration):
        running.send(None)
    return b"".join(held).removesuffix(SYNC)
