"""The import of ADK's own PostgreSQL tables: nothing is lost, and each session is found."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.schemas import v0
from google.adk.sessions.session import Session
from google.genai import types
from sqlalchemy.ext.asyncio import create_async_engine
from tests.databases import settings_of

from faceplate import Database
from faceplate.integrations.google_adk import APP_SUBJECT, SOURCE, FaceplateSessionService
from faceplate.integrations.sdk_tables import Imported, import_tables
from faceplate.services import conversations, documents, messages, users


@pytest.fixture
def source(make_database: Callable[[], str]) -> str:
    """A database for the tables of the SDK."""
    return make_database()


async def fill(source: str, name: str, *, is_old: bool = False) -> list[Session]:
    """Two users with a session each, of an app that has a state."""
    url = source.replace("postgresql://", "postgresql+asyncpg://", 1)
    service = DatabaseSessionService(url)
    if is_old:
        async with service.db_engine.begin() as connection:
            await connection.run_sync(v0.Base.metadata.create_all)
    sessions: list[Session] = []
    for user in (f"ann {name}", f"bob {name}"):
        state = {"user:who": user, "app:n": 1, "k": [1]}
        session = await service.create_session(
            app_name=name, user_id=user, session_id="s", state=state
        )
        call = types.FunctionCall(id="c", name="f", args={"a": None})
        response = types.FunctionResponse(id="c", name="f", response={"b": 1.5})
        for parts in (
            [types.Part(text="Will it rain?")],
            [types.Part(function_call=call)],
            [types.Part(function_response=response)],
            [types.Part.from_bytes(data=b"\xff\x00", mime_type="image/png")],
        ):
            event = Event(
                author="bot" if sessions or len(session.events) else "user",
                invocation_id="i",
                content=types.Content(role="model", parts=parts),
                actions=EventActions(state_delta={"last": len(session.events)}),
            )
            await service.append_event(session, event)
        found = await service.get_session(app_name=name, user_id=user, session_id="s")
        assert found is not None
        sessions.append(found)
    await service.db_engine.dispose()
    return sessions


def as_read(session: Session | None) -> Any:
    """What a session says; the SDK's column rounds its time to microseconds."""
    assert session is not None
    return session.model_dump(exclude={"last_update_time"}), round(session.last_update_time, 4)


