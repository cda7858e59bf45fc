"""The values that a server, a driver or an encoder stumbles over: refused before they get there.

A refused value costs no message, and leaves the connection as it was. Neither a refused value nor
the largest allowed one holds up the other tasks of the event loop.
"""

import asyncio
import gc
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, Self, get_args
from uuid import UUID

import pytest
from pydantic import SecretStr
from tests.faults.bouncer_client import reads
from tests.faults.plans import Plan, plans
from tests.faults.proxy import Direction, Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.integration.test_properties import JSON_FIELDS, TEXT_FIELDS, Place
from tests.units import LONG_AGO, Belongings, calls, nobodys, results, settle_in, units
from uuid6 import uuid7

from faceplate import Database, InvalidInput, Scope, Settings, encryption, models
from faceplate.services import conversations, mcp_configs, messages, retention, tasks
from faceplate.services.messages import NewMessage


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


LIMIT_S = 0.25  # five times the promise, for a slow machine
MANY = 9_900  # an item of a list counts twice, and one of an object three times; to 20,000
TOO_EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=12)))  # the year 0, in UTC


def bad_text() -> dict[str, Any]:
    return {
        "a NUL": "a\x00b",
        "a lone surrogate": "a\ud800b",
        "a surrogate pair": "\ud83d\ude00",  # as two characters, which UTF-8 has no room for
        "too much": "a" * 50_000_000,
        "bytes": b"a",
        "a number": 7,
        "something deep": nested(100_000),
    }


def bad_json() -> dict[str, Any]:
    return {
        "a NUL": "a\x00b",
        "a lone surrogate": "a\ud800b",
        "not a number": float("nan"),
        "infinity": float("inf"),
        "a large integer": 2**64,
        "a larger integer": 10**5000,
        "2,000 levels": nested(2_000),
        "100,000 levels": nested(100_000),
        "itself": endless(),
        "too much text": "a" * 50_000_000,
        "too many values": [0] * 5_000_000,
        "too many objects": [{}] * 5_000_000,
        "too many names": {str(n): n for n in range(500_000)},
        "a NUL in a name": {"a\x00b": 1},
        "a lone surrogate in a name": {"\udfff": 1},
        "a name that is no text": {1: 1},
        "bytes": b"a",
        "a tuple": (1, 2),
        "a set": {1},
        "a date": date(2026, 1, 1),
        "a decimal": Decimal(1),
    }


Store = Callable[[Place, Any], Awaitable[Any]]


class Other(NamedTuple):
    """A field that is neither text nor JSON, and what is refused in it."""

    name: str
    store: Store
    values: tuple[Any, ...]


def append(**kwargs: Any) -> Store:
    """Append a message with a value in place of the one that is None."""
    (name,) = (name for name, value in kwargs.items() if value is None)

    async def store(place: Place, value: Any) -> Any:
        given = {"role": "user"} | kwargs | {name: value}
        return await place.run(messages.append, place.conversation_id, **given)

    return store


async def answer(place: Place, content: str) -> None:
    id_ = str(uuid7())
    turn = [
        NewMessage("assistant", tool_calls=calls(id_)),
        NewMessage("tool", tool_results=[results(id_)[0] | {"content": content}]),
    ]
    await place.run(messages.append_many, place.conversation_id, turn)


async def put_secrets(place: Place, value: Any) -> Any:
    return await place.run(mcp_configs.put, "a", {"command": "uvx"}, secrets=value)


async def append_batch(place: Place, value: Any) -> Any:
    return await place.run(messages.append_many, place.conversation_id, value)


async def append_with_id(place: Place, value: Any) -> Any:
    return await append_batch(place, [NewMessage("user", "a", id=value)])


async def name_conversation(place: Place, value: Any) -> Any:
    return await place.run(conversations.get, value)


async def name_task(place: Place, value: Any) -> Any:
    return await place.run(tasks.complete, value)


async def limit_history(place: Place, value: Any) -> Any:
    return await place.run(messages.history, place.conversation_id, limit=value)


