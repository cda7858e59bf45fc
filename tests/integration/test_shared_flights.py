"""Units of many callers that share flights: each is done once for its user, or fails alone."""

import asyncio
import gc
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from tests.databases import hurdle, opened, outside
from tests.ends import end_of
from tests.faults.writers import Writer

from faceplate import Conflict, Database, InvalidInput, NotFound, Overloaded, Settings, records
from faceplate._runner import shared_flights
from faceplate._runner.flight import Flight, Passenger
from faceplate.errors import was_committed
from faceplate.services import conversations, messages, users

pytestmark = pytest.mark.pipelined  # else nothing is shared

CALLERS = 40
LOCK = "SELECT FROM faceplate.conversations WHERE id = '{}' FOR UPDATE"
KILL_ONE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE application_name = $1 AND state = 'active' LIMIT 1"""


class Place(NamedTuple):
    """A conversation of a user."""

    user_id: UUID
    conversation_id: UUID


@pytest.fixture
async def shared(settings: Settings) -> AsyncIterator[Database]:
    """A Database with shared flights."""
    async with opened(settings, pool_size=10, retry_delay_s=0.01) as db:
        yield db


@pytest.fixture
async def places(db: Database) -> list[Place]:
    """A conversation for each caller, every four of one user."""
    names = [secrets.token_hex(8) for _ in range(CALLERS // 4)]
    people = [
        await db.run_system(users.create, subject_id=name, email=f"{name}@example.com")
        for name in names
    ]
    return [
        Place(user.id, (await db.run(user.id, conversations.create)).id)
        for user in people
        for _ in range(4)
    ]


async def say(db: Database, place: Place, words: str, id_: UUID | None = None) -> records.Message:
    return await db.run(
        place.user_id, messages.append, place.conversation_id, role="user", content=words, id=id_
    )


async def said(db: Database, place: Place) -> list[records.Message]:
    return await db.run(place.user_id, messages.history, place.conversation_id, limit=1000)


async def all_say(db: Database, places: Sequence[Place], words: str) -> list[records.Message]:
    return await asyncio.gather(*(say(db, place, words) for place in places))


async def test_each_message_is_stored_once_where_it_belongs(
    shared: Database, places: list[Place]
) -> None:
    """Else a user reads what another one has written."""

    async def talk(place: Place) -> None:
        for number in range(10):
            message = await say(shared, place, f"{place.conversation_id} {number}")
            assert message.conversation_id == place.conversation_id
            assert message.position == number + 1

    await asyncio.gather(*map(talk, places))
    flights = Counter[object]()
    for place in places:
        stored = await said(shared, place)
        assert [m.content for m in stored] == [f"{place.conversation_id} {n}" for n in range(10)]
        flights.update(message.created_at for message in stored)
    assert max(flights.values()) > 1, "nothing was shared: this test says nothing"


async def test_many_append_to_one_conversation(shared: Database, places: list[Place]) -> None:
    """Else what is written to one chat at the same time is lost."""
    stored = await asyncio.gather(*(say(shared, places[0], str(n)) for n in range(CALLERS)))
    assert {message.position for message in stored} == set(range(1, CALLERS + 1))
    assert await said(shared, places[0]) == sorted(stored, key=lambda message: message.position)


async def test_another_users_conversation_is_not_found(
    shared: Database, places: list[Place]
) -> None:
    """Else a user writes into another one's chat because both are in one flight."""
    strangers = [
        Place(place.user_id, places[number - 4].conversation_id)
        for number, place in enumerate(places)
    ]
    ends = await asyncio.gather(
        *(say(shared, place, "mine") for place in places),
        *(say(shared, place, "yours") for place in strangers),
        return_exceptions=True,
    )
    assert all(isinstance(end, records.Message) for end in ends[:CALLERS])
    assert all(isinstance(end, NotFound) for end in ends[CALLERS:])
    for place in places:
        assert [message.content for message in await said(shared, place)] == ["mine"]


