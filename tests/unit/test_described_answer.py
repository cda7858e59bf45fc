"""The description that a flight brings: compared before the driver reads a row by it."""

import struct
from typing import Any

import pytest
from tests.unit.test_preamble_row import ANSWERED, ASKED, BEGUN, NOTICE, READY, Driver, message

from faceplate._driver.described_answer import DescribedAnswer

PARSED = message(b"1")
VALUES = message(b"t", struct.pack("!hI", 1, 2950))
COLUMNS = message(b"T", struct.pack("!h", 0))
NO_COLUMNS = message(b"n")


class Transport(Driver):
    """Both ends, of a connection that can be ended."""

    is_aborted = False

    def abort(self) -> None:
        assert self.protocol is self
        self.is_aborted = True


def listen(driver: Driver, expected: bytes | None) -> DescribedAnswer:
    both: Any = driver  # as much of a transport as it needs
    answer = DescribedAnswer(both, driver, expected)
    answer.begin()
    return answer


def give(driver: Driver, data: bytes, size: int) -> None:
    for begin in range(0, len(data), size):
        driver.protocol.data_received(data[begin : begin + size])


@pytest.mark.parametrize("size", [1, 2, 5, 7, 16, 1000])
@pytest.mark.parametrize("columns", [COLUMNS, NO_COLUMNS])
def test_an_expected_description_is_passed_on_however_it_is_cut(size: int, columns: bytes) -> None:
    """Else the driver misses a part of the answer, or waits for ever."""
    driver = Transport()
    ahead = listen(driver, VALUES + columns)
    give(driver, BEGUN + NOTICE + ASKED + PARSED + VALUES + columns + ANSWERED + READY, size)
    assert ahead.values == ["742", "", "ø"]
    assert not ahead.is_other
    without = message(b"2") + message(b"C", b"SELECT 1\0")
    described = PARSED + VALUES + columns
    assert driver.received == BEGUN + NOTICE + without + described + ANSWERED + READY
    assert driver.protocol is driver


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_likely_answer_is_passed_on_however_it_is_cut(size: int) -> None:
    """Else the answer that nearly all flights have is read in another way than the others."""
    driver = Transport()
    both: Any = driver
    likely = (BEGUN + PARSED + VALUES + COLUMNS, PARSED + VALUES + COLUMNS)
    ahead = DescribedAnswer(both, driver, VALUES + COLUMNS, likely)
    ahead.begin()
    give(driver, likely[0] + ANSWERED + READY, size)
    assert ahead.description == VALUES + COLUMNS
    assert driver.received == likely[0] + ANSWERED + READY
    assert driver.protocol is driver


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "other",
    [
        message(b"t", struct.pack("!hI", 1, 25)) + COLUMNS,
        VALUES + message(b"T", struct.pack("!hh", 0, 0)),
        VALUES + NO_COLUMNS,
    ],
)
def test_another_description_ends_the_connection(size: int, other: bytes) -> None:
    """Else rows are decoded as what they are not."""
    driver = Transport()
    ahead = listen(driver, VALUES + COLUMNS)
    give(driver, BEGUN + PARSED + other, size)
    assert ahead.is_other
    assert driver.is_aborted
    assert driver.received == b""


def test_any_description_is_taken_where_none_is_known() -> None:
    driver = Transport()
    ahead = listen(driver, None)
    give(driver, PARSED + VALUES + COLUMNS, 3)
    assert ahead.description == VALUES + COLUMNS
    assert driver.received == PARSED + VALUES + COLUMNS


@pytest.mark.parametrize("size", [1, 1000])
def test_an_error_ahead_of_the_description_reaches_the_driver(size: int) -> None:
    """Else the unit is told that the server is silent."""
    driver = Transport()
    ahead = listen(driver, VALUES + COLUMNS)
    answer = BEGUN + message(b"E", b"C42703\0\0") + READY
    give(driver, answer, size)
    assert ahead.description == b""
    assert driver.received == answer
