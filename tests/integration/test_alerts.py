"""The alerts of the documentation name metrics and labels that are exported."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY
from tests.blocks import blocks, run_block

from faceplate import Database, User, errors
from faceplate.events import Event, Kind
from faceplate.integrations import telemetry
from faceplate.services import tasks

PAGE = Path(__file__).parents[2] / "docs" / "production" / "alerts.md"
EXAMPLE, RULES = (block for block in blocks(PAGE) if block.language in {"python", "yaml"})
yaml: Any = importlib.import_module("yaml")  # it has no types
ALERTS = yaml.safe_load(RULES.source)["groups"][0]["rules"]
WORDS_OF_PROMQL = {"sum", "by", "rate", "increase", "histogram_quantile", "or", "unless", "offset"}
OF_PROMETHEUS = {"instance"}


@pytest.fixture
def meters() -> Iterator[MeterProvider]:
    provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
    yield provider
    provider.shutdown()  # takes it out of the registry


@pytest.fixture
async def exported(db: Database, user: User, meters: MeterProvider) -> dict[str, set[str]]:
    """The names of the samples of a Database with an event of each kind, with their labels."""
    telemetry.instrument(db, meter_provider=meters)
    await db.run(user.id, tasks.create, title="measured")
    assert db.events.listener is not None
    for kind in Kind:
        reason = "ConnectionLost"
        db.events.listener.record(Event(kind, "tasks.create", reason, None, 1, 0.1))
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    return {sample.name: {*sample.labels} for sample in samples}


def test_every_metric_and_label_is_exported(exported: dict[str, set[str]]) -> None:
    """Else an alert never fires, and nobody notices."""
    for alert in ALERTS:
        expression = re.sub(r'"[^"]*"|\[[^\]]*\]', "", alert["expr"])
        names = set(re.findall(r"\b[a-z]\w+\b", expression)) - WORDS_OF_PROMQL
        metrics = {name for name in names if name in exported}
        assert metrics, alert
        labels = set().union(*(exported[name] for name in metrics)) | OF_PROMETHEUS
        assert names - metrics - labels == set(), alert
        for reason in re.findall(r'error_type="(\w+)"', alert["expr"]):
            assert issubclass(getattr(errors, reason), errors.FaceplateError)


def test_the_collector_without_opentelemetry_serves_them() -> None:
    """Else the rules are silent for who exports by the page on Prometheus."""
    page = PAGE.parents[1] / "web" / "prometheus-and-sentry.md"
    row = re.compile(r"^\| `(\w+)` \| (?:counter|gauge) \|", re.MULTILINE)
    collected = row.findall(page.read_text("utf-8"))
    for alert in ALERTS:
        if alert["alert"] != "FaceplateIsSlow":
            assert any(re.search(rf"\b{name}\b", alert["expr"]) for name in collected), alert


def test_every_counter_has_an_alert(exported: dict[str, set[str]]) -> None:
    """Else what is counted happens unseen."""
    counters = {name for name in exported if re.fullmatch(r"faceplate_\w+_total", name)}
    text = " ".join(alert["expr"] for alert in ALERTS)
    assert len(counters) == len(Kind)
    assert {name for name in counters if name not in text} == set()


def test_the_table_explains_every_alert() -> None:
    """Else who is woken up by one does not know where to look."""
    listed = re.findall(r"^\| `(Faceplate\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert listed == [alert["alert"] for alert in ALERTS]


def test_a_fast_unit_is_not_counted_as_slow(exported: dict[str, set[str]]) -> None:
    """Else the quantile of every unit is some seconds: the default buckets are milliseconds'."""
    assert "faceplate_unit_duration_seconds_bucket" in exported
    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    bounds = {s.labels["le"] for s in samples if s.name == "faceplate_unit_duration_seconds_bucket"}
    assert {"0.001", "0.01", "0.1", "1.0", "+Inf"} <= bounds


async def test_the_example_prints_metrics(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the page shows how to export nothing."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    namespace: dict[str, Any] = {}
    await run_block(EXAMPLE.source, str(PAGE), EXAMPLE.line, namespace)
    namespace["meters"].shutdown()
    assert "db_client_connection_max" in capsys.readouterr().out
