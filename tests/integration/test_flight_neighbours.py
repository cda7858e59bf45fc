"""What a flight must not do to the callers that share it."""

import asyncio
import itertools
import random
from uuid import UUID, uuid4

import pytest
from tests.databases import opened, outside, settings_of
from tests.ends import end_of
from tests.integration.test_shared_flights import CALLERS, Place, all_say, places, said, say

from faceplate import Database, PoolExhausted, Settings
from faceplate.errors import was_committed
from faceplate.services import conversations, users

pytestmark = pytest.mark.pipelined
__all__ = ["places"]

MISFILED = "SELECT count(*) FROM faceplate.notes WHERE noted_for <> user_id"
RESENDERS, STORED = 50, 1_500
NOTES = """
CREATE TABLE faceplate.notes (user_id uuid, noted_for uuid);
GRANT INSERT ON faceplate.notes TO faceplate_app;
CREATE FUNCTION faceplate.note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    INSERT INTO faceplate.notes VALUES (new.user_id, current_setting('faceplate.user_id')::uuid);
    RETURN NULL;
END$$;
CREATE CONSTRAINT TRIGGER note AFTER INSERT ON faceplate.messages
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION faceplate.note();
"""
SLOW = """
CREATE FUNCTION faceplate.wait() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN
    PERFORM pg_sleep({});
    RETURN true;
END$$;
ALTER TABLE faceplate.messages ADD CHECK (faceplate.wait());
"""
KEEPING = """
CREATE TABLE faceplate.notes (user_id uuid, noted_for uuid);
GRANT INSERT ON faceplate.notes TO faceplate_app;
CREATE FUNCTION faceplate.keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF coalesce(current_setting('shop.customer', true), '') = '' THEN
        PERFORM set_config('shop.customer', new.user_id::text, true);
    END IF;
    INSERT INTO faceplate.notes VALUES (new.user_id, current_setting('shop.customer')::uuid);
    RETURN new;
END$$;
CREATE TRIGGER keep AFTER INSERT ON faceplate.messages
    FOR EACH ROW EXECUTE FUNCTION faceplate.keep();
"""


async def test_stored_messages_that_are_sent_again_starve_nobody(
    settings: Settings, places: list[Place]
) -> None:
    """Else clients that repeat what is stored stop the messages of all others.

    There are more conversations than flights that fail in the second that one stays out of them.
    """
    async with opened(settings, pool_size=20) as db:
        old: list[tuple[Place, UUID]] = []

        async def store(user_id: UUID) -> None:
            for _ in range(STORED // RESENDERS):
                place = Place(user_id, (await db.run(user_id, conversations.create)).id)
                old.append((place, uuid4()))
                await say(db, place, "old", old[-1][1])

        async def resend(number: int) -> None:
            for place, id_ in itertools.cycle(old[number::RESENDERS]):
                if is_over.is_set():
                    return
                await say(db, place, "old", id_)

        async def speak(place: Place) -> None:
            for number in range(10):
                await say(db, place, str(number))

        await asyncio.gather(*(store(places[n % CALLERS].user_id) for n in range(RESENDERS)))
        is_over = asyncio.Event()
        resenders = [asyncio.create_task(resend(number)) for number in range(RESENDERS)]
        try:
            async with asyncio.timeout(20):  # alone it takes half a second
                await asyncio.gather(*map(speak, places[:5]))
        finally:
            is_over.set()
            await asyncio.gather(*resenders)


async def test_a_flight_that_is_cancelled_keeps_nobody_waiting(
    settings: Settings, places: list[Place]
) -> None:
    """Else a program that cancels all of its tasks once can append nothing any more."""
    async with opened(settings, pool_size=10) as db:
        for turns in range(8):
            tasks = [asyncio.create_task(say(db, place, "lost")) for place in places]
            for _ in range(turns):
                await asyncio.sleep(0)  # one step of each task
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            async with asyncio.timeout(10):
                await all_say(db, places, "kept")


async def test_the_end_of_an_event_loop_leaves_nobody_in_doubt(
    settings: Settings, places: list[Place]
) -> None:
    """Else a process that is stopped does not know which of its messages are stored.

    `asyncio.run` cancels every task at its end, and waits for them.
    """
    async with opened(settings, pool_size=10) as db:
        for turns in range(2, 40):
            tasks = [asyncio.create_task(say(db, place, str(turns))) for place in places]
            for _ in range(turns):
                await asyncio.sleep(0)  # one step of each task
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            for place, task in zip(places, tasks, strict=True):
                end = await end_of(task)
                stored = [one for one in await said(db, place) if one.content == str(turns)]
                if isinstance(end, asyncio.CancelledError):
                    assert was_committed(end) is bool(stored)
                else:
                    assert [end] == stored


async def test_a_deferred_trigger_runs_for_the_user_of_its_row(fresh_database_url: str) -> None:
    """Else a project's trigger files a message under a user who has not written it."""
    async with outside(settings_of(fresh_database_url)) as owner:
        await owner.execute(NOTES)
        async with opened(settings_of(fresh_database_url)) as db:
            await all_say(db, await chats_of_their_own(db), "noted")
        assert await owner.fetchval("SELECT count(*) FROM faceplate.notes") == CALLERS
        assert await owner.fetchval(MISFILED) == 0


async def test_slow_statements_do_not_add_up(fresh_database_url: str) -> None:
    """Else each message of a flight is in doubt that is stored well in time alone."""
    async with outside(settings_of(fresh_database_url)) as owner:
        await owner.execute(SLOW.format(0.3))
    async with opened(
        settings_of(fresh_database_url),
        statement_timeout_s=1,
        command_timeout_s=2,
    ) as db:
        await all_say(db, await chats_of_their_own(db), "slow")
        assert not db.counters.retries


async def test_no_trigger_finds_what_it_set_for_another_user(fresh_database_url: str) -> None:
    """Else a project's trigger that keeps a setting for its transaction mixes up two users."""
    async with outside(settings_of(fresh_database_url)) as owner:
        await owner.execute(KEEPING)
        async with opened(settings_of(fresh_database_url)) as db:
            await all_say(db, await chats_of_their_own(db), "noted")
        assert await owner.fetchval(MISFILED) == 0


async def test_a_connection_is_waited_for_once(settings: Settings, places: list[Place]) -> None:
    """Else a caller is answered after twice the time that its program allows."""
    async with (
        opened(settings, pool_size=1, max_overflow=0, pool_timeout_s=1) as db,
        db.begin(places[0].user_id),
    ):
        tasks = [asyncio.create_task(say(db, place, "late")) for place in places]
        _, waiting = await asyncio.wait(tasks, timeout=1.6)
        await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(task.exception(), PoolExhausted) for task in tasks)
    assert not waiting


