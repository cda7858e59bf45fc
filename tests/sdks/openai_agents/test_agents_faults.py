"""What a run has stored after a kill, a cancellation and a lost connection in the middle of it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Runner
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.faults.proxy import Action, Fault, Proxy, is_commit, is_committed
from tests.sdks.openai_agents.killed import weather
from tests.sdks.openai_agents.scripted import agent, calls, says

from faceplate import Database, Settings, User
from faceplate.integrations.openai_agents import FaceplateSession
from faceplate.services import messages

ROOT = Path(__file__).parents[3]
PER_RUN = 4  # the question, the call and its result, the answer


def name_of(item: Any) -> str:
    """A name of each item that a run adds, which is another one for each run."""
    if item.get("type") == "function_call":
        return f"call {item['call_id']}"
    if item.get("type") == "function_call_output":
        return f"result {item['call_id']}"
    content = item["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def expected(number: int) -> list[str]:
    return [f"Question {number}", f"call c{number}", f"result c{number}", f"Answer {number}"]


def check_run(names: list[str], number: int) -> None:
    """A run stored its items in order, once, and a call only with its result."""
    own = [name for name in names if name in expected(number)]
    assert own in [expected(number)[:count] for count in (0, 1, 3, 4)]


async def one_run(session: FaceplateSession, number: int) -> None:
    ask = calls("weather", f"c{number}", city="Oslo")
    script: list[Any] = [[ask], [says(f"Answer {number}")]]
    await Runner.run(agent(*script, tools=[weather]), f"Question {number}", session=session)


async def names_in(session: FaceplateSession) -> list[str]:
    return [name_of(item) for item in await session.get_items()]


async def test_a_killed_program_has_lost_and_doubled_nothing(
    db: Database, user: User, database_url: str, campaign: Campaign
) -> None:
    session = FaceplateSession(db, user.id, "killed")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    number = 0
    for _ in range(campaign.size(4, 40)):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.sdks.openai_agents.killed"),
            *(database_url, str(user.id), str(number)),
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        assert program.stdout is not None
        wanted = campaign.dice.randrange(1, 12)
        lines = [await program.stdout.readline() for _ in range(wanted)]
        await asyncio.sleep(campaign.dice.random() * 0.02)
        program.kill()
        lines += (await program.stdout.read()).splitlines()
        await program.wait()
        acknowledged = sum(int(line) for line in lines if line.strip())
        names = await names_in(session)
        mine = names[names.index(f"Question {number}") :]
        assert acknowledged <= len(mine) <= acknowledged + 2
        for each in range(number, number + 10):
            check_run(names, each)
        number += 1_000
    pending = await db.run(user.id, messages.pending_tool_calls, session.conversation_id)
    assert pending == []


# The SDK makes a coroutine in a task that it never awaits if it is cancelled right then.
@pytest.mark.filterwarnings("ignore:coroutine 'run_single_turn' was never awaited")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_cancelled_run_has_doubled_nothing(
    db: Database, user: User, campaign: Campaign
) -> None:
    session = FaceplateSession(db, user.id, "cancelled")
    await session.add_items([{"role": "user", "content": "Hello"}])
    numbers = range(campaign.size(30, 300))
    for number in numbers:
        task = asyncio.create_task(one_run(session, number))
        await asyncio.sleep(campaign.dice.random() * 0.06)
        task.cancel()
        await asyncio.wait({task})
    names = await names_in(session)
    for number in numbers:
        check_run(names, number)
    await one_run(session, 9_999)
    assert (await names_in(session))[-PER_RUN:] == expected(9_999)


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
        await one_run(session, number)
    wanted = [name for number in range(6) for name in expected(number)]
    assert await names_in(session) == wanted
