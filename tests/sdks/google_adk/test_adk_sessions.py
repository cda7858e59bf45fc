"""Sessions of ADK in faceplate: seen by its pages, isolated by user, and exactly once."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.genai import types
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.databases import opened
from tests.faults.conftest import QUICK
from tests.faults.plans import TABLES
from tests.faults.proxy import Action, Fault, Proxy, Traffic, is_commit, is_committed
from tests.faults.servers import OwnServer, own_server
from tests.sdks.google_adk.killed import units, write
from tests.sdks.killing import check_units, kill_writers

from faceplate import Database, InvalidInput, Settings, erasure
from faceplate.integrations.google_adk import APP_SUBJECT, SOURCE, FaceplateSessionService
from faceplate.records import Conversation
from faceplate.services import conversations, documents, messages, users
from faceplate.services.messages import NewMessage

HOSTILE = "a\x00b \ud800 \U0001f600 \u202e '; DROP TABLE x; -- %s {}"


@pytest.fixture
def service(db: Database) -> FaceplateSessionService:
    return FaceplateSessionService(db)


@pytest.fixture
def name() -> str:
    """A name of this test's own, for an app or a user."""
    return secrets.token_hex(6)


def said(text: str, author: str = "user", **given: Any) -> Event:
    role = "user" if author == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="i", content=content, **given)


def with_parts(author: str, *parts: types.Part, **given: Any) -> Event:
    content = types.Content(role="model", parts=list(parts))
    return Event(author=author, invocation_id="i", content=content, **given)


def asks(*ids: str | None) -> Event:
    calls = [types.FunctionCall(id=id_, name="weather", args={"city": "Oslo"}) for id_ in ids]
    return with_parts("bot", *(types.Part(function_call=call) for call in calls))


def answers(*ids: str | None) -> Event:
    found = [types.FunctionResponse(id=id_, name="weather", response={"c": 4}) for id_ in ids]
    return with_parts("bot", *(types.Part(function_response=one) for one in found))


def changes(**delta: Any) -> Event:
    return Event(author="bot", actions=EventActions(state_delta=delta))


async def start(service: FaceplateSessionService, name: str, **given: Any) -> Session:
    given = {"app_name": "app", "user_id": name, "session_id": "s"} | given
    return await service.create_session(**given)


async def found(service: FaceplateSessionService, name: str, **given: Any) -> Session:
    given = {"app_name": "app", "user_id": name, "session_id": "s"} | given
    session = await service.get_session(**given)
    assert session is not None
    return session


async def chat_of(db: Database, name: str) -> tuple[UUID, Conversation]:
    """The user's id and only conversation."""
    user = await db.run_system(users.by_subject, name)
    [chat] = (await db.run(user.id, conversations.page)).items
    return user.id, chat


async def test_a_chat_of_an_agent_is_read_as_any_other(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    """Else the product's pages show nothing of what its agents say."""
    session = await start(service, name)
    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=7, candidates_token_count=3
    )
    for event in (
        said("Will it rain?"),
        asks("c1", "c2"),
        answers("c1", "c2"),
        said("No.", "bot", usage_metadata=usage, model_version="model-1"),
        changes(k=1),
    ):
        await service.append_event(session, event)

    user_id, chat = await chat_of(db, name)
    assert (chat.title, chat.source, chat.key) == ("Will it rain?", SOURCE, "app/s")
    assert chat.id == conversations.id_of(user_id, source=SOURCE, key="app/s")
    history = await db.run(user_id, messages.history, chat.id)
    assert [(row.role, row.content) for row in history] == [
        ("user", "Will it rain?"),
        ("assistant", ""),
        ("tool", ""),
        ("assistant", "No."),
        (None, ""),
    ]
    assert [call["function"]["name"] for call in history[1].tool_calls or ()] == ["weather"] * 2
    assert [result["content"] for result in history[2].tool_results or ()] == ['{"c": 4}'] * 2
    assert (history[3].model, history[3].input_tokens, history[3].output_tokens) == (
        "model-1", 7, 3,
    )  # fmt: skip
    assert [row.created_at.timestamp() for row in history] == [
        pytest.approx(event.timestamp, abs=1e-5) for event in session.events
    ]
    page = await db.run(user_id, messages.page, chat.id)
    assert page.items == history
    assert (await db.run(user_id, conversations.search, "RAIN")).items == [
        await db.run(user_id, conversations.get, chat.id)
    ]
    assert await db.run(user_id, messages.pending_tool_calls, chat.id) == []


