"""What a unit costs on the wire: to the coordinator, and from there to a worker."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from tests.citus.conftest import name_of, url
from tests.citus_cluster import NODES
from tests.databases import Operator, settings_of
from tests.faults.proxy import Proxy, Traffic

from faceplate import Database, Settings, distribution
from faceplate.services import conversations, messages, users

Call = Callable[[Database, UUID, UUID], Awaitable[Any]]


class Wire(NamedTuple):
    proxy: Proxy
    db: Database
    user_id: UUID
    chat_id: UUID


@pytest.fixture
async def wire(cluster: Settings, admin: Operator) -> AsyncIterator[Wire]:
    """A database behind a proxy, which gets a notice of each command that a worker gets."""
    await distribution.distribute(cluster)
    await admin.execute(f"ALTER DATABASE {name_of(cluster)} SET citus.log_remote_commands = on")
    async with (
        Proxy(url(NODES[0], name_of(cluster))) as proxy,
        Database(settings_of(proxy.url)) as db,
    ):
        user = await db.run_system(users.ensure, "somebody")
        chat = await db.run(user.id, conversations.create)
        yield Wire(proxy, db, user.id, chat.id)


# A worker gets BEGIN, UPDATE, INSERT, COMMIT; with `ask` a SELECT, too.
COSTS: dict[str, tuple[Call, int, int]] = {
    "append": (
        lambda db, user_id, chat_id: db.run(
            user_id, messages.append, chat_id, role="user", content="hi"
        ),
        2,
        4,
    ),
    "append_many": (
        lambda db, user_id, chat_id: db.run(
            user_id, messages.append_many, chat_id, [messages.NewMessage("user", "hi")] * 2
        ),
        2,
        4,
    ),
    "append_draft": (
        lambda db, user_id, chat_id: db.run(user_id, messages.append_draft, chat_id),
        2,
        4,
    ),
    "ask": (
        lambda db, user_id, chat_id: db.run(
            user_id, messages.ask, chat_id, role="user", content="hi"
        ),
        3,
        5,
    ),
}


@pytest.mark.parametrize("name", COSTS)
async def test_a_unit_costs_so_many_round_trips_and_commands_to_a_worker(
    wire: Wire, name: str
) -> None:
    """Else each message waits longer, or for a two-phase commit."""
    call, round_trips, commands = COSTS[name]
    await call(wire.db, wire.user_id, wire.chat_id)  # prepares its statements
    wire.proxy.traffic = traffic = Traffic()
    await call(wire.db, wire.user_id, wire.chat_id)
    assert (traffic.round_trips, traffic.notices) == (round_trips, commands)


async def test_a_message_that_is_stored_already_is_found_by_its_key(wire: Wire) -> None:
    """Else a caller that retries an append is told of a conflict, or stores it twice."""
    _, db, user_id, chat_id = wire
    id_ = uuid4()

    async def append() -> Any:
        return await db.run(user_id, messages.append, chat_id, role="user", content="hi", id=id_)

    assert await append() == await append()
    assert len(await db.run(user_id, messages.history, chat_id)) == 1
