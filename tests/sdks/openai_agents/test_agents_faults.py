"""What a run has stored after a kill, a cancellation and a lost connection in the middle of it."""

import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.faults.proxy import Action, Fault, Proxy, is_commit, is_committed
from tests.sdks.killing import Canceller, check_units, kill_writers
from tests.sdks.openai_agents.killed import SESSION, name_of, run, run_units, units, write

from faceplate import Database, Settings, User
from faceplate.integrations.openai_agents import FaceplateSession
from faceplate.services import messages


def run_names(number: int, count: int = 3) -> list[str]:
    """Return the names of the first units of a run."""
    return [name for unit in run_units("0", number)[:count] for name in unit]


async def names_in(session: FaceplateSession) -> list[str]:
    return [name_of(item) for item in await session.get_items()]


async def test_killed_programs_have_lost_and_doubled_nothing(
    db: Database, user: User, other_user: User, database_url: str, campaign: Campaign
) -> None:
    """Two of a user at once in one session, and one of another user in theirs."""
    owners = [str(user.id), str(user.id), str(other_user.id)]
    killed = await kill_writers(write, database_url, owners, campaign)
    for one in (user, other_user):
        session = FaceplateSession(db, one.id, SESSION)
        check_units(await names_in(session), str(one.id), killed, units)
        place = session.conversation_id
        assert await db.run(one.id, messages.pending_tool_calls, place) == []


# The SDK makes a coroutine in a task that it never awaits if it is cancelled right then.
@pytest.mark.filterwarnings("ignore:coroutine 'run_single_turn' was never awaited")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_cancelled_run_has_doubled_nothing(
    db: Database, user: User, campaign: Campaign
) -> None:
    session = FaceplateSession(db, user.id, "cancelled")
    canceller = Canceller(campaign)
    numbers = range(campaign.size(30, 300))
    for number in numbers:
        if not isinstance(await canceller.call(run(session, "0", number)), BaseException):
            assert (await names_in(session))[-4:] == run_names(number)
    gc.collect()  # here the coroutines may warn
    names = await names_in(session)
    for number in numbers:
        own = [name for name in names if name in run_names(number)]
        assert own in [run_names(number, count) for count in range(4)]
    await run(session, "0", 9_999)
    assert (await names_in(session))[-4:] == run_names(9_999)


@pytest.fixture
async def proxied(database_url: str) -> AsyncIterator[tuple[Proxy, Database]]:
    async with Proxy(database_url) as proxy:
        settings = Settings(database_url=SecretStr(proxy.url), pool_size=2)
        async with Database(settings) as db:
            yield proxy, db


LOSSES = {
    "before COMMIT": Fault(Action.DROP_BEFORE, is_commit),
    "after COMMIT": Fault(Action.DROP_BEFORE, is_committed),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("count", [1, 2, 1_500])
async def test_items_are_added_once_although_the_connection_is_lost(
    proxied: tuple[Proxy, Database], user: User, name: str, count: int
) -> None:
    proxy, db = proxied
    session = FaceplateSession(db, user.id, f"{name} {count}")
    await session.add_items([{"role": "user", "content": "Hello"}])
    items: list[Any] = [{"role": "user", "content": str(number)} for number in range(count)]
    proxy.plan(LOSSES[name])
    await session.add_items(items)
    assert proxy.struck
    assert json.dumps((await session.get_items())[1:]) == json.dumps(items)


@pytest.mark.parametrize("name", LOSSES)
async def test_the_first_items_are_added_once_although_the_connection_is_lost(
    proxied: tuple[Proxy, Database], user: User, name: str
) -> None:
    proxy, db = proxied
    await db.check()
    proxy.plan(LOSSES[name])
    session = FaceplateSession(db, user.id, f"first {name}")
    await session.add_items([{"role": "user", "content": "Hello"}])
    assert await session.get_items() == [{"role": "user", "content": "Hello"}]


async def test_a_run_goes_on_although_connections_are_lost(
    proxied: tuple[Proxy, Database], user: User
) -> None:
    proxy, db = proxied
    session = FaceplateSession(db, user.id, "lossy")
    for number, loss in enumerate([*LOSSES.values()] * 3):
        proxy.plan(loss)
        await run(session, "0", number)
    wanted = [name for number in range(6) for name in run_names(number)]
    assert await names_in(session) == wanted
