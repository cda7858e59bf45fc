"""A prepared statement for several users in one write, one transaction and one commit.

PostgreSQL runs all commands up to the next Sync in one transaction. The driver sends a statement
with many values that way; a `SharedFlight` puts each user ahead of the values that are theirs. The
driver also reads the rows. It does not tell which statement failed, nor whose each row is, so the
flight copies the answers.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

from struct import Struct
from typing import Any

from faceplate._driver.preamble_row import HEADER_BYTES, integer

BIND, COMMAND_COMPLETE = b"BC"
HEADER = Struct(">BI")
"""The kind of a message, and the length of what follows the kind."""
EXECUTE_BYTES = 10
"""The length of an Execute that asks for all rows of the unnamed portal."""


class SharedFlight:
    """Stands between a connection's wire and the driver's protocol until `end`."""

    def __init__(self, wire: Any, preambles: list[bytes], ending: bytes) -> None:
        self._wire = wire
        self._protocol = wire.protocol
        self._preambles = preambles
        self._ending = ending
        self._received: list[bytes] = []
        wire.flight = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def end(self) -> None:
        """Leave the wire and the protocol to each other again."""
        self._wire.flight = None
        self._wire.transport.set_protocol(self._protocol)

    def interleave(self, messages: bytes) -> bytes:
        """Return the driver's messages, each Bind behind the next preamble, and the ending.

        From the first write on, answers are the flight's. Earlier ones may be leftovers.
        """
        self._wire.transport.set_protocol(self)
        parts: list[bytes] = []
        begin = 0
        while begin < len(messages) and messages[begin] == BIND:
            end = begin + 1 + integer(messages, begin + 1, 4) + EXECUTE_BYTES
            parts += self._preambles.pop(0), messages[begin:end]
            begin = end
        ending = b"" if self._preambles else self._ending
        return b"".join((*parts, ending, messages[begin:]))

    def data_received(self, data: bytes) -> None:
        """Copy what has come, and hand it on."""
        self._received.append(data)
        self._protocol.data_received(data)

    def counts(self) -> list[int]:
        """Return how many rows each command has returned that has ended."""
        answers, read = b"".join(self._received), HEADER.unpack_from
        counts, begin, last = [], 0, len(answers) - HEADER_BYTES
        while begin <= last:
            kind, length = read(answers, begin)
            if kind == COMMAND_COMPLETE and begin + length < len(answers):
                tag = answers[begin + HEADER_BYTES : begin + length]  # such as ``INSERT 0 1``
                counts.append(int(tag.rpartition(b" ")[2]))
            begin += 1 + length
        return counts
