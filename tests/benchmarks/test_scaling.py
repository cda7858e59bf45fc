"""What the page on scaling computes follows from the figures in its own tables."""

import re

from benchmarks.data import TINY as TINY_DATA
from benchmarks.footprint import OF_CHAT, PAGE, POOL, completed, measure, tables_of
from benchmarks.measuring import TINY as TINY_PACE
from benchmarks.pools import measure as measure_pools
from benchmarks.pools import table_of

from faceplate import Settings

TEXT = PAGE.read_text(encoding="utf-8")
PLAIN = " ".join(TEXT.split())


async def test_the_figures_can_be_measured_again() -> None:
    """Else nobody can check them on their own server."""
    count = POOL * OF_CHAT
    page = completed(TEXT, tables_of(await measure(count), count))
    assert _names(page) == _names(TEXT)


def _names(page: str) -> list[str]:
    """The first column of each measured table, without the number of messages."""
    blocks = re.findall(r"^<!-- (\w+) -->\n(.*?)^<!-- /\1 -->", page, re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if block[0] != "pools"]
    assert len(blocks) == 3
    rows = (re.findall(r"^\| ([^|]+) \|", block, re.MULTILINE) for _, block in blocks)
    return [name for names in rows for name in names[1:]]


def _figure(name: str, column: int = 0) -> float:
    """Return a figure of the measured tables."""
    row = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", TEXT, re.MULTILINE)
    assert row is not None, name
    return float(row[1].split(" | ")[column].replace(",", ""))


INDEX = "`uq_messages_user_id_conversation_id_position`"
IN_TABLE = _figure("`messages`")
IN_INDEXES = _figure("`pk_messages`") + _figure(INDEX)
OF_CONVERSATION = sum(
    _figure(name)
    for name in ("`conversations`", "`pk_conversations`", "`ix_conversations_active_hour`")
)
FIRST = _figure("log of an append after a checkpoint, bytes")
COMPRESSED = _figure("log of an append after a checkpoint, with wal_compression, bytes")
LATER = _figure("log of an append later, bytes")


def test_a_billion_messages_are_a_thousand_times_a_million() -> None:
    """Else a disk, a backup and a night of maintenance are planned by figures of nobody's."""
    assert f"takes {IN_TABLE + IN_INDEXES:.0f} bytes when it is written live" in PLAIN
    assert f"{IN_TABLE:.0f} in the table and {IN_INDEXES:.0f} in its two indexes" in PLAIN
    on_disk = IN_TABLE + IN_INDEXES + OF_CONVERSATION / 100
    assert f"| **on disk** | **{on_disk:.0f} GB** |" in TEXT
    assert f"| base backup | {on_disk / 0.2 / 60:.0f} minutes |" in TEXT
    assert f"| dump | {_figure('pg_dump, compressed') * 1_000 / 3_600:.1f} hours |" in TEXT
    assert f"{IN_TABLE / 0.041 / 3_600:.1f} hours | {IN_TABLE:.0f} GB at 41 MB" in TEXT
    reindex = _figure(f"REINDEX of {INDEX}") * 1_000 * 1.5 / 3_600
    assert f"| REINDEX of one index | {reindex:.1f} hours |" in TEXT


def test_the_levels_of_an_index_follow_from_its_pages() -> None:
    """Else a reader expects another number of reads than there are."""
    leaves, inner = (_figure(f"{INDEX}: {kind}_pages") for kind in ("leaf", "internal"))
    fan_out = round(leaves / (inner - 1))
    levels = [10_000_000.0]
    while levels[-1] > 1:
        levels.append(max(1.0, levels[-1] / fan_out))
    assert f"| levels of an index | {len(levels)} |" in TEXT
    assert f"{fan_out} for each" in TEXT
    assert f"| inner pages of an index | {sum(levels[1:]) * 8_192 / 1e6:.0f} MB |" in TEXT


def test_the_log_of_a_day_follows_from_that_of_an_append() -> None:
    """Else an archive is full within the week."""
    for of_append in (FIRST, COMPRESSED, LATER):
        a_day = of_append * 100 * 86_400 / 1e9
        assert f"| {of_append:,.0f} | {a_day:.0f} GB |" in TEXT
    assert f"= {COMPRESSED / FIRST:.0%} of the bytes".replace("%", " %") in TEXT
    assert f"of {LATER / 100:.0f} to {FIRST / 100:.0f} MB a second" in PLAIN


def test_what_is_read_has_to_fit() -> None:
    """Else a server is bought with too little memory."""
    live, imported = (_figure(f"pages for the last 50, {order}") for order in ("live", "imported"))
    for pages in (live, imported):
        assert f"| {pages:.0f} | {pages * 8_192 / 1e3:.0f} KB |" in TEXT
    assert f"| {live * 100_000:,.0f} | {live * 8_192 * 100_000 / 1e9:.0f} GB |" in TEXT


def test_the_processors_follow_from_an_operation() -> None:
    """Else a cluster is sized by wishful thinking."""
    rows = re.findall(r"^\| [a-z0-9 ]+ \| ([\d,]+) \| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE)
    append, history, listing = [[float(f.replace(",", "")) for f in row] for row in rows[:3]]
    for rate, client, server in (append, history, listing):
        assert round(2e6 / rate - client) == server
    client, server = (0.7 * history[of] + 0.2 * listing[of] + 0.1 * append[of] for of in (1, 2))
    assert f"| a request of this mix | {client:.0f} | {server:.0f} |" in TEXT
    assert f"all of them busy | {client / 10:.0f} | {server / 10:.0f} |" in TEXT


def test_the_pools_are_those_of_the_settings() -> None:
    """Else a service is refused connections at its busiest moment."""
    fields = Settings.model_fields
    pool = fields["pool_size"].default + fields["max_overflow"].default
    rows = re.findall(r"^\| (\d+) \| ([\d,]+) \| ([\d,]+) \| ", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for processes, default, small in rows:
        assert int(default.replace(",", "")) == int(processes) * pool
        assert int(small.replace(",", "")) == int(processes) * fields["pool_size"].default


async def test_pools_can_be_measured_again() -> None:
    """Else nobody can check on their own machine that a small pool is enough."""
    measured = table_of(await measure_pools(TINY_DATA, TINY_PACE))
    assert _rows(measured) == _rows(TEXT.partition("<!-- pools -->")[2].partition("<!-- /pools")[0])


def _rows(table: str) -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
