"""What the parts beside the comparison say is so: load, poolers, aims, absent figures."""

from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from benchmarks.__main__ import FULL, make_parser, plan_of
from benchmarks.aims import aims
from benchmarks.data import TINY, Data
from benchmarks.figures import Cell, Condition, Network
from benchmarks.measuring import Block, Spread
from benchmarks.pgbench import PLACES_OF_CLIENT, Run, script_of
from benchmarks.results import Environment, Results
from benchmarks.run import PARTS
from benchmarks.sides.orm import PlainOrm
from benchmarks.sides.ours import Faceplate, OwnUnit
from benchmarks.sides.raw import Asyncpg
from benchmarks.tables import BLOCKS

from faceplate.embedded._postgres import programs

ENVIRONMENT = Environment(
    date=datetime(2026, 1, 1, tzinfo=UTC),
    seed=1,
    quick=True,
    messages=0,
    conversations=0,
    cores=1,
    processor="",
    kernel="",
    python="",
    postgres="",
    settings={},
)


def cell(side: str, *ratios: float) -> Cell:
    return Cell(
        network="direct",
        workload="append",
        concurrency=1,
        side=side,
        blocks=len(ratios),
        operations=1,
        per_second=Spread.of(ratios),
        ratio=Spread.of(ratios),
        ratios=list(ratios),
        p50_ms=1,
        p99_ms=1,
        processor_us=1,
    )


def results_of(*cells: Cell) -> Results:
    networks = [Network(name="direct", round_trip_ms=0.1)]
    return Results(environment=ENVIRONMENT, networks=networks, cells=list(cells))


def test_the_least_served_caller_is_compared_with_the_median() -> None:
    """Else the callers that are served often hide one that starves."""
    block = Block([1, 8, 10, 10, 12], 1.0, 1.0, [0.1] * 41)
    assert block.least_served == 0.1
    assert block.operations == 41


def test_an_aim_is_judged_by_the_median_and_says_its_quartiles() -> None:
    """Else one good round, or a mean of a few, passes for what users get."""
    [aim] = aims(results_of(cell(Faceplate.name, 0.80, 0.92, 0.99)))
    assert aim.found == "0.92 (0.86 to 0.96)"
    assert (aim.bound, aim.is_met) == (">= 0.93", False)


def test_the_orm_unit_is_compared_within_a_round() -> None:
    """Else the load of the machine between two rounds is taken for a difference."""
    cells = cell(OwnUnit.name, 0.2, 0.4, 0.3), cell(PlainOrm.name, 0.1, 0.2, 0.2)
    [aim] = aims(results_of(*cells))
    assert aim.found == "2.00 (1.75 to 2.00)"
    assert aim.is_met


def test_a_part_that_was_not_run_is_absent() -> None:
    """Else a page says something of what nobody measured."""
    nothing = Results(environment=ENVIRONMENT)
    parts = {name: block for name, block in BLOCKS.items() if block.about}
    assert parts.keys() >= {"closed-loops", "open-loop", "pooler", "uvloop", "pgbench", "soak"}
    assert {block.on_page(nothing) for block in parts.values()} == {""}
    assert aims(nothing) == []


def test_a_part_that_was_measured_later_is_no_longer_missing(tmp_path: Path) -> None:
    """Else the page has the figures of PgBouncer, and says that it was not installed."""
    first = Results(environment=ENVIRONMENT, not_run={"pooler": "no pgbouncer", "pgbench": "none"})
    pooler = Condition(what="PgBouncer", sides=[], cells=[], wires=[])
    later = Results(environment=ENVIRONMENT, pooler=pooler)
    for name, results in (("first", first), ("later", later)):
        (tmp_path / name).write_text(results.model_dump_json())
    merged = Results.read(tmp_path / "first", tmp_path / "later")
    assert merged.pooler == pooler
    assert merged.not_run == {"pgbench": "none"}


def test_a_run_of_everything_leaves_out_the_soak_alone() -> None:
    """Else a release waits for half an hour more, or lacks a part of the page."""
    parse = make_parser().parse_args
    assert plan_of(parse([])).parts == PARTS.keys() - {"soak"}
    soaked = plan_of(parse(["--soak", "2"]))
    assert soaked.parts == {"soak"}
    assert soaked.soak.minutes == 2
    grown = plan_of(parse(["--growth", "1000000", "--pgbench"]))
    assert grown.parts == {"growth", "pgbench"}
    assert grown.growth.tables == [200_000, 1_000_000]
    assert max(plan_of(parse(["--growth"])).growth.tables) == max(FULL.growth.tables)


async def test_pgbench_appends_in_each_of_a_clients_conversations(
    fresh_database_url: str, tmp_path: Path
) -> None:
    """Else the limit of the server is that of a statement that stores nothing."""
    filling = Data(TINY, 1)
    await Asyncpg().load(fresh_database_url, filling)
    script = tmp_path / "script.sql"
    # The suite also runs on versions of PostgreSQL before uuidv7().
    script.write_text(script_of("append", filling, 2).replace("uuidv7()", "gen_random_uuid()"))
    program = programs() / "pgbench"
    assert await Run(str(program), fresh_database_url, script, clients=2, seconds=1).per_second()
    connection = await asyncpg.connect(fresh_database_url)
    try:
        stored = await connection.fetch(
            "SELECT user_id, conversation_id, count(*), max(position) FROM faceplate.messages"
            " WHERE content LIKE 'a question of%' GROUP BY user_id, conversation_id"
        )
    finally:
        await connection.close()
    places = {(user_id, id_): (count, end) for user_id, id_, count, end in stored}
    assert len(places) == 2 * PLACES_OF_CLIENT
    assert places.keys() <= {*filling.written}
    assert all(end == TINY.messages + count for count, end in places.values())
