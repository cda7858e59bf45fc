"""OpenTelemetry for units, their retries, and the pool.

It needs the ``telemetry`` extra.

::

    async with Database() as db:
        telemetry.instrument(db)

Each call of `Database.run` and each block of `Database.begin` is one span with all its attempts.
The unit's own spans are its children. Neither spans nor metrics hold an id, a value or the message
of an error.

=====================================  ==========================================================
faceplate.unit.duration                histogram in s: faceplate.unit, faceplate.outcome, error.type
faceplate.retries                      faceplate.unit, error.type
faceplate.reconnects                   faceplate.unit, error.type
faceplate.refusals                     faceplate.unit, error.type
faceplate.unknown_outcomes             faceplate.unit, error.type
db.client.connection.count             connections by db.client.connection.state: used, idle
db.client.connection.max               connections that the pool opens at most
db.client.connection.pending_requests  units that wait for a connection
=====================================  ==========================================================

faceplate.outcome is committed, failed, cancelled or unknown.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from faceplate._driver.error_details import sqlstate_of
from faceplate.database import Database
from faceplate.errors import (
    CommitOutcomeUnknown,
    ConfigurationError,
    UsageError,
    was_committed,
)
from faceplate.events import Event, Kind, Observed

try:
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, TracerProvider
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "telemetry needs a package: pip install 'faceplate[telemetry]'"
    ) from missing

Attributes = dict[str, str]

SYSTEM: Attributes = {"db.system.name": "postgresql"}
# The SDK's own begin at 5, as for milliseconds.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COUNTERS = {
    Kind.RETRY: ("faceplate.retries", "Retries of units."),
    Kind.RECONNECT: ("faceplate.reconnects", "Units that waited until the server was back."),
    Kind.REFUSAL: ("faceplate.refusals", "Units given up: no usable database, or too busy."),
    Kind.UNKNOWN_OUTCOME: ("faceplate.unknown_outcomes", "Units whose COMMIT is in doubt."),
}


def instrument(
    db: Database,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Trace and measure the units of ``db`` from now on.

    Without providers it uses the global ones. Raises UsageError if ``db`` has a listener already.
    """
    if db.events.listener is not None:
        raise UsageError("this database is instrumented already")
    own = version("faceplate")
    meter = metrics.get_meter("faceplate", own, meter_provider)
    db.events.listener = _Telemetry(trace.get_tracer("faceplate", own, tracer_provider), meter)
    _observe_pool(db, meter)


class _Telemetry:
    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._duration = meter.create_histogram(
            "faceplate.unit.duration",
            "s",
            "The time that a unit took with all its attempts.",
            explicit_bucket_boundaries_advisory=BUCKETS_S,
        )
        self._counters = {
            kind: meter.create_counter(name, "{unit}", description)
            for kind, (name, description) in COUNTERS.items()
        }

    @contextmanager
    def observe(self, call: Observed) -> Iterator[None]:
        started_s = time.perf_counter()
        with self._tracer.start_as_current_span(
            call.unit,
            kind=SpanKind.CLIENT,
            attributes=SYSTEM,
            record_exception=False,  # its message may quote a row
            set_status_on_exception=False,
        ) as span:
            ending = {"faceplate.outcome": "committed"}
            try:
                yield
            except BaseException as error:
                ending = _ending(error)
                _mark_failed(span, error)
                raise
            finally:
                span.set_attributes(ending | {"faceplate.attempts": call.attempt})
                elapsed_s = time.perf_counter() - started_s
                self._duration.record(elapsed_s, SYSTEM | {"faceplate.unit": call.unit} | ending)

    def record(self, event: Event) -> None:
        attributes = SYSTEM | {"faceplate.unit": event.unit, "error.type": event.reason}
        self._counters[event.kind].add(1, attributes)


def _ending(error: BaseException) -> Attributes:
    if was_committed(error):
        return {"faceplate.outcome": "committed"}
    match error:
        case asyncio.CancelledError() | GeneratorExit():
            return {"faceplate.outcome": "cancelled"}
        case CommitOutcomeUnknown():
            outcome = "unknown"
        case _:
            outcome = "failed"
    return {"faceplate.outcome": outcome, "error.type": type(error).__name__}


def _mark_failed(span: Span, error: BaseException) -> None:
    if not isinstance(error, Exception):  # a cancellation is no failure of the unit
        return
    span.set_status(StatusCode.ERROR)
    if state := sqlstate_of(error):
        span.set_attribute("db.response.status_code", state)


def _observe_pool(db: Database, meter: Meter) -> None:
    """Register callbacks that the exporter calls from its own thread."""
    pool = SYSTEM | {"db.client.connection.pool.name": db.settings.target}

    def count(_: CallbackOptions) -> Iterable[Observation]:
        now = db.pool()
        for state, connections in {"used": now.checked_out, "idle": now.idle}.items():
            yield Observation(connections, pool | {"db.client.connection.state": state})

    def limit(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(db.pool().limit, pool)

    def pending(_: CallbackOptions) -> Iterable[Observation]:
        yield Observation(db.pool().waiting, pool)

    for name, callback, unit, description in (
        ("count", count, "{connection}", "Connections of the pool, by state."),
        ("max", limit, "{connection}", "Connections that the pool opens at most."),
        ("pending_requests", pending, "{request}", "Units that wait for a connection."),
    ):
        meter.create_observable_up_down_counter(
            f"db.client.connection.{name}", [callback], unit, description
        )