def command(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "faceplate.cli", *arguments],
        env=os.environ | {"DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("is_old", [False, True], ids=["schema 1", "schema 0"])
async def test_every_session_is_found_as_it_was(db: Database, source: str, is_old: bool) -> None:  # noqa: FBT001 - a parameter
    name = secrets.token_hex(4)
    sessions = await fill(source, name, is_old=is_old)
    settings = settings_of(source)
    told: list[tuple[int, int]] = []
    dry = await import_tables(db, settings, SOURCE, is_dry_run=True)
    assert dry == Imported(sessions=2, messages=8)
    with pytest.raises(LookupError):
        await db.run_system(users.by_subject, f"ann {name}")

    def on_progress(done: int, total: int) -> None:
        told.append((done, total))

    assert await import_tables(db, settings, SOURCE, on_progress=on_progress) == dry
    assert told == [(1, 2), (2, 2)]
    service = FaceplateSessionService(db)
    for session in sessions:
        found = await service.get_session(app_name=name, user_id=session.user_id, session_id="s")
        assert as_read(found) == as_read(session)
        user = await db.run_system(users.by_subject, session.user_id)
        [chat] = (await db.run(user.id, conversations.page)).items
        rows = await db.run(user.id, messages.history, chat.id)
        assert [bool(row.tool_calls or row.tool_results) for row in rows] == [
            False,
            True,
            True,
            False,
        ]
        assert found is not None
        await service.append_event(found, Event(author="bot", invocation_id="i"))
    assert await import_tables(db, settings, SOURCE) == Imported(skipped=2)


async def test_a_second_import_adds_what_is_new(db: Database, source: str) -> None:
    name = secrets.token_hex(4)
    await fill(source, name)
    await import_tables(db, settings_of(source), SOURCE, subject=f"ann {name}")
    service = FaceplateSessionService(db)
    ann = await service.get_session(app_name=name, user_id=f"ann {name}", session_id="s")
    assert ann is not None
    change = EventActions(state_delta={"user:who": "changed here"})
    await service.append_event(ann, Event(author="bot", actions=change))
    theirs = DatabaseSessionService(source.replace("postgresql://", "postgresql+asyncpg://", 1))
    session = await theirs.get_session(app_name=name, user_id=f"ann {name}", session_id="s")
    assert session is not None
    await theirs.append_event(session, Event(author="bot", id="later", invocation_id="i"))
    await theirs.db_engine.dispose()
    report = await import_tables(db, settings_of(source), SOURCE)
    assert report == Imported(sessions=1, continued=1, messages=5)
    found = await service.get_session(app_name=name, user_id=f"ann {name}", session_id="s")
    assert found is not None
    assert found.events[-1].id == "later"
    assert len(found.events) == 6
    assert found.state["user:who"] == "changed here"


async def test_new_events_bring_the_state_of_their_session(db: Database, source: str) -> None:
    """Else an agent goes on with what was true at the first import."""
    name = secrets.token_hex(4)
    sessions = await fill(source, name)
    await import_tables(db, settings_of(source), SOURCE)
    theirs = DatabaseSessionService(source.replace("postgresql://", "postgresql+asyncpg://", 1))
    for session in sessions:
        later = EventActions(state_delta={"last": "later", "new": 1})
        await theirs.append_event(session, Event(author="bot", invocation_id="i", actions=later))
    await theirs.db_engine.dispose()
    service = FaceplateSessionService(db)

    async def of(user: str) -> Session:
        user_id = f"{user} {name}"
        found = await service.get_session(app_name=name, user_id=user_id, session_id="s")
        assert found is not None
        return found

    here = EventActions(state_delta={"last": "here"})
    await service.append_event(await of("bob"), Event(author="bot", actions=here))
    report = await import_tables(db, settings_of(source), SOURCE)
    assert report == Imported(continued=2, messages=2)
    # Nobody has gone on with Ann's session here. Bob's has, and what it changed stays.
    for user, last in (("ann", "later"), ("bob", "here")):
        state = (await of(user)).state
        assert (state["last"], state["new"], state["k"]) == (last, 1, [1])
    await service.append_event(await of("ann"), Event(author="bot", actions=here))
    assert await import_tables(db, settings_of(source), SOURCE) == Imported(skipped=2)
    assert (await of("ann")).state["last"] == "here"


async def test_a_session_that_the_sdk_cannot_read_stops_no_other(db: Database, source: str) -> None:
    name = secrets.token_hex(4)
    await fill(source, name)
    engine = create_async_engine(source.replace("postgresql://", "postgresql+asyncpg://", 1))
    async with engine.begin() as connection:
        spoil = "UPDATE events SET event_data = '{\"author\": [5]}' WHERE user_id LIKE 'ann%'"
        await connection.execute(sa.text(spoil))
    await engine.dispose()
    told: list[tuple[str, str]] = []
    report = await import_tables(
        db,
        settings_of(source),
        SOURCE,
        on_refusal=lambda session, reason: told.append((session, reason)),
    )
    assert report == Imported(sessions=1, messages=4, refused=1)
    assert told == [(f"{name}/ann {name}/s", "events: must be readable by the SDK")]


async def test_nobody_is_imported_as_the_user_of_an_app(db: Database, source: str) -> None:
    """Else who chose that name as a user wrote what all users of the app read."""
    name = secrets.token_hex(4)
    await fill(source, name)
    theirs = DatabaseSessionService(source.replace("postgresql://", "postgresql+asyncpg://", 1))
    as_app = APP_SUBJECT + name
    state = {"k": 1, "user:k": 1}
    await theirs.create_session(app_name=name, user_id=as_app, session_id="s", state=state)
    await theirs.db_engine.dispose()
    told: list[str] = []
    settings = settings_of(source)
    report = await import_tables(db, settings, SOURCE, is_dry_run=True)
    assert report == Imported(sessions=2, messages=8, refused=1)
    report = await import_tables(
        db, settings, SOURCE, on_refusal=lambda session, _: told.append(session)
    )
    assert report == Imported(sessions=2, messages=8, refused=2)
    assert told == [f"{name}/{as_app}/s", f"{name}/{as_app}"]
    owner = await db.run_system(users.by_subject, as_app)
    assert (await db.run(owner.id, conversations.page)).items == []
    assert (await db.run(owner.id, documents.page, "google-adk.user-state")).items == []


async def test_the_command_imports_and_writes_nothing_there(source: str, database_url: str) -> None:
    name = secrets.token_hex(4)
    await fill(source, name)
    engine = create_async_engine(source.replace("postgresql://", "postgresql+asyncpg://", 1))

    async def written() -> Any:
        async with engine.connect() as connection:
            return await connection.scalar(sa.text("SELECT pg_current_xact_id_if_assigned()"))

    asked = ("import", "--from-database", source, "--sdk", SOURCE)
    result = command(database_url, *asked, "--dry-run", "--json")
    assert json.loads(result.stdout)["preview"]["sessions"] == 2
    result = command(database_url, *asked)
    assert (result.returncode, result.stderr.splitlines()[-1]) == (
        0,
        "2 new sessions with 8 messages",
    )
    assert command(database_url, *asked).stderr.splitlines()[-1] == (
        "0 new sessions with 0 messages, 2 already there"
    )
    assert await written() is None
    await engine.dispose()
    wrong_user = command(database_url, *asked, "--user", f"nobody {name}")
    assert (wrong_user.returncode, "nothing of this user" in wrong_user.stderr) == (2, True)
    for wrong in (
        ("import",),
        ("import", "--from-database", source),
        ("import", "--from-database", source, "--sdk", "openai-agents"),
        ("import", "--from-database", source, "--sdk", "nobody's", "--user", "a"),
        ("import", str(Path(__file__)), "--from-database", source, "--sdk", SOURCE),
    ):
        assert command(database_url, *wrong).returncode not in {0, None}