async def test_what_another_program_appends_is_read_as_events(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    """Else an agent does not know what was said on the product's own page."""
    session = await start(service, name)
    await service.append_event(session, said("Hello.", "bot"))
    user_id, chat = await chat_of(db, name)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    turn = [
        NewMessage("user", "And tomorrow?"),
        NewMessage("assistant", "Let me see.", tool_calls=[call]),
        NewMessage("tool", tool_results=[{"tool_call_id": "c1", "content": "snow"}]),
        NewMessage("assistant", "Snow."),
        NewMessage("system", "Be brief."),
        NewMessage("assistant", "", body='{"another": "program"}'),
    ]
    stored = await db.run(user_id, messages.append_many, chat.id, turn)
    again = await found(service, name)
    user, asked, answered, told, system = again.events[1:]
    assert [event.author for event in again.events] == ["bot", "user", *["bot"] * 3, "system"]
    assert [part.text for part in user.content.parts] == ["And tomorrow?"]
    assert asked.content.role == "model"
    assert asked.content.parts[0].text == "Let me see."
    assert asked.get_function_calls() == [types.FunctionCall(id="c1", name="f", args={"a": 1})]
    assert answered.get_function_responses() == [
        types.FunctionResponse(id="c1", name="f", response={"result": "snow"})
    ]
    assert told.id == str(stored[3].id)
    assert told.timestamp == stored[3].created_at.timestamp()
    assert system.content.role == "user"
    # The object that was loaded before it does not know of it.
    with pytest.raises(ValueError, match="modified in storage"):
        await service.append_event(session, said("late", "bot"))
    await service.append_event(again, said("in time", "bot"))


@pytest.mark.parametrize("recent", [None, 0, 1])
async def test_a_session_goes_on_after_what_is_no_event(
    db: Database, service: FaceplateSessionService, name: str, recent: int | None
) -> None:
    """Else a reply that broke off before its first word ends the session for ever."""
    await start(service, name)
    user_id, chat = await chat_of(db, name)
    config = GetSessionConfig(num_recent_events=recent)
    draft = await db.run(user_id, messages.append_draft, chat.id)
    await db.run(user_id, messages.save_draft, chat.id, draft.id, content="", status="interrupted")
    session = await found(service, name, config=config)
    assert session.events == []
    assert session.last_update_time >= draft.created_at.timestamp()
    await service.append_event(session, said("Once more."))
    await db.run(user_id, messages.append, chat.id, body='{"another": "program"}')
    session = await found(service, name, config=config)
    await service.append_event(session, said("And again."))
    texts = [event.content.parts[0].text for event in (await found(service, name)).events]
    assert texts == ["Once more.", "And again."]


ODD: dict[str, list[Event]] = {
    "no id": [asks(None), answers(None)],
    "one id twice": [asks("c", "c"), answers("c", "c")],
    "a result without a call": [answers("nowhere")],
    "a second result": [asks("c"), answers("c"), answers("c")],
    "a call that is pending": [asks("c"), asks("c")],
    "call and result in one": [
        with_parts(
            "bot",
            types.Part(function_call=types.FunctionCall(id="c", name="f", args={})),
            types.Part(function_response=types.FunctionResponse(id="c", name="f", response={})),
        )
    ],
    "hostile text": [
        said(HOSTILE),
        changes(**{HOSTILE.replace("\ud800", ""): HOSTILE}),
        said(HOSTILE, author=HOSTILE),
    ],
    "hostile text beside bytes": [
        with_parts(
            "bot",
            types.Part(text=HOSTILE),
            types.Part.from_bytes(data=b"\xff\x00\xfe?>", mime_type="image/png"),
        )
    ],
    "a hostile call": [
        with_parts(
            "bot",
            types.Part(function_call=types.FunctionCall(id="c", name="f", args={"a": HOSTILE})),
        )
    ],
    "integers of any size": [changes(n=2**70, m=-(2**64))],
    "a long text": [said("x" * 1_000_001)],
    "many calls": [asks(*(f"c{n}" for n in range(40_000)))],
    "nothing": [Event(author="bot")],
    "times out of range": [said("a", timestamp=-1e15), said("b", timestamp=1e18)],
    "a blank model": [said("a", "bot", model_version=" " * 300)],
    "tokens beyond measure": [
        said(
            "a",
            "bot",
            usage_metadata=types.GenerateContentResponseUsageMetadata(
                prompt_token_count=2**40, candidates_token_count=-1
            ),
        )
    ],
    "files and code": [
        with_parts(
            "bot",
            types.Part.from_bytes(data=b"\xff\x00", mime_type="image/png"),
            types.Part(executable_code=types.ExecutableCode(code="1+1", language="PYTHON")),
            types.Part(
                code_execution_result=types.CodeExecutionResult(output="2", outcome="OUTCOME_OK")
            ),
        )
    ],
}


@pytest.mark.parametrize("case", ODD)
async def test_an_event_is_never_refused_and_comes_back(
    db: Database, service: FaceplateSessionService, name: str, case: str
) -> None:
    """Else a run of the agent breaks off because its words break a rule of ours."""
    session = await start(service, name)
    for event in ODD[case]:
        await service.append_event(session, event.model_copy(deep=True))
    again = await found(service, name)
    assert again.events == session.events
    assert again.state == session.state
    user_id, chat = await chat_of(db, name)
    rows = await db.run(user_id, messages.history, chat.id)
    for row, event in zip(rows, again.events, strict=True):
        assert row.content or row.tool_calls or row.tool_results or not event.content


@pytest.mark.parametrize(
    "session_id", [HOSTILE, "x" * 5_000, "é" * 1_999, "sha256:0", "a/b%c_d", "\U0001f600"]
)
async def test_any_text_is_the_id_of_a_session(
    service: FaceplateSessionService, name: str, session_id: str
) -> None:
    session = await start(service, name, session_id=session_id, state={"a": 1})
    await start(service, name, session_id="another")
    assert session.id == session_id
    await service.append_event(session, said("hi"))
    again = await found(service, name, session_id=session_id)
    assert again.id == session_id
    assert len(again.events) == 1
    listed = (await service.list_sessions(app_name="app", user_id=name)).sessions
    assert {one.id for one in listed} == {session_id, "another"}
    with pytest.raises(AlreadyExistsError):
        await start(service, name, session_id=session_id)
    await service.delete_session(app_name="app", user_id=name, session_id=session_id)
    assert len((await service.list_sessions(app_name="app", user_id=name)).sessions) == 1


@pytest.mark.parametrize("app", ["a%", "a_b", "a/b", "a b", "é\U0001f600", "!"])
async def test_any_text_is_the_name_of_an_app(
    service: FaceplateSessionService, name: str, app: str
) -> None:
    """Else one app lists the sessions of another, whose name is like its own."""
    for each in (app, "a", "a1b", "axb", app.upper(), app + "x"):
        if await service.get_session(app_name=each, user_id=name, session_id="s") is None:
            await start(service, name, app_name=each, state={"app:name": each, "user:name": each})
    [session] = (await service.list_sessions(app_name=app, user_id=name)).sessions
    assert session.state == {"app:name": app, "user:name": app}
    assert await service.get_user_state(app_name=app, user_id=name) == {"name": app}


async def test_users_see_nothing_of_each_other(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    ann, bob = f"ann {name}", f"bob {name}"
    for user in (ann, bob):
        session = await start(service, user, state={"user:who": user, "who": user})
        await service.append_event(session, said(user))
    for user in (ann, bob):
        session = await found(service, user)
        assert session.state == {"user:who": user, "who": user}
        assert [event.content.parts[0].text for event in session.events] == [user]
        assert (await service.list_sessions(app_name="app", user_id=user)).sessions[
            0
        ].user_id == user
        _, chat = await chat_of(db, user)
        assert chat.title == user
    await service.delete_session(app_name="app", user_id=ann, session_id="s")
    assert len((await found(service, bob)).events) == 1
    assert await service.get_user_state(app_name="app", user_id=ann) == {"who": ann}


async def test_nobody_acts_as_the_user_of_an_app(
    service: FaceplateSessionService, name: str
) -> None:
    """Else who chooses that name as a user writes what all users of the app read."""
    await start(service, name, app_name=name, state={"app:k": 1})
    theirs = APP_SUBJECT + name
    for call in (
        service.create_session(app_name=name, user_id=theirs),
        service.get_session(app_name=name, user_id=theirs, session_id="s"),
        service.list_sessions(app_name=name, user_id=theirs),
        service.get_user_state(app_name=name, user_id=theirs),
        service.delete_session(app_name=name, user_id=theirs, session_id="s"),
        service.append_event(Session(app_name=name, user_id=theirs, id="s"), said("hi")),
    ):
        with pytest.raises(InvalidInput, match="must not begin with"):
            await call


async def test_who_only_reads_makes_no_user(db: Database, name: str) -> None:
    """Else anyone fills the table of users by asking for sessions."""
    service = FaceplateSessionService(db)
    assert await service.get_session(app_name=name, user_id=name, session_id="s") is None
    assert (await service.list_sessions(app_name=name)).sessions == []
    assert await service.get_user_state(app_name=name, user_id=name) == {}
    for subject in (name, APP_SUBJECT + name):
        with pytest.raises(LookupError):
            await db.run_system(users.by_subject, subject)


async def test_a_user_who_was_erased_begins_anew(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    """Else the process that knew the user answers with errors until it ends."""
    session = await start(service, name, state={"user:k": 1})
    await service.append_event(session, said("hi"))
    await erasure.erase(db, (await db.run_system(users.by_subject, name)).id)
    assert await service.get_session(app_name="app", user_id=name, session_id="s") is None
    await start(service, name)
    another = FaceplateSessionService(db)
    await erasure.erase(db, (await db.run_system(users.by_subject, name)).id)
    await start(another, name)
    assert (await found(service, name)).state == {}


async def test_a_session_that_the_product_made_is_one(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    user = await db.run_system(users.ensure, name)
    chat = await db.run(user.id, conversations.open, source=SOURCE, key="app/s", title="Ours")
    await db.run(user.id, messages.append, chat.id, role="user", content="hi")
    session = await found(service, name)
    assert (session.id, session.state, session.events[0].author) == ("s", {}, "user")
    await service.append_event(session, changes(k=1))
    assert (await found(service, name)).state == {"k": 1}
    [listed] = (await service.list_sessions(app_name="app", user_id=name)).sessions
    assert (listed.id, listed.user_id, listed.state) == ("s", name, {"k": 1})
    assert (await chat_of(db, name))[1].title == "Ours"


async def test_the_newest_of_very_many_events_are_read(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    await start(service, name)
    user_id, chat = await chat_of(db, name)
    for start_at in range(0, 2_500, 500):
        batch = [NewMessage("user", str(start_at + at)) for at in range(500)]
        await db.run(user_id, messages.append_many, chat.id, batch)

    async def numbers(**config: Any) -> list[int]:
        session = await found(service, name, config=GetSessionConfig(**config))
        return [int(event.content.parts[0].text) for event in session.events]

    assert await numbers(num_recent_events=1_500) == list(range(1_000, 2_500))
    assert await numbers(num_recent_events=9_000) == list(range(2_500))
    assert await numbers(after_timestamp=0) == list(range(2_500))
    assert await numbers() == list(range(2_500))


async def test_what_the_state_does_not_say_stays(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    """The body of the conversation keeps what another program put there."""
    session = await start(service, name, state={"a": 1})
    user_id, chat = await chat_of(db, name)
    body = json.loads(chat.body or "") | {"ours": [1]}
    await db.run(user_id, conversations.replace_body, chat.id, json.dumps(body))
    await service.append_event(session, changes(b=2))
    stored = json.loads((await chat_of(db, name))[1].body or "")
    assert (stored["ours"], stored["state"]) == ([1], {"a": 1, "b": 2})
    assert {"app_name": "app", "user_id": name, "id": "s"}.items() <= stored.items()


async def test_sessions_of_a_user_change_its_state_at_the_same_time(
    settings: Settings, name: str
) -> None:
    """Else two of the user's browser tabs undo what the other has changed."""
    async with opened(settings, pool_size=8) as one, opened(settings, pool_size=8) as two:
        services = [FaceplateSessionService(one), FaceplateSessionService(two)]
        sessions = [
            await start(services[at % 2], name, app_name=name, session_id=str(at))
            for at in range(8)
        ]

        async def work(at: int) -> None:
            for n in range(5):
                delta = {f"user:k{at} {n}": n, f"app:k{at} {n}": n, "n": n}
                await services[at % 2].append_event(sessions[at], changes(**delta))

        await asyncio.gather(*map(work, range(8)))
        wanted = {f"k{at} {n}": n for at in range(8) for n in range(5)}
        assert await services[0].get_user_state(app_name=name, user_id=name) == wanted
        owner = await one.run_system(users.by_subject, APP_SUBJECT + name)
        state = await one.run(owner.id, documents.get, "google-adk.app-state", name)
        assert json.loads(state.body)["state"] == wanted


async def test_killed_processes_leave_whole_events(
    db: Database, database_url: str, name: str, campaign: Campaign
) -> None:
    """What one has acknowledged is there once, with its state, beside the other process's."""
    service, other = FaceplateSessionService(db), f"another {name}"
    for owner in (name, other):
        await start(service, owner)
    killed = await kill_writers(write, database_url, [name, name, other], campaign)
    for owner in (name, other):
        session = await found(service, owner)
        ids = [event.id for event in session.events]
        check_units(ids, owner, killed, units)
        assert session.state.keys() == {*ids, *(f"user:{id_}" for id_ in ids)}


@pytest.fixture(scope="module")
def own_steady_server() -> Iterator[OwnServer]:
    with own_server(script=TABLES, **QUICK) as server:
        yield server


@pytest.fixture
async def wire(
    own_steady_server: OwnServer,
) -> AsyncIterator[tuple[Proxy, FaceplateSessionService]]:
    async with Proxy(own_steady_server.url) as proxy:
        url = SecretStr(proxy.url)
        async with Database(Settings(database_url=url, pool_size=2, retry_delay_s=0)) as db:
            yield proxy, FaceplateSessionService(db)


DELTAS: dict[str, dict[str, Any]] = {
    "no state": {},
    "state": {"k": 1, "user:k": 1},
    "state of the app": {"app:k": 1},
}


@pytest.mark.parametrize("at", [is_commit, is_committed])
@pytest.mark.parametrize("delta", DELTAS)
async def test_a_lost_connection_stores_an_event_once(
    wire: tuple[Proxy, FaceplateSessionService], name: str, delta: str, at: Any
) -> None:
    proxy, service = wire
    session = await start(service, name, app_name=name)
    await service.append_event(session, said("first"))
    proxy.plan(Fault(Action.DROP_BEFORE, at))
    event = said("second", actions=EventActions(state_delta=DELTAS[delta]))
    await service.append_event(session, event)
    assert proxy.has_struck.is_set()
    await service.append_event(session, said("third"))
    again = await found(service, name, app_name=name)
    assert again.events == session.events
    assert len(again.events) == 3
    assert again.state == session.state == DELTAS[delta]


@pytest.mark.parametrize("delta", DELTAS)
async def test_an_event_is_tried_again_after_any_cancellation(
    wire: tuple[Proxy, FaceplateSessionService], name: str, delta: str
) -> None:
    """A caller whose request was cancelled appends the same event again: it is kept once."""
    proxy, service = wire
    for after in range(1, 14):
        session = await start(service, name, app_name=name, session_id=str(after))
        await service.append_event(session, said("first"))
        proxy.plan(Fault(Action.DELAY, after, delay_s=0.02))
        event = said("second", actions=EventActions(state_delta=DELTAS[delta]))
        task = asyncio.create_task(service.append_event(session, event))
        waiting = asyncio.create_task(proxy.has_struck.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        proxy.plan()
        again = await found(service, name, app_name=name, session_id=str(after))
        stored = again if any(one.id == event.id for one in again.events) else session
        await service.append_event(session if stored is session else again, event)
        final = await found(service, name, app_name=name, session_id=str(after))
        assert [one.id for one in final.events] == [one.id for one in (*again.events[:1], event)]
        assert {key: value for key, value in final.state.items() if "k" in key} == DELTAS[delta]


async def test_a_retry_by_the_caller_stores_an_event_once(
    service: FaceplateSessionService, name: str
) -> None:
    """Its state is not set back to what later events have changed."""
    session = await start(service, name)
    await service.append_event(session, said("first"))
    unaware = await found(service, name)
    event = changes(k=1, **{"user:k": 1})
    await service.append_event(session, event)
    await service.append_event(session, changes(k=2, **{"user:k": 2}))
    await service.append_event(unaware, event.model_copy(deep=True))
    again = await found(service, name)
    assert len(again.events) == 3
    assert again.state == {"k": 2, "user:k": 2}
    with pytest.raises(AlreadyExistsError):
        await service.append_event(again, said("something else", id=event.id))
    # The caller that appends it again has not seen what came after it.
    with pytest.raises(ValueError, match="modified in storage"):
        await service.append_event(unaware, said("late"))


async def test_an_event_that_comes_again_sets_no_state_of_the_app_back(
    db: Database, service: FaceplateSessionService, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the retry of one user undoes what all users of the app see since."""
    session = await start(service, name, app_name=name)
    await service.append_event(session, said("first"))
    unaware = await found(service, name, app_name=name)
    event = changes(**{"app:k": 1})
    await service.append_event(session, event)
    monkeypatch.setattr("faceplate.integrations.google_adk._states._MOST_EVENTS", 2)
    other = await start(service, f"another {name}", app_name=name)
    await service.append_event(other, changes(**{"app:k": 2}))
    for again in (session, unaware, await found(service, name, app_name=name)):
        await service.append_event(again, event.model_copy(deep=True))
        assert (await found(service, name, app_name=name)).state == {"app:k": 2}
    await service.append_event(other, changes(**{"app:k": 3}))
    owner = await db.run_system(users.by_subject, APP_SUBJECT + name)
    state = await db.run(owner.id, documents.get, "google-adk.app-state", name)
    assert len(json.loads(state.body)["events"]) == 2  # it does not grow for ever
    await erasure.erase(db, (await db.run_system(users.by_subject, name)).id)
    with pytest.raises(SessionNotFoundError):
        await FaceplateSessionService(db).append_event(session, event)


@pytest.mark.parametrize("case", ["a result without a call", "a second result"])
async def test_an_event_without_its_links_can_come_again(
    service: FaceplateSessionService, name: str, case: str
) -> None:
    """Else a caller whose first attempt was cancelled is told that another event has its id."""
    session = await start(service, name)
    for event in ODD[case][:-1]:
        await service.append_event(session, event.model_copy(deep=True))
    unaware = await found(service, name)
    last = ODD[case][-1].model_copy(deep=True)
    last.actions.state_delta["k"] = 1
    await service.append_event(session, last.model_copy(deep=True))
    await service.append_event(unaware, last.model_copy(deep=True))
    assert unaware.events == session.events == (await found(service, name)).events
    await service.append_event(unaware, said("and on", "bot"))
    with pytest.raises(AlreadyExistsError):
        await service.append_event(unaware, answers("elsewhere").model_copy(update={"id": last.id}))


async def test_an_event_after_one_that_was_removed_is_stale(
    db: Database, service: FaceplateSessionService, name: str
) -> None:
    session = await start(service, name)
    await service.append_event(session, said("first"))
    user_id, chat = await chat_of(db, name)
    await db.run(user_id, messages.remove_last, chat.id)
    with pytest.raises(ValueError, match="modified in storage"):
        await service.append_event(session, said("second"))
    await service.append_event(await found(service, name), said("second"))
    await db.run(user_id, conversations.delete, chat.id)
    with pytest.raises(SessionNotFoundError):
        await service.append_event(session, said("third"))


async def test_what_the_wire_carries(
    wire: tuple[Proxy, FaceplateSessionService], name: str
) -> None:
    """Else a round trip that somebody adds makes each turn of an agent slower."""
    proxy, service = wire

    async def cost(call: Any) -> int:
        proxy.traffic = traffic = Traffic()
        await call
        return traffic.round_trips

    for _ in range(2):  # the first time prepares the statements
        app = f"{name} {_}"
        session = await start(service, name, app_name=app, state={"app:k": 1})
        await service.append_event(session, said("first"))
        await service.append_event(session, said("first", "bot"))
        await service.append_event(session, changes(k=1))
        await found(service, name, app_name=app)
        await service.create_session(app_name=app, user_id=name)
    assert await cost(service.append_event(session, said("second"))) == 1
    assert await cost(service.append_event(session, changes(k=2))) == 4
    assert await cost(found(service, name, app_name=app)) == 3  # two of them at the same time
    assert await cost(service.create_session(app_name=app, user_id=name)) == 4
    assert await cost(service.get_user_state(app_name=app, user_id=name)) == 1
