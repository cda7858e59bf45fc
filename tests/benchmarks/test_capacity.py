"""What the page on capacity computes is what was measured, and what the settings say."""

import re

from benchmarks.capacity import OF_CHAT, PAGE, completed, measure, table_of

from faceplate import Settings

TEXT = PAGE.read_text(encoding="utf-8")


async def test_the_figures_can_be_measured_again() -> None:
    """Else nobody can check them on their own server."""
    page = completed(TEXT, table_of(await measure(OF_CHAT), OF_CHAT))
    assert _kinds(page) == _kinds(TEXT)
    assert page.partition("<!-- /measured -->")[2] == TEXT.partition("<!-- /measured -->")[2]


def _kinds(page: str) -> list[str]:
    return re.findall(r"^\| (an? [^|]+) \|", page, re.MULTILINE)


def test_the_example_is_computed_from_the_figures() -> None:
    """Else a disk is bought by a figure that nobody measured."""
    rows = dict(re.findall(r"^\| (an? [^|]+) \| ([\d,]+) \|", TEXT, re.MULTILINE))
    sizes = {kind: int(number.replace(",", "")) for kind, number in rows.items()}
    of_messages = 50 * 40 * sizes["a message of 1,000 characters"]
    of_user = of_messages + 50 * sizes["a conversation"] + sizes["a user"]
    assert f"takes {of_user / 1e6:.1f} MB; 10,000 such users\ntake {of_user / 1e5:.0f} GB" in TEXT
    (appended,) = re.findall(r"writes ([\d,]+) bytes of write-ahead log", TEXT)
    a_day = int(appended.replace(",", "")) * 100 * 86_400 / 1e9
    assert f"\n{a_day:.0f} GB a day" in TEXT
    of_text = sizes["a message of 4,000 characters"] - 350  # what the shortest take beside it
    assert 0.6 < of_text / 4_000 < 0.75


def test_the_arithmetic_of_connections_is_that_of_the_settings() -> None:
    """Else a service is refused connections at its busiest moment."""
    fields = Settings.model_fields
    pool = fields["pool_size"].default + fields["max_overflow"].default
    assert f"a pool has at most {pool} connections" in TEXT
    rows = re.findall(r"^\| (\d+) processes, (one|two) logins? \| (\d+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for processes, logins, connections in rows:
        assert int(connections) == int(processes) * pool * {"one": 1, "two": 2}[logins]
    waiting = fields["max_waiting"].default
    assert f"at {waiting} and a pool of {pool}, the last unit waits for {waiting // pool}" in TEXT
