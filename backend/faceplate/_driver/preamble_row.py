"""The row that a preamble returns, taken out before the driver reads the answer.

The driver takes every row up to the next Sync for one of its statement's. So until the preamble's
row has come, the connection's answers pass through here.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from asyncio import Transport
from typing import Any

DATA_ROW, ERROR, READY = b"DEZ"
HEADER_BYTES = 5  # a letter, and the length of all that follows the letter


class PreambleRow:
    """Intercepts a connection's answers from `begin` until the row or an error comes.

    ``values`` are the row's, as text; None until the row has come.
    """

    def __init__(self, transport: Transport, protocol: Any) -> None:
        self.values: list[str] | None = None
        self._transport = transport
        self._protocol = protocol
        self._received = b""

    def begin(self) -> None:
        """Start intercepting, in the write that sends the query.

        Earlier, leftovers of a cancelled command may arrive.
        """
        self._transport.set_protocol(self)  # type: ignore[arg-type]  # it is what the other one is

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def data_received(self, data: bytes) -> None:
        """Hold back what has come until the row is found in it."""
        self._received = received = self._received + data
        begin = 0
        while begin + HEADER_BYTES <= len(received):
            kind, end = received[begin], begin + 1 + integer(received, begin + 1, 4)
            if kind in {ERROR, READY}:
                self._give_way(received)
                return
            if end > len(received):
                return
            if kind == DATA_ROW:
                self.values = texts(received[begin + HEADER_BYTES : end])
                self._give_way(received[:begin] + received[end:])
                return
            begin = end

    def _give_way(self, received: bytes) -> None:
        self._transport.set_protocol(self._protocol)
        self._protocol.data_received(received)


def texts(row: bytes) -> list[str]:
    """Return a row's values, none of them NULL, as text."""
    texts, place = [], 2  # behind the number of values
    while place < len(row):
        begin = place + 4
        place = begin + integer(row, place, 4)
        texts.append(row[begin:place].decode())
    return texts


def integer(data: bytes, begin: int, size: int) -> int:
    """Return the unsigned integer of ``size`` bytes at ``begin``."""
    return int.from_bytes(data[begin : begin + size])
