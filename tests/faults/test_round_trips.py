"""What each unit of the hot path costs on the wire, once its statements are prepared."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.faults.plans import append_in_steps
from tests.faults.proxy import Direction, Proxy, Traffic
from tests.faults.servers import OwnServer
from tests.units import DOCUMENT_KIND, LONG_AGO, Belongings, settle_in

from faceplate import Database, Scope, Settings, encryption, models
from faceplate.services import conversations, documents, mcp_configs, messages, tasks, usage, users
from faceplate.services.messages import NewMessage

CONTENT = "a question of one hundred characters " * 3
TURN = [NewMessage("user", CONTENT), NewMessage("assistant", CONTENT)]
WEATHER = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOL_TURN = [
    NewMessage("assistant", tool_calls=[WEATHER]),
    NewMessage("tool", tool_results=[{"tool_call_id": "c", "content": "rain"}]),
]


class Cost(NamedTuple):
    """Statements count what goes ahead of one, and BEGIN and COMMIT."""

    round_trips: int
    statements: int
    max_bytes_to_server: int
    max_bytes_to_client: int


async def rename_in_the_orm(scope: Scope, task_id: Any) -> None:
    task = await scope.session.get_one(models.Task, (scope.user_id, task_id))
    task.title = secrets.token_hex()


async def read_by_the_orm(scope: Scope, conversation_id: Any) -> list[models.Message]:
    newest = sa.select(models.Message).order_by(models.Message.position.desc()).limit(50)
    found = newest.where(models.Message.conversation_id == conversation_id)
    return list(await scope.session.scalars(found))


async def append_by_the_orm(scope: Scope, conversation_id: Any) -> models.Message:
    key = (scope.user_id, conversation_id)
    chat = await scope.session.get_one(models.Conversation, key, with_for_update=True)
    chat.message_count += 1
    message = models.Message(
        conversation_id=chat.id, position=chat.message_count, role="user", content=CONTENT
    )
    scope.session.add(message)
    return message


Call = Callable[[Database, Belongings], Awaitable[Any]]
HOT: dict[str, tuple[Call, Cost]] = {
    "append": (
        lambda db, own: db.run(
            own.user_id, messages.append, own.conversation_id, role="user", content=CONTENT
        ),
        Cost(1, 2, 400, 500),
    ),
    "append in steps": (  # the user and what counts up, what inserts and commits
        lambda db, own: db.run(own.user_id, append_in_steps, own.conversation_id),
        Cost(2, 5, 700, 600),
    ),
    "append_many": (
        lambda db, own: db.run(own.user_id, messages.append_many, own.conversation_id, TURN),
        Cost(1, 2, 900, 800),
    ),
    "append_many of a tool call and its result": (
        lambda db, own: db.run(own.user_id, messages.append_many, own.conversation_id, TOOL_TURN),
        Cost(1, 2, 900, 800),
    ),
    "append_draft": (
        lambda db, own: db.run(own.user_id, messages.append_draft, own.conversation_id),
        Cost(1, 2, 300, 400),
    ),
    "ask": (  # with the append of the answer, a turn takes two round trips
        lambda db, own: db.run(
            own.user_id, messages.ask, own.conversation_id, role="user", content=CONTENT
        ),
        Cost(1, 2, 400, 60 + 50 * 350),
    ),
    "history": (
        lambda db, own: db.run(own.user_id, messages.history, own.conversation_id),
        Cost(1, 2, 250, 60 + 50 * 350),
    ),
    "the page before": (
        lambda db, own: db.run(own.user_id, messages.before, own.conversation_id, 2),
        Cost(1, 2, 250, 500),
    ),
    "a message": (
        lambda db, own: db.run(own.user_id, messages.get, own.conversation_id, own.message_id),
        Cost(1, 2, 250, 500),
    ),
    "list conversations": (
        lambda db, own: db.run(own.user_id, conversations.page, limit=20),
        Cost(1, 2, 300, 400),
    ),
    "a conversation": (
        lambda db, own: db.run(own.user_id, conversations.get, own.conversation_id),
        Cost(1, 2, 300, 400),
    ),
    "create a conversation": (
        lambda db, own: db.run(own.user_id, conversations.create),
        Cost(1, 2, 250, 300),
    ),
    "a page of tasks": (lambda db, own: db.run(own.user_id, tasks.page), Cost(1, 2, 250, 700)),
    "create a task": (
        lambda db, own: db.run(own.user_id, tasks.create, title="a"),
        Cost(1, 2, 250, 300),
    ),
    "configurations": (
        lambda db, own: db.run(own.user_id, mcp_configs.page),
        Cost(1, 2, 300, 400),
    ),
    "a document": (
        lambda db, own: db.run(own.user_id, documents.get, DOCUMENT_KIND, own.document_key),
        Cost(1, 2, 300, 400),
    ),
    "a page of documents": (
        lambda db, own: db.run(own.user_id, documents.page, DOCUMENT_KIND),
        Cost(1, 2, 2_300, 400),
    ),
    "put a document": (  # not replayable, as a retry might undo what another writer put
        lambda db, own: db.run(own.user_id, documents.put, DOCUMENT_KIND, own.document_key, "1"),
        Cost(2, 5, 500, 400),
    ),
    "the usage of a month": (
        lambda db, own: db.run(own.user_id, usage.by_day, since=LONG_AGO),
        Cost(1, 2, 300, 400),
    ),
    "a known user": (
        lambda db, own: db.run_system(users.ensure, own.subject_id),
        Cost(1, 2, 250, 300),  # it steps up to the login's role
    ),
    "complete a task": (  # not replayable: it asks for its transaction's id with the UPDATE
        lambda db, own: db.run(own.user_id, tasks.complete, own.task_id),
        Cost(2, 5, 500, 700),
    ),
    "a unit over the ORM": (  # SELECT; BEGIN, the id of the transaction and UPDATE; COMMIT
        lambda db, own: db.run(own.user_id, rename_in_the_orm, own.task_id),
        Cost(3, 7, 800, 900),
    ),
    "an append over the ORM": (  # BEGIN and SELECT; the id, UPDATE and INSERT; COMMIT
        lambda db, own: db.run(own.user_id, append_by_the_orm, own.conversation_id),
        Cost(3, 7, 900, 700),
    ),
    "a read over the ORM": (
        lambda db, own: db.run(own.user_id, read_by_the_orm, own.conversation_id),
        Cost(1, 2, 250, 60 + 50 * 350),
    ),
}


class Wire(NamedTuple):
    db: Database
    proxy: Proxy
    own: Belongings


@asynccontextmanager
async def _wire(server: OwnServer, *, pipelining: bool) -> AsyncIterator[Wire]:
    async with Proxy(server.url) as proxy:
        settings = Settings(
            database_url=proxy.url,
            encryption_keys=(SecretStr(encryption.generate_key()),),
            pool_size=1,
            pipelining=pipelining,
        )
        async with Database(settings) as db:
            yield Wire(db, proxy, await settle_in(db))


@pytest.fixture
async def wire(steady_server: OwnServer) -> AsyncIterator[Wire]:
    async with _wire(steady_server, pipelining=True) as wire:
        yield wire


@pytest.mark.parametrize("name", HOT)
async def test_a_unit_costs_what_is_promised(wire: Wire, name: str) -> None:
    """Else a round trip that somebody adds makes each request slower, and nobody notices."""
    call, cost = HOT[name]
    await call(wire.db, wire.own)  # prepares its statements
    wire.proxy.traffic = traffic = Traffic()
    await call(wire.db, wire.own)
    to_server, to_client = traffic.bytes[Direction.TO_SERVER], traffic.bytes[Direction.TO_CLIENT]
    print(traffic)  # noqa: T201 - for who changes it
    assert (traffic.round_trips, traffic.statements) == cost[:2]
    assert to_server <= cost.max_bytes_to_server
    assert to_client <= cost.max_bytes_to_client
    assert traffic.connections == 0


READS: dict[str, Call] = {
    "history": lambda db, own: db.run(own.user_id, messages.history, own.conversation_id),
    "the page before": lambda db, own: db.run(own.user_id, messages.before, own.conversation_id, 3),
    "a page": lambda db, own: db.run(
        own.user_id, messages.page, own.conversation_id, descending=True
    ),
}


@pytest.mark.parametrize("name", READS)
async def test_a_conversation_with_branches_takes_two_statements_once(
    wire: Wire, name: str
) -> None:
    """Else a user who edited one question waits twice as long for each page, for ever."""
    db, own, read = wire.db, wire.own, READS[name]

    async def append(**new: Any) -> None:
        turn = [NewMessage("user", CONTENT), NewMessage("assistant", CONTENT)]
        await db.run(own.user_id, messages.append_many, own.conversation_id, turn, **new)

    async def cost() -> int:
        wire.proxy.traffic = traffic = Traffic()
        await read(db, own)
        return traffic.round_trips

    await append()
    await read(db, own)
    assert await cost() == 1
    for _ in range(3):
        await append(after=1, branch=True)
    await db.run(own.user_id, conversations.switch, own.conversation_id, 3)
    await read(db, own)
    assert await cost() == 1


async def test_units_that_call_units_begin_once(wire: Wire) -> None:
    """Else what a unit composes is kept in parts, or each part pays for a transaction."""

    async def turn(scope: Scope) -> None:
        await messages.append(scope, wire.own.conversation_id, role="user", content="a")
        await messages.append(scope, wire.own.conversation_id, role="assistant", content="b")

    await wire.db.run(wire.own.user_id, turn)
    wire.proxy.traffic = traffic = Traffic()
    await wire.db.run(wire.own.user_id, turn)
    assert traffic.round_trips == 3  # two appends, COMMIT


PLAIN = {  # a ping, BEGIN with the user, each statement, COMMIT
    "append": 4,
    "history": 4,
    "list conversations": 4,
    "complete a task": 5,  # it asks for its transaction's id
    "a unit over the ORM": 6,
    "a read over the ORM": 4,
}


@pytest.mark.parametrize("name", PLAIN)
async def test_a_unit_that_is_not_pipelined_waits_for_each_statement(
    steady_server: OwnServer, name: str
) -> None:
    """Else the plain path relies on what it is there to do without."""
    call, _ = HOT[name]
    async with _wire(steady_server, pipelining=False) as wire:
        await call(wire.db, wire.own)
        wire.proxy.traffic = traffic = Traffic()
        await call(wire.db, wire.own)
    assert (traffic.round_trips, traffic.statements) == (PLAIN[name], PLAIN[name])
