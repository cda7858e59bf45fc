"""The one row that what goes ahead of a statement may return: taken out before the driver reads it.

The driver takes every row of a flight for one of its statement. So for as long as that one row is
awaited, its connection's answers go through here.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from asyncio import Transport
from typing import Any

DATA_ROW, ERROR, READY = b"DEZ"
HEADER_BYTES = 5  # a letter, and the length of all that follows the letter


class PreambleRow:
    """Stands between a transport and its protocol, from `begin` until the row or an error has come.

    ``values`` are those of the row, as text, and None as long as it has not come.
    """

    def __init__(self, transport: Transport, protocol: Any) -> None:
        self.values: list[str] | None = None
        self._transport = transport
        self._protocol = protocol
        self._received = b""

    def begin(self) -> None:
        """Intercept answers from now on. Call it in the write that asks for the row.

        Earlier, the rest of the answer to a cancelled command may arrive.
        """
        self._transport.set_protocol(self)  # type: ignore[arg-type]  # it is what the other one is

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def data_received(self, data: bytes) -> None:
        """Keep what has come until it is known where the row is in it."""
        self._received = received = self._received + data
        begin = 0
        while begin + HEADER_BYTES <= len(received):
            kind, end = received[begin], begin + 1 + _integer(received, begin + 1, 4)
            if kind in {ERROR, READY}:
                self._give_way(received)
                return
            if end > len(received):
                return
            if kind == DATA_ROW:
                self.values = _texts(received[begin + HEADER_BYTES : end])
                self._give_way(received[:begin] + received[end:])
                return
            begin = end

    def _give_way(self, received: bytes) -> None:
        self._transport.set_protocol(self._protocol)
        self._protocol.data_received(received)


def _texts(row: bytes) -> list[str]:
    texts, place = [], 2  # behind the number of values
    while place < len(row):
        begin = place + 4
        place = begin + _integer(row, place, 4)
        texts.append(row[begin:place].decode())
    return texts


def _integer(data: bytes, begin: int, size: int) -> int:
    return int.from_bytes(data[begin : begin + size])