async def limit_asked(place: Place, value: Any) -> Any:
    return await place.run(messages.ask, place.conversation_id, role="user", limit=value)


async def turn_page(place: Place, value: Any) -> Any:
    return await place.run(tasks.page, cursor=value)


async def choose_state(place: Place, value: Any) -> Any:
    return await place.run(tasks.page, state=value)


async def remove_after(place: Place, value: Any) -> Any:
    return await place.run(messages.remove_after, place.conversation_id, value)


async def read_before(place: Place, value: Any) -> Any:
    return await place.run(messages.before, place.conversation_id, value)


async def read_leaf(place: Place, value: Any) -> Any:
    return await place.run(messages.history, place.conversation_id, leaf=value)


async def fork_at(place: Place, value: Any) -> Any:
    return await place.run(conversations.fork, place.conversation_id, at=value)


async def switch(place: Place, value: Any) -> Any:
    return await place.run(conversations.switch, place.conversation_id, value)


async def reply_after(place: Place, value: Any) -> Any:
    return await place.run(messages.append, place.conversation_id, role="user", after=value)


async def open_from(place: Place, value: Any) -> Any:
    return await place.run(conversations.open, source=value, key="a")


async def open_named(place: Place, value: Any) -> Any:
    return await place.run(conversations.open, source="a", key=value)


async def date_a_task(place: Place, value: Any) -> Any:
    async def unit(scope: Scope) -> None:
        scope.session.add(models.Task(user_id=scope.user_id, title="a", created_at=value))

    return await place.run(unit)


NO_IDS = ("not an id", b"a" * 16, 7, ["a"], {"a": 1})
OTHERS = {
    "role": Other(
        "messages.role", append(role=None), ("root", "user\x00", 7, ["user"], "a" * 10**7)
    ),
    "id": Other("messages.id", append_with_id, NO_IDS),
    "conversation": Other("conversations.id", name_conversation, NO_IDS),
    "task": Other("tasks.id", name_task, NO_IDS),
    "limit": Other("limit", limit_history, (0, -1, 1_001, 2**31, 2**80, 1.5, "9", True, None)),
    "limit of an ask": Other("limit", limit_asked, (0, -1, 1_001, 2**80, 1.5, "9", True, None)),
    "cursor": Other("cursor", turn_page, ("a", "\x00", "é", "a" * 50_000_000, b"a", 7)),
    "state": Other("state", choose_state, ("OPEN", "", "a" * 10**7, 7)),
    "position": Other("position", remove_after, (-1, -(2**80), 1.5, "1", True, None)),
    "before": Other("position", read_before, (-1, -(2**80), 1.5, "1", True, None)),
    "leaf": Other("leaf", read_leaf, (-1, -(2**80), 1.5, "1", True)),
    "at": Other("at", fork_at, (-1, -(2**80), 1.5, "1", True)),
    "place": Other("position", switch, (-1, -(2**80), 1.5, "1", True, None)),
    "after": Other("after", reply_after, (-1, -(2**80), 1.5, "1", True)),
    "body": Other("messages.body", append(body=None), (7, b"{}", {}, "\x00", '"\ud800"')),
    "large body": Other("messages.body", append(body=None), (f'"{"a" * 2**24}"',)),
    "source": Other("conversations.source", open_from, ("", " ", "a" * 101, "\x00", 7, None)),
    "key": Other("conversations.key", open_named, ("a" * 2_001, "\x00", "\ud800", 7, None)),
    "moment": Other("tasks.created_at", date_a_task, (datetime(2026, 1, 1), "2026-01-01", 7)),  # noqa: DTZ001 - that is what is wrong
    "too early": Other("tasks.created_at", date_a_task, (TOO_EARLY,)),
    "batch": Other("messages", append_batch, ([], [NewMessage("user")] * 1_001)),
    "batch twice": Other("messages.id", append_batch, ([NewMessage("user", id=UUID(int=1))] * 2,)),
    "batch of text": Other(
        "messages.content", append_batch, ([NewMessage("user", "a" * 900_000)] * 12,)
    ),
    "batch of depth": Other(
        "messages.content", append_batch, ([NewMessage("user", nested(100_000))],)
    ),
}