async def test_who_fails_fails_alone(shared: Database, places: list[Place]) -> None:
    """Else one bad message takes those of other users with it, or they are stored twice."""
    taken = await say(shared, places[0], "first")

    async def try_out(number: int, place: Place) -> object:
        match number % 8:
            case 1:
                return await say(shared, Place(place.user_id, uuid4()), "nowhere")
            case 2:
                return await say(shared, place, "\0")
            case 3:
                return await say(shared, places[0], "other words", taken.id)
            case 4:
                return await say(shared, places[0], "first", taken.id)
        return await say(shared, place, "fine")

    ends = await asyncio.gather(
        *(
            try_out(n, place._replace(user_id=places[0].user_id) if n % 8 == 3 else place)
            for n, place in enumerate(places)
        ),
        return_exceptions=True,
    )
    expected = {1: NotFound, 2: InvalidInput, 3: Conflict, 4: records.Message}
    for number, (place, end) in enumerate(zip(places, ends, strict=True)):
        assert isinstance(end, expected.get(number % 8, records.Message)), (number, end)
        if number and number % 8 not in expected:
            assert [message.content for message in await said(shared, place)] == ["fine"]
    assert all(end == taken for number, end in enumerate(ends) if number % 8 == 4)


async def test_a_held_lock_holds_up_nobody_else(
    shared: Database, settings: Settings, places: list[Place]
) -> None:
    """Else one transaction that takes long stops the appends of all users."""
    held, *others = places
    async with hurdle(settings, LOCK.format(held.conversation_id)) as is_met:
        waiting = [asyncio.create_task(say(shared, held, str(n))) for n in range(3)]
        for number in range(5):
            await all_say(shared, others, str(number))
        await is_met()
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert len(await said(shared, held)) == 3


async def test_a_cancelled_caller_harms_no_other(shared: Database, places: list[Place]) -> None:
    """Else a client that goes away takes the messages of others with it, or its own is in doubt."""
    for turns in range(12):
        tasks = [asyncio.create_task(say(shared, place, str(turns))) for place in places]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        for number, (place, task) in enumerate(zip(places, tasks, strict=True)):
            end = await end_of(task)
            stored = [m for m in await said(shared, place) if m.content == str(turns)]
            if isinstance(end, asyncio.CancelledError):
                assert number % 3 == 0
                assert was_committed(end) is bool(stored), (turns, number)
            else:
                assert stored == [end]
    assert (await shared.check()).pool.checked_out == 0


async def test_messages_of_all_kinds_fly_together(shared: Database, places: list[Place]) -> None:
    """Else a long message, or one with a body or with tool calls, is lost among short ones."""
    calls = [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}]

    async def speak(number: int, place: Place) -> records.Message:
        kinds: list[dict[str, Any]] = [
            {"role": "user", "content": "x" * 19_000},
            {"role": "user", "content": "x" * 900_000},
            {"body": '{"a":  1}'},
            {"role": "assistant", "content": "", "model": "m", "output_tokens": 1},
            {"role": "user", "content": "first", "after": 0},
            {"role": "assistant", "tool_calls": calls},
        ]
        kind = kinds[number % len(kinds)]
        return await shared.run(place.user_id, messages.append, place.conversation_id, **kind)

    stored = await asyncio.gather(*(speak(*one) for one in enumerate(places)))
    for place, message in zip(places, stored, strict=True):
        assert await said(shared, place) == [message]


async def test_questions_and_lists_are_each_users_own(
    shared: Database, places: list[Place]
) -> None:
    """Else a model gets the history of another user's chat, or a user sees another one's chats."""

    async def ask(place: Place, number: int) -> None:
        content = f"{place.conversation_id} {number}"
        history = await shared.run(
            place.user_id, messages.ask, place.conversation_id, role="user", content=content
        )
        assert history == await said(shared, place)
        assert [m.content for m in history] == [
            f"{place.conversation_id} {n}" for n in range(number + 1)
        ]

    async def look(place: Place) -> None:
        page = await shared.run(place.user_id, conversations.page)
        own = {other.conversation_id for other in places if other.user_id == place.user_id}
        assert {one.id for one in page.items} == own

    for number in range(6):
        await asyncio.gather(*(ask(place, number) for place in places), *map(look, places))
    alike = Counter([m.created_at for place in places for m in await said(shared, place)])
    assert max(alike.values()) > 1, "nothing was shared: this test says nothing"


