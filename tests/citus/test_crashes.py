"""Crashes of workers and of the coordinator under load: nothing acknowledged is lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import bindparam, insert
from tests.campaigns import Campaign
from tests.citus.conftest import administrator, name_of
from tests.citus_cluster import NODES

from faceplate import Database, Scope, Settings, Statement, distribution
from faceplate.errors import CommitOutcomeUnknown, FaceplateError
from faceplate.models import Task
from faceplate.services import conversations, messages, users

CALLERS = 8
PAUSE_S = 1.5
NEW = Statement(
    UUID,
    insert(Task)
    .values(user_id=bindparam("user_id"), id=bindparam("id"), title=bindparam("title"))
    .returning(Task.id),
)


async def note(scope: Scope, title: str) -> None:
    """A unit that would store another task each time that it is run again."""
    await scope.all(NEW, id=uuid4(), title=title)


@pytest.fixture
async def db(cluster: Settings) -> AsyncIterator[Database]:
    await distribution.distribute(cluster)
    patient = cluster.model_copy(update={"reconnect_timeout_s": 20.0, "startup_timeout_s": 20.0})
    async with Database(patient) as database:
        yield database


async def crash(node: str) -> None:
    """Kill a process of the node's server, which then recovers from its log."""
    with suppress(asyncpg.PostgresError, OSError):
        async with administrator(node) as admin:
            pid = await admin.fetchval("SELECT pg_backend_pid()")
            await admin.execute(f"COPY (SELECT 1) TO PROGRAM 'kill -9 {pid}'")


async def crash_now_and_then(dice: Random, count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(PAUSE_S * dice.uniform(0.5, 1.5))  # some units run meanwhile
        await crash(dice.choice(NODES))
    await asyncio.sleep(PAUSE_S)  # and some after the last one


async def read(settings: Settings, sql: str) -> list[Any]:
    """Return what all nodes have, as soon as they have recovered."""
    async with asyncio.timeout(30):
        while True:
            with suppress(asyncpg.PostgresError, OSError):
                async with administrator(NODES[0], name_of(settings)) as admin:
                    return await admin.fetch(sql)
            await asyncio.sleep(0.2)  # a server that recovers tells nobody


class Caller:
    """A user who appends messages, each until it is acknowledged, and notes tasks once."""

    def __init__(self, db: Database, user_id: UUID, chat_id: UUID) -> None:
        self._db, self._user_id, self._chat_id = db, user_id, chat_id
        self.appended: list[UUID] = []
        self.noted: list[str] = []
        self.in_doubt: set[str] = set()
        self.failed: list[str] = []

    async def run(self) -> None:
        while True:
            await self._append(uuid4())
            await self._note(uuid4().hex)

    async def _append(self, id_: UUID) -> None:
        while True:
            with suppress(FaceplateError):
                await self._db.run(
                    self._user_id, messages.append, self._chat_id, role="user", content="x", id=id_
                )
                self.appended.append(id_)
                return

    async def _note(self, title: str) -> None:
        try:
            await self._db.run(self._user_id, note, title)
        except CommitOutcomeUnknown:
            self.in_doubt.add(title)
        except FaceplateError:
            self.failed.append(title)
        else:
            self.noted.append(title)


async def test_nothing_acknowledged_is_lost_or_doubled(
    db: Database, cluster: Settings, campaign: Campaign
) -> None:
    """A worker commits before its coordinator, which may crash in between."""
    callers = []
    for number in range(CALLERS):
        user = await db.run_system(users.create, subject_id=f"caller {number}")
        chat = await db.run(user.id, conversations.create)
        callers.append(Caller(db, user.id, chat.id))
    running = [asyncio.create_task(caller.run()) for caller in callers]
    await crash_now_and_then(campaign.dice, campaign.size(4, 60))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    stored = await read(cluster, "SELECT id, position, conversation_id FROM faceplate.messages")
    titles = await read(cluster, "SELECT title FROM faceplate.tasks")
    counts = await read(cluster, "SELECT id, message_count FROM faceplate.conversations")
    ids, notes = Counter(row["id"] for row in stored), Counter(row["title"] for row in titles)
    acknowledged = [id_ for caller in callers for id_ in caller.appended]
    noted = [title for caller in callers for title in caller.noted]
    failed = [title for caller in callers for title in caller.failed]
    in_doubt = [title for caller in callers for title in caller.in_doubt]
    print(  # noqa: T201 - how much a campaign has seen
        f"{len(acknowledged)} messages and {len(noted)} tasks were acknowledged,"
        f" {len(failed)} tasks have failed, {len(in_doubt)} are in doubt"
    )
    assert [id_ for id_ in acknowledged if ids[id_] != 1] == []
    assert [title for title in noted if notes[title] != 1] == []
    assert [title for title in failed if notes[title]] == []
    assert max(notes.values()) == 1
    places = Counter((row["conversation_id"], row["position"]) for row in stored)
    assert max(places.values()) == 1
    assert Counter(row["conversation_id"] for row in stored) == dict(counts)
    assert acknowledged
    assert noted
