"""What ADK asks of every session service, held against its own two and against ours.

A caller who changes from one to another must not notice it.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.genai import types

from faceplate import Database
from faceplate.integrations.google_adk import FaceplateSessionService

OTHER_APP = "another app"


@dataclass
class Place:
    """A service, and an app and users that are this test's own."""

    service: BaseSessionService
    app: str
    ann: str
    bob: str

    async def create(self, user: str = "", app: str = "", **given: Any) -> Session:
        return await self.service.create_session(
            app_name=app or self.app, user_id=user or self.ann, **given
        )

    async def get(self, session_id: str, user: str = "", **config: Any) -> Session | None:
        return await self.service.get_session(
            app_name=self.app,
            user_id=user or self.ann,
            session_id=session_id,
            config=GetSessionConfig(**config) if config else None,
        )

    async def found(self, session_id: str, user: str = "", **config: Any) -> Session:
        session = await self.get(session_id, user, **config)
        assert session is not None
        return session

    async def list(self, user: str | None) -> list[Session]:
        listed = await self.service.list_sessions(app_name=self.app, user_id=user)
        return listed.sessions

    async def delete(self, session_id: str, user: str = "") -> None:
        await self.service.delete_session(
            app_name=self.app, user_id=user or self.ann, session_id=session_id
        )

    async def user_state(self, user: str = "") -> dict[str, Any]:
        try:
            return await self.service.get_user_state(app_name=self.app, user_id=user or self.ann)
        except AttributeError:
            pytest.skip("this version of the SDK has no such method")


async def _in_memory(_: Database) -> AsyncIterator[BaseSessionService]:
    yield InMemorySessionService()


async def _in_sqlite(_: Database) -> AsyncIterator[BaseSessionService]:
    service = DatabaseSessionService("sqlite+aiosqlite:///sessions.db")  # in the test's directory
    yield service
    await service.db_engine.dispose()


async def _in_faceplate(db: Database) -> AsyncIterator[BaseSessionService]:
    yield FaceplateSessionService(db)


SERVICES: dict[str, Callable[[Database], AsyncIterator[BaseSessionService]]] = {
    "InMemorySessionService": _in_memory,
    "DatabaseSessionService": _in_sqlite,
    "FaceplateSessionService": _in_faceplate,
}
if tuple(map(int, version("google-adk").split(".")[:2])) < (2, 13):
    # Those of earlier versions did not keep all of it yet.
    SERVICES = {"FaceplateSessionService": _in_faceplate}
KEPT = [name for name in SERVICES if name != "InMemorySessionService"]
"""The services whose store other processes write to as well."""


@pytest.fixture(params=SERVICES)
async def place(request: pytest.FixtureRequest, db: Database) -> AsyncIterator[Place]:
    async for service in SERVICES[request.param](db):
        own = secrets.token_hex(4)
        yield Place(service, f"app {own}", f"ann {own}", f"bob {own}")


in_storage = pytest.mark.parametrize("place", KEPT, indirect=True)
_seconds = itertools.count(1)


def event(text: str | None = None, **given: Any) -> Event:
    """An event; each is a second later than the one before."""
    content = None if text is None else types.Content(role="user", parts=[types.Part(text=text)])
    given.setdefault("timestamp", time.time() + next(_seconds))
    return Event(**{"author": "user", "invocation_id": "i", "content": content, **given})


def change(**delta: Any) -> Event:
    """An event that changes state; ``_`` in a key stands for the ``:`` of its scope."""
    keys = {key.replace("_", ":", 1): value for key, value in delta.items()}
    return event(actions=EventActions(state_delta=keys))


async def test_what_was_created_is_found(place: Place) -> None:
    before = time.time()
    session = await place.create(state={"key": "value"})
    assert (session.app_name, session.user_id) == (place.app, place.ann)
    assert session.id
    assert session.events == []
    assert session.state == {"key": "value"}
    assert before - 1 <= session.last_update_time <= time.time() + 1
    assert await place.found(session.id) == session


async def test_each_session_without_an_id_gets_one(place: Place) -> None:
    sessions = [await place.create() for _ in range(3)]
    assert len({session.id for session in sessions}) == 3