async def test_a_list_can_be_cancelled_at_once(
    shared: Database, settings: Settings, places: list[Place]
) -> None:
    """Else a client that goes away keeps its handler until a slow list of others has come."""
    await asyncio.gather(*(shared.run(place.user_id, conversations.page) for place in places))
    async with hurdle(settings, "LOCK faceplate.conversations IN ACCESS EXCLUSIVE MODE"):
        looking = [
            asyncio.create_task(shared.run(place.user_id, conversations.page)) for place in places
        ]
        await asyncio.sleep(0.05)
        for task in looking:
            task.cancel()
        async with asyncio.timeout(1):
            ends = [await end_of(one) for one in looking]
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    assert not any(was_committed(end) for end in ends if isinstance(end, BaseException))
    async with asyncio.timeout(5):
        while shared.pool().checked_out or shared.pool().waiting:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def test_the_rows_of_a_flight_are_freed_at_once(
    shared: Database, places: list[Place]
) -> None:
    """Else the rows of many callers lie in memory until the next collection of cycles."""
    gc.collect()
    gc.disable()
    try:
        await asyncio.gather(
            *(shared.run(place.user_id, conversations.page) for place in places),
            *(say(shared, place, "a") for place in places),
            *(say(shared, Place(place.user_id, uuid4()), "nowhere") for place in places[:5]),
            return_exceptions=True,
        )
        left = [one for one in gc.get_objects() if isinstance(one, Passenger | Flight)]
    finally:
        gc.enable()
    assert left == []


async def test_slow_statements_fly_alone(
    shared: Database, places: list[Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else ten callers wait for ten reads of a disk, one after the other."""
    monkeypatch.setattr(shared_flights, "SLOW_S", 0.00001)
    flights = []
    for number in range(20):
        stored = await all_say(shared, places, str(number))
        flights.append(len({message.created_at for message in stored}))
    assert flights[0] < CALLERS
    assert CALLERS in flights, "each with a commit of its own"


async def test_who_waits_for_a_flight_is_counted(settings: Settings, places: list[Place]) -> None:
    """Else an operator sees an idle pool, and a program that is overloaded takes in more work."""
    limits = {"pool_size": 1, "max_overflow": 0, "max_waiting": 20}
    async with opened(settings, **limits) as db:
        async with db.begin(places[0].user_id):
            tasks = [asyncio.create_task(say(db, place, "at last")) for place in places]
            await asyncio.sleep(0.05)
            assert db.pool().waiting == 20
            done = [task for task in tasks if task.done()]
            assert len(done) >= CALLERS - 20
            assert all(isinstance(task.exception(), Overloaded) for task in done)
        await asyncio.gather(*(task for task in tasks if task not in done))
        assert db.pool().waiting == 0


async def test_who_waits_for_a_connection_can_be_cancelled(
    settings: Settings, places: list[Place]
) -> None:
    """Else a request that was given up keeps its handler until the pool is free again."""
    async with opened(settings, pool_size=1, max_overflow=0) as db:
        async with db.begin(places[0].user_id):
            tasks = [asyncio.create_task(say(db, place, "never")) for place in places]
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        await all_say(db, places, "again")
        for place in places:
            assert [message.content for message in await said(db, place)] == ["again"]


async def test_the_answer_to_a_cancelled_read_is_no_passengers(
    settings: Settings, places: list[Place]
) -> None:
    """Else a user is told the position of another one's message."""
    async with opened(settings, pool_size=1, max_overflow=0) as db:
        for turns in range(20):
            reading = asyncio.create_task(said(db, places[0]))
            for _ in range(turns):
                await asyncio.sleep(0)
            lost = [Place(place.user_id, uuid4()) for place in places[20::2]]
            tasks = [asyncio.create_task(say(db, place, "a")) for place in (*places[:20], *lost)]
            reading.cancel()
            ends = [await end_of(task) for task in tasks]
            assert all(isinstance(end, NotFound) for end in ends[20:])
            for place, end in zip(places, ends[:20], strict=False):
                assert isinstance(end, records.Message)
                assert (end.conversation_id, end.position) == (place.conversation_id, turns + 1)


async def test_what_is_in_doubt_is_stored_once(
    shared: Database, settings: Settings, places: list[Place]
) -> None:
    """Else a server process that dies loses the messages of a whole flight, or doubles them."""
    writers = [Writer(str(number), *place) for number, place in enumerate(places)]
    is_over = asyncio.Event()

    async def talk(writer: Writer) -> None:
        while not is_over.is_set():
            await writer.say(shared)

    async with outside(settings) as operator, asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(talk(writer))
        for _ in range(40):
            await asyncio.sleep(0.02)
            await operator.execute(KILL_ONE, shared.settings.application_name)
        is_over.set()
    for writer in writers:
        await writer.check(shared)
    words = Counter(word for writer in writers for word in writer.told.values())
    assert words.keys() <= {"stored", "ConnectionLost", "CommitOutcomeUnknown"}
    assert shared.counters.retries["ConnectionLost"] > 1, "nothing was in doubt"
