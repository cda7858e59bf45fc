"""Prometheus and Sentry as docs/web/prometheus-and-sentry.md sets them up."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.web.conftest import Calling
from tests.web.pages import WEB, loaded, written
from tests.web.tracked import CONTENT, TOKEN

from faceplate import Database, FaceplateError, User, errors
from faceplate._runner.calls import GIVEN_UP
from faceplate.events import Event, Kind
from faceplate.integrations import telemetry
from faceplate.services import conversations

PAGE = WEB / "prometheus-and-sentry.md"
ROOT = WEB.parents[1]


def _record(db: Database, kind: Kind, error: FaceplateError) -> None:
    db.events.record(Event(kind, "messages.append", type(error).__name__, None, 1, 0.1), error)


async def _scrape(http: Any) -> dict[tuple[str, ...], float]:
    """Return each sample of ours by its name and the values of its labels."""
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name.startswith(("faceplate_", "db_"))
    }


async def test_prometheus_reads_what_happened(
    database_url: str, monkeypatch: pytest.MonkeyPatch, calling: Calling, user: User
) -> None:
    """Else an alert is silent in an outage."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    page = await loaded(PAGE, monkeypatch)
    opened: list[Database] = []

    class Metrics(page.DatabaseMetrics):  # type: ignore[name-defined,misc]  # of the page
        def __init__(self, db: Database) -> None:
            super().__init__(db)
            opened.append(db)

    monkeypatch.setattr(page, "DatabaseMetrics", Metrics)
    async with calling(page.app) as http:
        before = await _scrape(http)
        (db,) = opened
        for kind, error in (
            (Kind.RETRY, errors.ConnectionLost("lost")),
            (Kind.RECONNECT, errors.Unavailable("gone")),
            (Kind.REFUSAL, errors.PoolExhausted("full")),
            (Kind.UNKNOWN_OUTCOME, errors.CommitOutcomeUnknown("lost")),
        ):
            _record(db, kind, error)
        async with db.begin(user.id) as scope:
            await conversations.page(scope)
            after = await _scrape(http)
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    assert changed == {
        ("faceplate_retries_total", "ConnectionLost"): 1,
        ("faceplate_reconnects_total",): 1,
        ("faceplate_refusals_total", "PoolExhausted"): 1,
        ("faceplate_unknown_outcomes_total",): 1,
        ("db_client_connection_count", "used"): 1,
    }
    assert after.keys() == before.keys()  # each series is there before its first event
    assert after["db_client_connection_max",] == db.pool().limit


async def test_the_names_are_those_of_opentelemetry_and_of_the_page(
    database_url: str, monkeypatch: pytest.MonkeyPatch, calling: Calling
) -> None:
    """Else an alert for one of them never fires with the other."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    page = await loaded(PAGE, monkeypatch)
    async with calling(page.app) as http:
        names = {name for name, *_ in await _scrape(http)}
    counters = {name for name, _ in telemetry.COUNTERS.values()}
    gauges = {f"db.client.connection.{name}" for name in ("count", "max", "pending_requests")}
    assert all(name in str(telemetry.__doc__) for name in counters | gauges)
    expected = {f"{name}_total" for name in counters} | gauges
    assert names == {name.replace(".", "_") for name in expected}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert {kind.__name__ for kind in kinds if issubclass(kind, GIVEN_UP)} == page.REFUSED
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in names)


def _events(directory: Path, database_url: str, *arguments: str) -> list[Any]:
    written(PAGE, directory)
    path = os.pathsep.join([str(ROOT), str(directory)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.web.tracked", *arguments],
        env=os.environ
        | {
            "DATABASE_URL": database_url,
            "PYTHONPATH": path,
            "SENTRY_DSN": "http://key@127.0.0.1:9/1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def _of(events: list[Any], path: str) -> list[str]:
    """What was sent as an error of one handler."""
    return [
        (event.get("exception") or {"values": [{}]})["values"][-1].get("type") or "log"
        for event in events
        if event.get("transaction") == path and event.get("type") != "transaction"
    ]


def test_sentry_gets_the_errors_and_no_content(tmp_path: Path, database_url: str) -> None:
    """Else what people write to the model is read by everybody who looks at an error."""
    events = _events(tmp_path, database_url, "tracking")
    assert [_of(events, path) for path in ("/handler", "/model", "/database", "/missing")] == [
        ["RuntimeError"],
        ["RuntimeError"],
        ["log"],
        [],
    ]
    assert [event.get("type") for event in events].count("transaction") == 4
    assert not [word for word in (CONTENT, TOKEN) if word in json.dumps(events)]


def test_sentry_by_itself_sends_content(tmp_path: Path, database_url: str) -> None:
    """Else the settings of the page do nothing, or the test above looks in the wrong place."""
    events = _events(tmp_path, database_url)
    for path in ("/handler", "/model"):
        assert CONTENT in json.dumps([one for one in events if one.get("transaction") == path])
