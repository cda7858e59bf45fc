"""The row that what goes ahead of a statement returns: taken, and nothing else touched."""

import struct
from typing import Any

import pytest

from faceplate._driver.preamble_row import PreambleRow


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def row(*values: bytes) -> bytes:
    sized = b"".join(struct.pack("!i", len(value)) + value for value in values)
    return message(b"D", struct.pack("!h", len(values)) + sized)


BEGUN = b"".join(
    message(b"1") + message(b"2") + message(b"C", tag + b"\0") for tag in (b"BEGIN", b"SET")
)
NOTICE = message(b"N", b"SNOTICE\0MD, E and Z\0\0")
ASKED = message(b"2") + row(b"742", b"", "ø".encode()) + message(b"C", b"SELECT 1\0")
ANSWERED = message(b"2") + row(b"the statement's") + message(b"C", b"SELECT 1\0")
READY = message(b"Z", b"T")


class Driver:
    """What stands at both ends: a transport that calls a protocol, and that protocol."""

    def __init__(self) -> None:
        self.received = b""
        self.protocol: Any = self

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = error


def listen(driver: Driver) -> PreambleRow:
    ahead = PreambleRow(driver, driver)  # type: ignore[arg-type]  # as much of a transport as it needs
    assert driver.protocol is driver
    ahead.begin()
    return ahead


@pytest.mark.parametrize("size", [1, 2, 5, 7, 16, 1000])
def test_the_first_row_is_taken_however_the_answer_is_cut(size: int) -> None:
    """Else the driver takes it for one of its statement's, or waits for ever."""
    driver = Driver()
    ahead = listen(driver)
    answer = BEGUN + NOTICE + ASKED + ANSWERED + READY
    for begin in range(0, len(answer), size):
        driver.protocol.data_received(answer[begin : begin + size])
    assert ahead.values == ["742", "", "ø"]
    without = message(b"2") + message(b"C", b"SELECT 1\0")
    assert driver.received == BEGUN + NOTICE + without + ANSWERED + READY
    assert driver.protocol is driver


@pytest.mark.parametrize("size", [1, 1000])
def test_an_error_that_comes_instead_reaches_the_driver(size: int) -> None:
    """Else the unit is told that the server is silent."""
    driver = Driver()
    ahead = listen(driver)
    answer = BEGUN + message(b"E", b"C42501\0\0") + READY + ANSWERED
    for begin in range(0, len(answer), size):
        driver.protocol.data_received(answer[begin : begin + size])
    assert ahead.values is None
    assert driver.received == answer


@pytest.mark.parametrize("has_row", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_tags_of_what_is_carried_are_kept(size: int, has_row: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Else an UPDATE that has found no row is taken for one that has."""
    driver = Driver()
    ahead = PreambleRow(driver, driver, has_row=has_row, carried=2)  # type: ignore[arg-type]  # as above
    ahead.begin()
    first = ASKED if has_row else b""
    tags = [message(b"2") + message(b"C", tag + b"\0") for tag in (b"UPDATE 1", b"UPDATE 0")]
    rest = b"".join(tags) + ANSWERED + READY
    for begin in range(0, len(first + rest), size):
        driver.protocol.data_received((first + rest)[begin : begin + size])
    assert ahead.tags == [b"UPDATE 1", b"UPDATE 0"]
    assert ahead.values == (["742", "", "ø"] if has_row else None)
    assert driver.received.endswith(rest)
    assert driver.protocol is driver


def test_a_connection_that_is_lost_meanwhile_is_told_to_the_driver() -> None:
    driver = Driver()
    listen(driver)
    driver.protocol.data_received(BEGUN)
    error = ConnectionResetError()
    driver.protocol.connection_lost(error)
    assert driver.lost is error
