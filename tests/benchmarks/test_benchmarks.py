"""The benchmark runs: a reader who doubts a figure can measure it again."""

from pathlib import Path

import pytest
import pytest_asyncio
from benchmarks.figures import Condition
from benchmarks.report import PAGE, TABLES, fill, page_of, write_pages
from benchmarks.results import Results
from benchmarks.run import PARTS, Plan, run
from benchmarks.sdks import base as sdks

from benchmarks import (
    closed_loops,
    data,
    growth,
    measuring,
    open_loop,
    peers,
    pgbench,
    soak,
    tables,
)

SMALLEST = Plan(
    size=data.TINY,
    pace=measuring.TINY,
    sdks=sdks.TINY,
    closed=closed_loops.TINY,
    arrivals=open_loop.TINY,
    beside=pgbench.TINY,
    growth=growth.TINY,
    soak=soak.TINY,
    imports=1,
    profiled=2,
    remembered=1_000,
    walked=200,
    counted=1,
    near_concurrencies=(1,),
    far_concurrencies=(1,),
    with_peers=False,
    parts=frozenset(PARTS),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def results() -> Results:
    """What the smallest run measures: every part of it, without the peers."""
    return await run(SMALLEST, print, lambda _: None)


def test_smallest_run_fills_the_pages(results: Results, tmp_path: Path) -> None:
    """Every part runs from the server to the pages. Else the figures could not be made again."""
    file = results.save(tmp_path)
    pages = tmp_path / PAGE.name, tmp_path / TABLES.name
    for page, source in zip(pages, (PAGE, TABLES), strict=True):
        page.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    write_pages(Results.read(file), pages, plots=None)
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for name, block in tables.BLOCKS.items():
        expected = block.on_page(results)
        assert block.show(results) or name in results.not_run, name
        between = f"\n{expected}\n\n" if expected else "\n"
        assert f"<!-- {name} -->\n{between}<!-- /{name} -->" in text


def test_counts_what_an_operation_sends(results: Results) -> None:
    """Round trips are counted: one for the limit, three for what is written by hand.

    Else the page would say what its author believes.
    """
    trips = {(w.side, w.workload): (w.round_trips, w.statements) for w in results.wires}
    appends = [trips[side, "append"] for side in ("asyncpg", "asyncpg, by hand")]
    assert appends == [(1, 1), (3, 5)]
    assert {side for side, _ in trips} == {info.name for info in results.sides}


def test_counts_what_an_operation_sends_elsewhere(results: Results) -> None:
    """Behind a pooler asyncpg asks for a statement's types each time; a loop changes nothing.

    Else figures of one place would stand under the name of another.
    """
    assert results.uvloop is not None
    assert _appends_of_asyncpg(results.uvloop) == 1
    if results.pooler is not None:
        assert _appends_of_asyncpg(results.pooler) == 2
    assert results.not_run.keys() <= {"pooler", "pgbench", "sdks"}


def _appends_of_asyncpg(condition: Condition) -> float:
    [trips] = [
        wire.round_trips
        for wire in condition.wires
        if (wire.side, wire.workload) == (condition.sides[0].name, "append")
    ]
    return trips


def test_a_side_that_does_not_keep_up_is_not_asked_for_more(results: Results) -> None:
    """Else the figures of a backlog stand where those of a rate are expected."""
    for name in ("asyncpg", "faceplate"):
        loops = [loop for loop in results.open_loops if loop.side == name]
        assert all(loop.kept_up for loop in loops[:-1])
        assert not loops[-1].kept_up
        assert all(loop.p50_ms <= loop.p99_ms <= loop.longest_ms for loop in loops)


def test_every_block_has_one_place() -> None:
    """Nothing that is measured is left out of the pages, or stands on both."""
    texts = {page: page.read_text(encoding="utf-8") for page in (PAGE, TABLES)}
    for name in tables.BLOCKS:
        assert "figures" in fill(texts[page_of(name, texts)], name, "figures")
    with pytest.raises(ValueError, match="0 pages have a place for nothing"):
        page_of("nothing", texts)
    with pytest.raises(ValueError, match="0 places for nothing"):
        fill("", "nothing", "")


def test_data_is_the_same_for_the_same_seed() -> None:
    """Two runs of one seed measure the same conversations."""
    first, second, other = (data.Data(data.TINY, seed) for seed in (1, 1, 2))
    assert list(first.conversations()) == list(second.conversations())
    assert list(first.lines(first.read[0], 5)) == list(second.lines(second.read[0], 5))
    assert list(first.conversations()) != list(other.conversations())


def test_missing_peers_are_named() -> None:
    """A peer that cannot be imported is listed with the reason, not passed over."""
    sides, missing = peers.available()
    assert {*(side.name for side in sides), *missing} == {peer.name for peer in peers.PEERS}
    assert all(missing.values())


def test_noise_is_the_limit_beside_itself() -> None:
    """The limit's own spread says how far a difference can be believed."""
    assert measuring.noise([100, 150, 200, 150, 100]) == [1, pytest.approx(4 / 3), 1]
    assert measuring.noise([100, 200]) == [1]