async def test_who_has_gone_away_no_longer_waits(settings: Settings, places: list[Place]) -> None:
    """Else callers that were cancelled have others refused, while nobody waits."""
    async with opened(settings, pool_size=1, max_overflow=0, max_waiting=60) as db:
        async with db.begin(places[0].user_id):
            gone = [asyncio.create_task(say(db, place, "gone")) for place in places]
            await asyncio.sleep(0.05)  # until they wait
            for task in gone:
                task.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
            here = [asyncio.create_task(say(db, place, "here")) for place in places]
            await asyncio.sleep(0.05)  # until they wait
            refused = [task.exception() for task in here if task.done()]
        await asyncio.gather(*here, return_exceptions=True)
    assert refused == []


async def test_no_trigger_that_is_new_finds_what_it_set_for_another_user(
    fresh_database_url: str,
) -> None:
    """Else a project's revision mixes up two users while its program runs."""
    begin = KEEPING.index("CREATE TRIGGER")
    async with (
        outside(settings_of(fresh_database_url)) as owner,
        opened(settings_of(fresh_database_url), pool_size=10) as db,
    ):
        await owner.execute(KEEPING[:begin])
        is_over = asyncio.Event()

        async def talk(place: Place) -> None:
            while not is_over.is_set():
                await say(db, place, "noted")

        talking = [asyncio.create_task(talk(chat)) for chat in await chats_of_their_own(db)]
        for _ in range(40):
            async with owner.transaction():
                await owner.execute(KEEPING[begin:])
                await asyncio.sleep(random.uniform(0, 0.004))  # flights wait for 5 ms
            await asyncio.sleep(0.02)  # some flights
            await owner.execute("DROP TRIGGER keep ON faceplate.messages")
            assert db._opened is not None
            assert db._opened.flights is not None
            db._opened.flights.is_refused = False
            await asyncio.sleep(0.02)  # some flights
        is_over.set()
        await asyncio.gather(*talking)
        assert await owner.fetchval(MISFILED) == 0


async def test_what_is_nearly_slow_does_not_add_up(fresh_database_url: str) -> None:
    """Else a flight of statements that are each in time is in doubt."""
    async with outside(settings_of(fresh_database_url)) as owner:
        await owner.execute(SLOW.format(0.08))
    limits = {"statement_timeout_s": 0.5, "command_timeout_s": 1}
    async with opened(settings_of(fresh_database_url), **limits) as db:
        chats = await chats_of_their_own(db)
        await asyncio.gather(*(say(db, chat, "slow") for chat in chats))
        assert not db.counters.retries


async def test_a_shorter_limit_of_the_program_holds(fresh_database_url: str) -> None:
    """Else a flight runs a statement twice as long as the program allows."""
    async with outside(settings_of(fresh_database_url)) as owner:
        await owner.execute(SLOW.format(0.07))
    async with opened(settings_of(fresh_database_url), statement_timeout_s=0.05) as db:
        ends = await asyncio.gather(
            *(say(db, chat, "slow") for chat in await chats_of_their_own(db)),
            return_exceptions=True,
        )
    assert {type(end).__name__ for end in ends} == {"TimedOut"}


async def chats_of_their_own(db: Database) -> list[Place]:
    """Return a conversation of each of many users."""
    people = [
        await db.run_system(users.create, subject_id=f"{n}", email=f"{n}@a.example")
        for n in range(CALLERS)
    ]
    return [Place(one.id, (await db.run(one.id, conversations.create)).id) for one in people]
