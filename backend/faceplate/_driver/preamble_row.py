"""What a preamble returns, found before the driver reads the answer: a row, and command tags.

The driver takes every row up to the next Sync for one of its statement's, and keeps the last tag
alone. So until the preamble's row and tags have come, the connection's answers pass through here.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from asyncio import Transport
from typing import Any

DATA_ROW, COMPLETE, ERROR, READY = b"DCEZ"
HEADER_BYTES = 5  # a letter, and the length of all that follows the letter


class PreambleRow:
    """Intercepts a connection's answers from `begin` until all of it, or an error, comes.

    ``values`` are the row's, as text; None until the row has come. ``tags`` are the command tags of
    the statements that the preamble carries.
    """

    def __init__(
        self, transport: Transport, protocol: Any, *, has_row: bool = True, carried: int = 0
    ) -> None:
        self.values: list[str] | None = None
        self.tags: list[bytes] = []
        self._lacks_row = has_row
        self._carried = carried
        self._skips_tag = has_row
        self._transport = transport
        self._protocol = protocol
        self._received = b""
        self._place = 0

    def begin(self) -> None:
        """Start intercepting, in the write that sends the query.

        Earlier, leftovers of a cancelled command may arrive.
        """
        self._transport.set_protocol(self)  # type: ignore[arg-type]  # it is what the other one is

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def data_received(self, data: bytes) -> None:
        """Hold back what has come until all is found in it."""
        self._received = received = self._received + data
        while (begin := self._place) + HEADER_BYTES <= len(received):
            kind, end = received[begin], begin + 1 + integer(received, begin + 1, 4)
            if kind in {ERROR, READY}:
                self._give_way(received)
                return
            if end > len(received):
                return
            if kind == DATA_ROW and self._lacks_row:
                self._lacks_row = False
                self.values = texts(received[begin + HEADER_BYTES : end])
                self._received = received = received[:begin] + received[end:]
            else:
                self._place = end
                if kind == COMPLETE:
                    self._keep_tag(received[begin + HEADER_BYTES : end - 1])
            if not self._lacks_row and len(self.tags) == self._carried:
                self._give_way(received)
                return

    def _keep_tag(self, tag: bytes) -> None:
        if self._lacks_row:
            return  # of BEGIN, and of what else goes ahead of the query
        if self._skips_tag:
            self._skips_tag = False  # of the query itself
        else:
            self.tags.append(tag)

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
