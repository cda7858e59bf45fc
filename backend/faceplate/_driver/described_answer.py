"""The answer to a flight that describes its statement before it runs it."""

from asyncio import Transport
from typing import Any

from faceplate._driver.preamble_row import (
    DATA_ROW,
    ERROR,
    HEADER_BYTES,
    READY,
    PreambleRow,
    integer,
    texts,
)

PARAMETERS, COLUMNS, NO_COLUMNS = b"tTn"


class DescribedAnswer(PreambleRow):
    """Intercepts a connection's answers until the statement's description, or an error, comes.

    A description other than ``expected`` ends the connection, before the driver reads a row by it.
    Without ``expected``, any is passed on. ``likely`` are beginnings of an answer with the expected
    one. ``values`` are those of a row that a preamble returned.
    """

    def __init__(
        self,
        transport: Transport,
        protocol: Any,
        expected: bytes | None,
        likely: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__(transport, protocol)
        self._expected = expected
        self._likely = likely
        self._place = self._description_begin = 0
        self.description = b""
        self.is_other = False
        """Whether the description was another one."""

    def data_received(self, data: bytes) -> None:
        """Hold back what has come until the description is found in it."""
        if self._expected is not None and not self._received and data.startswith(self._likely):
            self._compare(self._expected, data)
            return
        self._received = received = self._received + data
        begin = self._place
        while begin + HEADER_BYTES <= len(received):
            kind, end = received[begin], begin + 1 + integer(received, begin + 1, 4)
            if kind in {ERROR, READY}:
                self._give_way(received)
                return
            if end > len(received):
                break
            if kind == DATA_ROW:
                self.values = texts(received[begin + HEADER_BYTES : end])
                self._received = received = received[:begin] + received[end:]
                continue
            if kind == PARAMETERS:
                self._description_begin = begin
            elif kind in {COLUMNS, NO_COLUMNS}:
                self._compare(received[self._description_begin : end], received)
                return
            begin = end
        self._place = begin

    def _compare(self, description: bytes, received: bytes) -> None:
        self.description = description
        if self._expected is None or self._expected == description:
            self._give_way(received)
            return
        self.is_other = True
        self._transport.set_protocol(self._protocol)
        self._transport.abort()
