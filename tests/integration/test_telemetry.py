"""What a tracing backend gets: spans of units, metrics, and nothing of what is in a row."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.databases import opened

from faceplate import (
    CommitOutcomeUnknown,
    Conflict,
    Database,
    PoolExhausted,
    Scope,
    Settings,
    UsageError,
    User,
    replayable,
)
from faceplate.errors import was_committed
from faceplate.integrations import telemetry
from faceplate.services import tasks

CANARY = "what nobody else may read"
POINT = "SELECT title FROM faceplate.tasks"


class Telemetry(NamedTuple):
    """``provider`` and ``meters`` are what an application sets up; the rest is its backend."""

    provider: TracerProvider
    meters: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def points(self, name: str) -> dict[tuple[str, ...], Any]:
        """The points of a metric by the values of their attributes, the system and pool aside."""
        data = self.reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for metric in resource.scope_metrics[0].metrics:
                if metric.name == name:
                    for point in metric.data.data_points:
                        key = dict(point.attributes or {})
                        assert key.pop("db.system.name") == "postgresql"
                        key.pop("db.client.connection.pool.name", None)
                        found[tuple(str(value) for _, value in sorted(key.items()))] = point
        return found


@pytest.fixture
def backend() -> Iterator[Telemetry]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider, meters = TracerProvider(), MeterProvider(metric_readers=[reader])
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Telemetry(provider, meters, exporter, reader)
    meters.shutdown()
    provider.shutdown()


def instrument(db: Database, backend: Telemetry) -> None:
    telemetry.instrument(db, tracer_provider=backend.provider, meter_provider=backend.meters)


@pytest.fixture
async def watched(settings: Settings, backend: Telemetry) -> AsyncIterator[Database]:
    async with opened(settings, pool_size=1, max_overflow=0, pool_timeout_s=0.05) as database:
        instrument(database, backend)
        yield database


@pytest.mark.pipelined
async def test_a_unit_is_a_span_with_its_attempts(
    watched: Database, user: User, backend: Telemetry
) -> None:
    """Else a slow request shows nothing of the database that it waited for."""

    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title=CANARY)
        with backend.provider.get_tracer("app").start_as_current_span("inside"):
            if not watched.counters.retries:
                again = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"
                await scope.session.execute(sa.text(again))

    with backend.provider.get_tracer("app").start_as_current_span("request"):
        await watched.run(user.id, unit)
    assert not trace.get_current_span().get_span_context().is_valid
    *inside, span, request = backend.spans()
    assert (span.name, span.kind) == (f"test_telemetry.{unit.__qualname__}", SpanKind.CLIENT)
    assert span.status.status_code == StatusCode.UNSET
    assert span.attributes == {
        "db.system.name": "postgresql",
        "faceplate.outcome": "committed",
        "faceplate.attempts": 2,
    }
    assert span.parent == request.get_span_context()
    assert [each.parent for each in inside] == [span.get_span_context()] * 2
    [(key, point)] = backend.points("faceplate.unit.duration").items()
    assert key == ("committed", span.name)
    assert point.count == 1
    [(key, point)] = backend.points("faceplate.retries").items()
    assert (key, point.value) == (("Contention", span.name), 1)


async def test_a_failed_unit_says_why_and_nothing_of_what_it_held(
    watched: Database, user: User, backend: Telemetry
) -> None:
    """Else what users write lies in a system that many may read."""

    async def unit(scope: Scope) -> None:
        task = await tasks.create(scope, title=CANARY)
        copy = "INSERT INTO faceplate.tasks SELECT * FROM faceplate.tasks WHERE id = :id"
        await scope.session.execute(sa.text(copy), {"id": task.id})

    with pytest.raises(Conflict):
        await watched.run(user.id, unit)
    [span] = backend.spans()
    assert span.status.status_code == StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "Conflict"
    assert span.attributes["db.response.status_code"] == "23505"
    shown = span.to_json() + str(backend.reader.get_metrics_data())
    assert CANARY not in shown
    assert str(user.id) not in shown


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (asyncio.CancelledError(), "cancelled"),
        (CommitOutcomeUnknown("lost"), "unknown"),
        (LookupError(CANARY), "failed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
async def test_every_ending_has_its_outcome(
    watched: Database, user: User, backend: Telemetry, error: BaseException, outcome: str
) -> None:
    """Else an alarm on failures goes off when users close their browsers."""

    async def unit(_scope: Scope) -> None:
        raise error

    with pytest.raises(type(error)):
        await watched.run(user.id, unit)
    [span] = backend.spans()
    assert span.attributes is not None
    assert span.attributes["faceplate.outcome"] == outcome
    assert span.status.is_ok == (outcome == "cancelled")


async def test_a_cancellation_after_commit_counts_as_committed(
    watched: Database, user: User, backend: Telemetry
) -> None:
    """Else what is stored looks as if it had failed."""

    @replayable  # so that COMMIT is the next that is waited for
    async def unit(scope: Scope) -> None:
        await tasks.create(scope, title="a")
        asyncio.get_running_loop().call_soon(running.cancel)

    running = asyncio.create_task(watched.run(user.id, unit))
    with pytest.raises(asyncio.CancelledError) as raised:
        await running
    assert was_committed(raised.value)
    [span] = backend.spans()
    assert span.attributes is not None
    assert span.attributes["faceplate.outcome"] == "committed"
    assert span.status.is_ok


async def test_the_pool_can_be_watched_from_the_exporters_thread(
    watched: Database, user: User, backend: Telemetry
) -> None:
    """Else a pool that is too small shows in errors first."""
    async with watched.begin(user.id):
        waiting = asyncio.create_task(watched.run(user.id, tasks.page))
        await asyncio.sleep(0)  # as far as it gets
        count = await asyncio.to_thread(backend.points, "db.client.connection.count")
        assert {key: point.value for key, point in count.items()} == {("used",): 1, ("idle",): 0}
        [pending] = backend.points("db.client.connection.pending_requests").values()
        [limit] = backend.points("db.client.connection.max").values()
        assert (pending.value, limit.value) == (1, 1)
        with pytest.raises(PoolExhausted):
            await waiting
    [(key, point)] = backend.points("faceplate.refusals").items()
    assert (key, point.value) == (("PoolExhausted", "tasks.page"), 1)
    assert [span.name for span in backend.spans()] == ["tasks.page", "begin"]
    await watched.dispose()
    count = await asyncio.to_thread(backend.points, "db.client.connection.count")
    assert [point.value for point in count.values()] == [0, 0]


async def test_statements_of_sqlalchemy_lie_below_their_unit(
    watched: Database, user: User, backend: Telemetry
) -> None:
    """Else the public instrumentation shows statements that belong to no unit."""

    async def unit(scope: Scope) -> None:
        await scope.session.execute(sa.text(POINT + " WHERE title = :title"), {"title": CANARY})

    instrumentor = SQLAlchemyInstrumentor()
    instrumentor.instrument(
        engine=watched.engine.sync_engine,
        tracer_provider=backend.provider,
        skip_dep_check=True,  # it asks for SQLAlchemy < 2.1, and does its work on 2.1 as well
    )
    try:
        await watched.run(user.id, unit)
    finally:
        instrumentor.uninstrument()
    statement, span = backend.spans()
    assert statement.parent == span.get_span_context()
    assert statement.attributes is not None
    assert str(statement.attributes["db.statement"]).startswith(POINT)
    assert CANARY not in statement.to_json()


async def test_a_database_is_instrumented_once(watched: Database, backend: Telemetry) -> None:
    """Else every figure is twice what it should be."""
    with pytest.raises(UsageError, match="already"):
        instrument(watched, backend)