async def test_what_is_not_there_is_none(place: Place) -> None:
    assert await place.get("nowhere") is None
    await place.create(session_id="a")
    assert await place.get("nowhere") is None
    assert await place.get("a", place.bob) is None
    assert await place.list("nobody at all") == []
    await place.delete("nowhere")


async def test_an_id_is_taken_once(place: Place) -> None:
    """Else a second browser tab begins anew in the session of the first."""
    await place.create(session_id="a", state={"n": 1, "user:n": 1})
    with pytest.raises(AlreadyExistsError):
        await place.create(session_id="a", state={"n": 2, "user:n": 2})
    assert (await place.found("a")).state == {"n": 1, "user:n": 1}
    await place.create(place.bob, session_id="a")


async def test_of_two_at_once_one_gets_the_id(place: Place) -> None:
    made = await asyncio.gather(
        *(place.create(session_id="a") for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(each, Session) for each in made) == 1
    assert sum(isinstance(each, AlreadyExistsError) for each in made) == 3


async def test_a_deleted_session_is_gone_and_its_id_is_free(place: Place) -> None:
    session = await place.create(session_id="a")
    await place.create(place.bob, session_id="a")
    await place.service.append_event(session, event("hi"))
    await place.delete("a")
    assert await place.get("a") is None
    assert await place.get("a", place.bob) is not None
    with pytest.raises(SessionNotFoundError):
        await place.service.append_event(session, event("hello?"))
    assert (await place.create(session_id="a")).events == []


async def test_nothing_is_appended_to_a_session_that_was_never_made(place: Place) -> None:
    stranger = Session(app_name=place.app, user_id=place.ann, id="never")
    with pytest.raises(SessionNotFoundError):
        await place.service.append_event(stranger, event("hello?"))


async def test_events_come_back_as_they_were(place: Place) -> None:
    session = await place.create()
    said = event(
        turn_complete=True,
        partial=False,
        content=types.Content(
            role="model",
            parts=[
                types.Part(text="Look:", thought=True),
                types.Part.from_bytes(data=b"\x89PNG\x00\xff", mime_type="image/png"),
                types.Part(function_call=types.FunctionCall(id="c1", name="f", args={"a": None})),
            ],
        ),
        actions=EventActions(
            state_delta={"a": 1, "none": None},
            artifact_delta={"file": 0},
            transfer_to_agent="agent",
            escalate=True,
            requested_tool_confirmations={"c1": ToolConfirmation(hint="sure?", payload={"n": [1]})},
        ),
        long_running_tool_ids={"c1"},
        error_code="code",
        error_message="message",
        interrupted=True,
        branch="a.b",
        grounding_metadata=types.GroundingMetadata(
            search_entry_point=types.SearchEntryPoint(sdk_blob=b"\x00\xff")
        ),
        usage_metadata=types.GenerateContentResponseUsageMetadata(
            prompt_token_count=1, candidates_token_count=2, total_token_count=3
        ),
        citation_metadata=types.CitationMetadata(),
        custom_metadata={"key": ["value", {"π": 1.5}]},
        timestamp=1700000000.123456,
        input_transcription=types.Transcription(text="in", finished=True),
        output_transcription=types.Transcription(text="out", finished=True),
    )
    assert await place.service.append_event(session, said) is said
    assert session.events == [said]
    assert await place.found(session.id) == session


async def test_a_partial_event_is_not_kept(place: Place) -> None:
    session = await place.create()
    await place.service.append_event(session, event("Hel", partial=True))
    assert session.events == []
    assert (await place.found(session.id)).events == []


async def test_the_newest_event_is_when_a_session_was_updated(place: Place) -> None:
    session = await place.create()
    said = event("hi", timestamp=session.last_update_time + 10)
    await place.service.append_event(session, said)
    assert session.last_update_time == pytest.approx(said.timestamp, abs=1e-6)
    assert (await place.found(session.id)).last_update_time == session.last_update_time


async def test_state_of_the_session_is_its_own(place: Place) -> None:
    session = await place.create(session_id="a", state={"k": {"a": 1, "b": 2}, "on": False})
    await place.service.append_event(
        session, event(actions=EventActions(state_delta={"k": {"a": 3}, "new": True, "gone": None}))
    )
    assert session.state == {"k": {"a": 3}, "on": False, "new": True, "gone": None}
    assert (await place.found("a")).state == session.state
    assert (await place.create(session_id="b")).state == {}


async def test_state_of_the_user_is_shared_by_the_users_sessions(place: Place) -> None:
    first = await place.create(session_id="a", state={"user:k1": "v1"})
    await place.service.append_event(first, change(user_k2={"a": None}))
    assert (await place.create(session_id="b")).state == {"user:k1": "v1", "user:k2": {"a": None}}
    assert (await place.found("a")).state == (await place.found("b")).state
    assert (await place.create(place.bob, session_id="c")).state == {}
    assert (await place.create(app=place.app + OTHER_APP)).state == {}


async def test_state_of_the_app_is_shared_by_all_users(place: Place) -> None:
    first = await place.create(session_id="a", state={"app:k1": "v1", "app:both": 1})
    await place.service.append_event(first, change(app_k2="v2", app_both=2))
    wanted = {"app:k1": "v1", "app:k2": "v2", "app:both": 2}
    assert (await place.create(place.bob, session_id="b")).state == wanted
    assert (await place.found("a")).state == wanted
    assert {one.id: one.state for one in await place.list(None)} == {"a": wanted, "b": wanted}
    assert (await place.create(app=place.app + OTHER_APP)).state == {}


async def test_temporary_state_lasts_as_long_as_the_object(place: Place) -> None:
    assert (await place.create(session_id="a", state={"temp:k": 1, "k": 1})).state == {"k": 1}
    session = await place.found("a")
    said = change(temp_k=2, k=2)
    await place.service.append_event(session, said)
    assert session.state == {"temp:k": 2, "k": 2}
    assert said.actions.state_delta == {"k": 2}
    again = await place.found("a")
    assert again.state == {"k": 2}
    assert again.events[0].actions.state_delta == {"k": 2}


async def test_user_state_is_read_without_a_session(place: Place) -> None:
    assert await place.user_state() == {}
    session = await place.create(state={"user:a": 1, "b": 2})
    await place.service.append_event(session, change(user_a=2, user_c=[3]))
    assert await place.user_state() == {"a": 2, "c": [3]}
    assert await place.user_state(place.bob) == {}


async def test_a_list_has_state_and_no_events(place: Place) -> None:
    for user, name in ((place.ann, "a1"), (place.ann, "a2"), (place.bob, "b1")):
        await place.create(user, session_id=name, state={"k": name, "user:u": user})
    session = await place.found("a1")
    await place.service.append_event(session, event("hi"))
    await place.create(app=place.app + OTHER_APP, session_id="a3")

    listed = await place.list(place.ann)
    assert [one.id for one in listed] == ["a2", "a1"]  # the last active one comes last
    assert [one.id for one in await place.list(place.bob)] == ["b1"]
    assert {one.id for one in await place.list(None)} == {"a1", "a2", "b1"}
    for one in await place.list(None):
        assert one.events == []
        assert one.state == {"k": one.id, "user:u": one.user_id}


async def test_the_newest_events_are_read_and_those_from_a_time_on(place: Place) -> None:
    session = await place.create(session_id="a")
    start = int(time.time())
    for number in range(1, 6):
        await place.service.append_event(session, event(str(number), timestamp=start + number))

    async def numbers(**config: Any) -> list[float]:
        found = await place.found("a", **config)
        assert found.last_update_time == start + 5
        return [one.timestamp - start for one in found.events]

    assert await numbers() == [1, 2, 3, 4, 5]
    assert await numbers(num_recent_events=0) == []
    assert await numbers(num_recent_events=3) == [3, 4, 5]
    assert await numbers(num_recent_events=9) == [1, 2, 3, 4, 5]
    assert await numbers(after_timestamp=start + 4) == [4, 5]
    assert await numbers(after_timestamp=start + 50) == []
    assert await numbers(after_timestamp=start + 4, num_recent_events=3) == [4, 5]
    assert await numbers(after_timestamp=start + 2, num_recent_events=2) == [4, 5]


async def test_an_hour_that_the_clock_repeats_is_told_apart(place: Place) -> None:
    """Else events of a night in November move by an hour."""
    moments = [1730613600.0, 1730615400.0]
    session = await place.create(session_id="a")
    for moment in moments:
        await place.service.append_event(session, event(timestamp=moment))
    assert [one.timestamp for one in (await place.found("a")).events] == moments


async def test_a_session_is_a_copy(place: Place) -> None:
    session = await place.create(session_id="a", state={"k": [1]})
    session.state["k"].append(2)
    session.state["other"] = 1
    found = await place.found("a")
    assert found.state == {"k": [1]}
    found.events.append(event("not stored"))
    assert (await place.found("a")).events == []


async def test_agents_that_run_at_the_same_time_share_a_session(place: Place) -> None:
    session = await place.create(session_id="a")
    await asyncio.gather(
        *(place.service.append_event(session, change(**{f"k{n}": n})) for n in range(8))
    )
    found = await place.found("a")
    assert found.state == {f"k{n}": n for n in range(8)}
    assert len(found.events) == len(session.events) == 8


@pytest.mark.parametrize(
    "place", sorted(SERVICES.keys() - {"DatabaseSessionService"}), indirect=True
)
async def test_an_event_that_is_delivered_again_is_kept_once(place: Place) -> None:
    session = await place.create(session_id="a")
    said = change(n=1)
    for again in (said, said, said.model_copy(deep=True)):
        await place.service.append_event(session, again)
    assert len((await place.found("a")).events) == 1


@pytest.mark.parametrize(
    "place", sorted(SERVICES.keys() - {"DatabaseSessionService"}), indirect=True
)
async def test_whitespace_around_an_id_does_not_count(place: Place) -> None:
    session = await place.create(session_id="  a ")
    assert session.id == "a"
    assert (await place.found(" a")).id == "a"
    with pytest.raises(AlreadyExistsError):
        await place.create(session_id="a\n")
    await place.delete("a ")
    assert await place.get("a") is None
    assert (await place.create(session_id="   ")).id.strip()


@in_storage
async def test_a_stale_writer_is_refused_and_changes_nothing(place: Place) -> None:
    """Else an agent that has not seen the last turn writes over what it decided."""
    stale = await place.create(session_id="a")
    await place.service.append_event(stale, change(k1=1))
    current = await place.found("a")
    await place.service.append_event(current, change(k2=2))
    with pytest.raises(ValueError, match="modified in storage"):
        await place.service.append_event(stale, change(k3=3, user_k=3, app_k=3))
    found = await place.found("a")
    assert found.state == {"k1": 1, "k2": 2}
    assert len(found.events) == 2
    assert len(stale.events) == 1
    await place.service.append_event(current, event("goes on"))


@in_storage
async def test_of_two_copies_one_appends(place: Place) -> None:
    await place.create(session_id="a")
    for n in range(5):
        copies = [await place.found("a") for _ in range(2)]
        results = await asyncio.gather(
            *(
                place.service.append_event(one, change(**{f"k{n}": at}))
                for at, one in enumerate(copies)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(result, Event) for result in results) == 1
        assert sum(isinstance(result, ValueError) for result in results) == 1
    found = await place.found("a")
    assert len(found.events) == len(found.state) == 5


@in_storage
async def test_a_rounded_time_makes_nobody_stale(place: Place) -> None:
    session = await place.create(session_id="a")
    await place.service.append_event(session, event("one"))
    session.last_update_time -= 0.0001
    await place.service.append_event(session, event("two"))
    # An object that the program has built from the fields alone
    built = Session(
        app_name=place.app,
        user_id=place.ann,
        id="a",
        events=list(session.events),
        last_update_time=session.last_update_time - 0.0001,
    )
    await place.service.append_event(built, event("three"))
    assert len((await place.found("a")).events) == 3


@in_storage
async def test_a_built_session_that_lacks_the_last_event_is_stale(place: Place) -> None:
    session = await place.create(session_id="a")
    await place.service.append_event(session, event("one"))
    built = Session(app_name=place.app, user_id=place.ann, id="a")
    with pytest.raises(ValueError, match="modified in storage"):
        await place.service.append_event(built, event("two"))


@in_storage
async def test_state_that_json_lacks_is_kept_as_text(place: Place) -> None:
    session = await place.create(session_id="a")
    delta = {"callback": print, "set": {1}, "ok": 2}
    await place.service.append_event(session, event(actions=EventActions(state_delta=delta)))
    state = (await place.found("a")).state
    assert state["ok"] == 2
    assert isinstance(state["callback"], str)
