"""A campaign: users write and read over replicas that lag, die and are promoted. None reads less
than it has written or seen.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.faults.replica_reads import until_read_from
from tests.faults.servers import OwnServer, own_server
from tests.faults.standbys import Standby, standby_of

from faceplate import Database, Settings
from faceplate.services import documents, users

USERS = 20
READS_OF_EACH_WRITE = 9
MOST_LAG_S = 10.0
KIND, KEY = "test", "counter"


@pytest.fixture(scope="module")
def primary() -> Iterator[OwnServer]:
    with own_server(fsync="off") as server:
        yield server


@pytest.fixture
def standbys(primary: OwnServer) -> Iterator[list[Standby]]:
    with ExitStack() as opened:
        yield [opened.enter_context(standby_of(primary)) for _ in range(2)]


def database(primary: OwnServer, standbys: list[Standby]) -> Database:
    urls = tuple(standby.url for standby in standbys)
    return Database(Settings(database_url=SecretStr(primary.url), read_urls=urls, retry_delay_s=0))


class Reader:
    """A user who writes now and then, and reads in between. ``stale`` counts what was too old."""

    def __init__(self, user: UUID) -> None:
        self.user = user
        self.stale = self.reads = self._seen = 0

    async def turn(self, db: Database) -> None:
        """Write once, and read some times."""
        self._seen = await db.run(self.user, documents.put, KIND, KEY, "{}")
        for _ in range(READS_OF_EACH_WRITE):
            await self.read(db)

    async def read(self, db: Database) -> None:
        document = await db.run(self.user, documents.get, KIND, KEY)
        self.stale += document.version < self._seen
        self._seen = max(self._seen, document.version)
        self.reads += 1


async def settle_in(db: Database) -> list[Reader]:
    made = [await db.run_system(users.create, subject_id=secrets.token_hex()) for _ in range(USERS)]
    return [Reader(user.id) for user in made]


async def harass(standbys: list[Standby], campaign: Campaign, end: asyncio.Event) -> None:
    """Let the standbys lag, and kill one of them now and then. All of them run at the end."""
    while not end.is_set():
        await asyncio.sleep(campaign.dice.uniform(0.2, 2.0))  # as long as a fault lasts
        standby = campaign.dice.choice(standbys)
        if campaign.dice.random() < 0.2:
            await asyncio.to_thread(standby.kill)
            await asyncio.sleep(campaign.dice.uniform(0, 1.0))  # as long as it is away
            await asyncio.to_thread(standby.start)
        else:
            await standby.delay(campaign.dice.choice([0, 0, 0.01, 0.1, 1, MOST_LAG_S]))


async def test_no_read_is_stale(
    primary: OwnServer, standbys: list[Standby], campaign: Campaign
) -> None:
    """Two processes, between which a token goes, and at the end a standby is promoted."""
    count = campaign.size(4_000, 1_000_000)
    turns = count // (USERS * READS_OF_EACH_WRITE)
    async with (
        database(primary, standbys) as db,
        database(primary, standbys) as other,
        Database(primary.url) as writer,  # from which no token comes
    ):
        readers = await settle_in(db)

        async def go_on(reader: Reader, turns: int) -> None:
            for _ in range(turns):
                await reader.turn(db)
                await writer.run(reader.user, documents.put, KIND, KEY, "{}")
                await reader.read(db)
                if campaign.dice.random() < 0.1:
                    other.accept_causal_token(reader.user, await db.causal_token(reader.user))
                    await reader.read(other)

        async with asyncio.timeout(count / 500 + 60):
            end = asyncio.Event()
            harassing = asyncio.create_task(harass(standbys, campaign, end))
            await asyncio.gather(*(go_on(reader, turns) for reader in readers))
            end.set()
            await harassing
            await standbys[0].promote()
            await asyncio.gather(*(go_on(reader, 1 + turns // 10) for reader in readers))
        counters = db.counters
        print(  # noqa: T201 - that it had any strength
            {
                "reads": sum(reader.reads for reader in readers),
                "on replicas": counters.reads_on_replicas,
                "on the primary": counters.reads_on_primary,
                "moved": dict(counters.reads_moved),
                "replicas": db.replicas(),
            }
        )
        assert sum(reader.stale for reader in readers) == 0
        assert counters.reads_on_replicas > 0


async def test_the_primary_serves_no_read_where_replicas_keep_up(
    primary: OwnServer, standbys: list[Standby]
) -> None:
    async with database(primary, standbys) as db:
        for reader in await settle_in(db):
            await reader.turn(db)
            await until_read_from(db, reader.user)
            begun = db.counters.reads_on_primary
            for _ in range(10):
                await reader.read(db)
            assert db.counters.reads_on_primary == begun
        assert any(replica.reads for replica in db.replicas())