LARGEST: dict[str, tuple[Store, Any]] = {
    "text of four bytes a character": (append(content=None), "\U0001f600" * 1_000_000),
    "text that JSON escapes": (append(metadata=None), {"a": "\x01" * 262_000}),
    "names": (append(metadata=None), {str(n): n for n in range(MANY * 2 // 3)}),
    "floats": (append(metadata=None), {"a": [n / 7 for n in range(MANY)]}),
    "objects": (append(metadata=None), {"a": [{} for _ in range(MANY)]}),
    "levels": (append(metadata=None), {"a": nested(29)}),
    "a result": (answer, "\x01" * 999_000),
    "secrets": (put_secrets, {"a": "\x01" * 65_000}),
}


class Turns:
    """How long the longest turn of the event loop was, in processor time of its thread."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._began_s = time.thread_time()
        self._is_over = False

    def __enter__(self) -> Self:
        gc.disable()  # it would look through all that the test has made up
        self._tick()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._tick()
        gc.enable()

    def _tick(self) -> None:
        now_s = time.thread_time()
        self.longest_s = max(self.longest_s, now_s - self._began_s)
        self._began_s = now_s
        if not self._is_over:
            asyncio.get_running_loop().call_soon(self._tick)


async def settle(db: Database) -> Place:
    own = await settle_in(db)
    return Place(db, own.user_id, own.conversation_id, own.task_id, own.config_id)


def keyed(url: str) -> Database:
    key = SecretStr(encryption.generate_key())
    return Database(Settings(database_url=SecretStr(url), encryption_keys=(key,)))


class Gate:
    """Lets bad values be stored, and notes each that comes further than it may."""

    def __init__(self, place: Place, proxy: Proxy) -> None:
        self._place = place
        self._proxy = proxy
        self._wrong: list[str] = []
        self._longest: dict[str, float] = {}

    async def refuse(self, what: str, field: str, store: Store, value: Any) -> None:
        self._proxy.traffic = traffic = Traffic()
        end = "was stored"
        with Turns() as turns:
            try:
                await store(self._place, value)
            except InvalidInput as refusal:
                end = f"named {refusal.field}"
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                end = f"raised {type(error).__name__}"
        sent, pool = traffic.messages[Direction.TO_SERVER], self._place.db.engine.pool
        if end != f"named {field}":
            self._wrong.append(f"{what}: {end}, not {field}")
        if sent or traffic.connections:
            self._wrong.append(f"{what}: {sent} messages, {traffic.connections} connections")
        if pool.checkedout():  # type: ignore[attr-defined]  # QueuePool's
            self._wrong.append(f"{what}: its connection is still checked out")
        self._longest[what] = turns.longest_s

    def check(self) -> None:
        what = max(self._longest, key=self._longest.__getitem__)
        worst_s = self._longest[what]
        print(f"{len(self._longest)} values, the worst {worst_s * 1000:.1f} ms: {what}")  # noqa: T201 - for the report
        assert not self._wrong, "\n".join(self._wrong)
        assert worst_s < LIMIT_S


@pytest.fixture
async def gate(steady_server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    # A ping of a connection that was idle for long would count as a message.
    monkeypatch.setattr("faceplate._driver.connection_state.PING_AFTER_IDLE_S", float("inf"))
    async with Proxy(steady_server.url) as proxy, keyed(proxy.url) as db:
        yield Gate(await settle(db), proxy)


@pytest.mark.pipelined
async def test_bad_text_is_refused_by_name_before_the_wire(gate: Gate) -> None:
    """Else a pasted file costs a connection, or an error that quotes it."""
    for ident, text in TEXT_FIELDS.items():
        for what, value in bad_text().items():
            await gate.refuse(f"{ident}, {what}", text.name, text.store, value)
    gate.check()


@pytest.mark.pipelined
async def test_bad_json_is_refused_by_name_before_the_wire(gate: Gate) -> None:
    """Else what a model makes up ends in a RecursionError, for each later reader too."""
    for what, value in bad_json().items():
        for ident, field in JSON_FIELDS.items():
            given = {"a": value} if field.is_whole else value
            await gate.refuse(f"{ident}, {what}", field.name, field.store, given)
    for ident, others in JSON_FIELDS.items():
        if others.is_whole:
            for number, value in enumerate((["a"], "a", 7, [{}] * 5_000_000)):
                await gate.refuse(f"{ident}, {number}", others.name, others.store, value)
    gate.check()


@pytest.mark.pipelined
async def test_other_bad_values_are_refused_by_name_before_the_wire(gate: Gate) -> None:
    """Else a wrong argument is an error of the driver's, which says nothing to who made it."""
    for ident, other in OTHERS.items():
        for number, value in enumerate(other.values):
            await gate.refuse(f"{ident}, {number}", other.name, other.store, value)
    gate.check()


def takes_none(parameter: inspect.Parameter) -> bool:
    return type(None) in get_args(parameter.annotation)


def required(plan: Plan) -> list[str]:
    """The parameters of a unit that None is no value of, whether they have a default or not."""
    _, *parameters = inspect.signature(plan.unit).parameters.values()
    return [parameter.name for parameter in parameters if not takes_none(parameter)]


def every_plan(own: Belongings) -> dict[str, Plan]:
    """Each shipped unit with arguments that it accepts, at least once."""
    removing = {
        "retention.idle_since": Plan(retention.idle_since, (timedelta(days=1),), {}),
        "retention.idle_rows": Plan(retention.idle_rows, ("tasks", LONG_AGO), {}),
        "retention.idle_users": Plan(retention.idle_users, (LONG_AGO,), {}),
        "mcp_configs.count_secrets": Plan(mcp_configs.count_secrets, (), {}),
    }
    return {
        name: plan
        for name, plan in (plans(own) | reads(own) | removing).items()
        if not name.startswith("own, ")
    }


@pytest.mark.pipelined
async def test_none_is_refused_by_name_before_the_wire(steady_server: OwnServer) -> None:
    """Else what a handler forgot to fill in is an error of the server, or a row of NULLs."""
    own = nobodys()
    names = every_plan(own)
    assert {name.partition(",")[0] for name in names} == {*units()}
    wrong = []
    async with Proxy(steady_server.url) as proxy, keyed(proxy.url) as db:
        await settle_in(db)  # which opens a connection
        for name, plan in names.items():
            given = inspect.signature(plan.unit).bind(None, *plan.args, **plan.kwargs).arguments
            _, *rest = given.items()
            run: Any = db.run_system if plan.is_across_users else partial(db.run, own.user_id)
            for parameter in required(plan):
                proxy.traffic = traffic = Traffic()
                end = "nothing"
                try:
                    await run(plan.unit, **dict(rest) | {parameter: None})
                except InvalidInput as refusal:
                    end = refusal.field
                except Exception as error:  # noqa: BLE001 - it is what is looked for
                    end = type(error).__name__
                if "." not in end and end != parameter:
                    wrong.append(f"{name}: {parameter} of None ended in {end}")
                if sent := traffic.messages[Direction.TO_SERVER]:
                    wrong.append(f"{name}: {parameter} of None sent {sent} messages")
    assert not wrong, "\n".join(wrong)


async def test_the_largest_values_do_not_hold_up_the_others(steady_server: OwnServer) -> None:
    """Else one user's file stops everybody's replies for as long as it takes to store."""
    longest: dict[str, float] = {}
    async with keyed(steady_server.url) as db:
        place = await settle(db)
        for what, (store, value) in LARGEST.items():
            await store(place, value)  # which compiles its statements
            with Turns() as turns:
                await store(place, value)
            longest[what] = turns.longest_s
    for what, longest_s in longest.items():
        print(f"{longest_s * 1000:.1f} ms: {what}")  # noqa: T201 - for the report
    assert max(longest.values()) < LIMIT_S
