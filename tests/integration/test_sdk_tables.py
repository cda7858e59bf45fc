"""The import of the tables of SDKs: nothing is lost, and a second one adds what is new."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.commands import Result, Run, lines
from tests.databases import opened, settings_of

from faceplate import Database, InvalidInput, NotFound, Settings
from faceplate.integrations._response_items import items_of
from faceplate.integrations.sdk_tables import Imported, import_tables
from faceplate.services import conversations, messages, users

AGENTS = """
CREATE TABLE agent_sessions (
    session_id varchar PRIMARY KEY,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE agent_messages (
    id serial PRIMARY KEY,
    session_id varchar NOT NULL REFERENCES agent_sessions ON DELETE CASCADE,
    message_data text NOT NULL,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""
LANGCHAIN = """
CREATE TABLE message_store (
    id serial PRIMARY KEY, session_id text NOT NULL, message jsonb NOT NULL
);
"""
ITEMS = [
    '{"role":"user","content":"Will it rain?"}',
    '{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}',
    '{"type":"function_call_output","call_id":"c","output":"4"}',
    '{"type":"function_call_output","call_id":"nowhere","output":"5"}',
    r'{"type": "reasoning", "id": "r", "b": 1, "a": "\u0000 \ud800", "n": 1e400}',
    '{"role":"assistant","content":"No."}',
    "no JSON",
    '{"role":"user","content":"a","n":NaN}',
    '{"role":"user","content":"a","n":[-Infinity]}',
    "[" * 200_000,
]
NO_ITEMS = 4


async def run(url: str, sql: str, *values: Any) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql, *values)
    finally:
        await connection.close()


async def add_item(url: str, session: str, item: str) -> None:
    await run(url, "INSERT INTO agent_sessions VALUES ($1) ON CONFLICT DO NOTHING", session)
    add = "INSERT INTO agent_messages (session_id, message_data) VALUES ($1, $2)"
    await run(url, add, session, item)


async def test_items_of_the_agents_sdk_are_kept_to_the_letter(
    db: Database, fresh_database_url: str
) -> None:
    source = fresh_database_url
    await run(source, AGENTS + LANGCHAIN)
    names = ["s-1", "x" * 3_000, "sha256:1"]
    for name in names:
        for item in ITEMS:
            await add_item(source, name, item)
    settings = settings_of(source)
    wanted = Imported(sessions=3, messages=3 * len(ITEMS))
    told: list[tuple[int, int]] = []
    dry = await import_tables(db, settings, "openai-agents", subject=source, is_dry_run=True)
    assert dry == wanted
    imported = await import_tables(
        db,
        settings,
        "openai-agents",
        subject=source[-200:],
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert imported == wanted
    assert told == [(1, 3), (2, 3), (3, 3)]
    user = await db.run_system(users.by_subject, source[-200:])
    id_ = conversations.id_of(user.id, source="openai-agents", key="s-1")
    rows = await db.run(user.id, messages.history, id_)
    assert [row.body for row in rows[:-NO_ITEMS]] == ITEMS[:-NO_ITEMS]
    texts = [json.loads(row.body or "") for row in rows[-NO_ITEMS:]]
    assert texts == ITEMS[-NO_ITEMS:]
    # What is no item does not reach the SDK.
    assert len(items_of(rows)) == len(ITEMS) - NO_ITEMS
    assert rows[1].tool_calls
    assert rows[2].tool_results
    assert not rows[3].tool_results
    assert (await db.run(user.id, conversations.get, id_)).title == "Will it rain?"

    await add_item(source, "s-1", '{"role":"user","content":"And now?"}')
    again = await import_tables(db, settings, "openai-agents", subject=user.subject_id)
    assert again == Imported(continued=1, skipped=2, messages=1)
    assert (await db.run(user.id, messages.history, id_))[-1].content == "And now?"
    titles = (await db.run(user.id, conversations.page)).items
    assert sorted(json.loads(chat.body)["id"] for chat in titles if chat.body) == sorted(names[1:])


async def test_a_session_that_is_refused_does_not_stop_the_others(
    settings: Settings, fresh_database_url: str
) -> None:
    """Else nobody gets what comes after one large picture."""
    source = fresh_database_url
    await run(source, AGENTS)
    for name in ("1", "2", "3"):
        await add_item(source, name, ITEMS[0])
    large = json.dumps({"role": "user", "content": "x" * (1 << 20)})
    await add_item(source, "2", large)
    told: list[tuple[str, str]] = []

    async def import_all(db: Database) -> Imported:
        return await import_tables(
            db,
            settings_of(source),
            "openai-agents",
            subject=source[-200:],
            on_refusal=lambda name, reason: told.append((name, reason)),
        )

    async with opened(settings, max_body_mb=1) as db:
        wanted = Imported(sessions=2, messages=2, refused=1)
        assert await import_all(db) == wanted
        [(name, reason)] = told
        assert name == "2"
        assert "at most 1 MB" in reason
        assert await import_all(db) == Imported(skipped=2, refused=1)
    async with opened(settings) as db:
        assert await import_all(db) == Imported(sessions=1, skipped=2, messages=2)


async def test_what_is_in_another_branch_is_not_imported_again(
    db: Database, fresh_database_url: str
) -> None:
    """Else the second import stops at the first chat in which somebody edited a question."""
    source = fresh_database_url
    await run(source, AGENTS)
    for item in ITEMS:
        await add_item(source, "s", item)
    settings, subject = settings_of(source), source[-200:]
    await import_tables(db, settings, "openai-agents", subject=subject)
    user = await db.run_system(users.by_subject, subject)
    id_ = conversations.id_of(user.id, source="openai-agents", key="s")
    await db.run(
        user.id, messages.append, id_, role="user", content="Will it snow?", after=0, branch=True
    )
    again = await import_tables(db, settings, "openai-agents", subject=subject)
    assert again == Imported(skipped=1)
    await add_item(source, "s", '{"role":"user","content":"And now?"}')
    again = await import_tables(db, settings, "openai-agents", subject=subject)
    assert again == Imported(continued=1, messages=1)
    rows = await db.run(user.id, messages.everything, id_)
    assert [row.content for row in rows] == ["Will it snow?", "And now?"]


async def test_messages_of_langchain_are_imported(db: Database, fresh_database_url: str) -> None:
    source = fresh_database_url
    await run(source, AGENTS + LANGCHAIN)
    add = "INSERT INTO message_store (session_id, message) VALUES ($1, $2)"
    for session in ("one", "two"):
        for kind, text in (("human", f"Hi {session}"), ("ai", "Hello")):
            message = {"type": kind, "data": {"content": text, "type": kind}}
            await run(source, add, session, json.dumps(message))
    settings = settings_of(source)
    subject = source[-200:]
    wanted = Imported(sessions=2, messages=4)
    assert (
        await import_tables(db, settings, "langchain", subject=subject, is_dry_run=True) == wanted
    )
    assert await import_tables(db, settings, "langchain", subject=subject) == wanted
    later = {"type": "human", "data": {"content": "Bye", "type": "human"}}
    await run(source, add, "two", json.dumps(later))
    again = await import_tables(db, settings, "langchain", subject=subject)
    assert again == Imported(continued=1, skipped=1, messages=1)
    user = await db.run_system(users.by_subject, subject)
    id_ = conversations.id_of(user.id, source="langchain", key="two")
    rows = await db.run(user.id, messages.history, id_)
    assert [(row.role, row.content) for row in rows] == [
        ("user", "Hi two"),
        ("assistant", "Hello"),
        ("user", "Bye"),
    ]


@pytest.mark.parametrize("is_dry_run", [True, False])
async def test_a_session_of_langchain_that_is_refused_is_named(
    db: Database,
    fresh_database_url: str,
    is_dry_run: bool,  # noqa: FBT001 - a parameter
) -> None:
    source = fresh_database_url
    await run(source, LANGCHAIN)
    add = "INSERT INTO message_store (session_id, message) VALUES ($1, $2)"
    hello = json.dumps({"type": "human", "data": {"content": "Hello", "type": "human"}})
    for session, message in (("one", hello), ("odd", '{"odd": 5}'), ("two", hello)):
        await run(source, add, session, message)
    told: list[str] = []
    imported = await import_tables(
        db,
        settings_of(source),
        "langchain",
        subject=source[-200:],
        is_dry_run=is_dry_run,
        on_refusal=lambda name, _: told.append(name),
    )
    assert imported == Imported(sessions=2, messages=2, refused=1)
    assert told == ["odd"]


async def test_what_cannot_be_imported_is_refused(db: Database, fresh_database_url: str) -> None:
    source = fresh_database_url
    await run(source, AGENTS + LANGCHAIN)
    settings = settings_of(source)
    with pytest.raises(InvalidInput, match="must be one of"):
        await import_tables(db, settings, "another")
    with pytest.raises(InvalidInput, match="have no users"):
        await import_tables(db, settings, "langchain")


def test_whose_the_sessions_become(
    faceplate: Run, settings: Settings, fresh_database_url: str
) -> None:
    """Else a typo in an id or an address makes a user as whom nobody signs in."""
    source = fresh_database_url
    asyncio.run(run(source, AGENTS))
    asyncio.run(add_item(source, "s", ITEMS[0]))
    own = secrets.token_hex(8)

    def import_for(who: object, *more: str) -> Result:
        asked = ("import", "--from-database", source, "--sdk", "openai-agents")
        return faceplate(*asked, "--user", who, *more)

    def call(unit: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        async def work() -> Any:
            async with Database(settings) as db:
                return await db.run_system(unit, *args, **kwargs)

        return asyncio.run(work())

    unknown = str(uuid4())
    refused = import_for(unknown)
    assert refused.returncode == 1
    assert "user not found" in refused.stderr
    with pytest.raises(NotFound):
        call(users.by_subject, unknown)

    address = f"{own}@example.com"
    assert import_for(address, "--dry-run").returncode == 0
    with pytest.raises(NotFound):
        call(users.by_email, address)
    assert import_for(address).returncode == 0
    made = call(users.by_email, address)
    assert import_for(made.id).stderr.endswith("1 already there\n")

    assert import_for(own).returncode == 0
    assert call(users.by_subject, own).email is None

    theirs = f"{own}@example.org"
    call(users.create, subject_id=theirs)
    call(users.create, subject_id=f"another {own}", email=theirs)
    refused = import_for(theirs)
    assert refused.returncode == 2
    assert "is the subject of one user and names another" in refused.stderr


def test_the_command_tells_what_it_refused(faceplate: Run, fresh_database_url: str) -> None:
    source = fresh_database_url
    asyncio.run(run(source, AGENTS))
    asyncio.run(add_item(source, "one", ITEMS[0]))
    large = json.dumps({"role": "user", "content": "x" * (1 << 20)})
    asyncio.run(add_item(source, "two", large))
    asked = ("import", "--from-database", source, "--sdk", "openai-agents", "--user", source[-200:])
    result = faceplate(*asked, FACEPLATE_MAX_BODY_MB="1")
    assert result.returncode == 1
    told, report = result.stderr.splitlines()[-2:]
    assert told.startswith("session two: messages.body: at most 1 MB")
    assert report == "1 new session with 1 message, 1 refused"
    result = faceplate(*asked, "--json", FACEPLATE_MAX_BODY_MB="1")
    assert result.returncode == 1
    refusal, last = lines(result.stdout)
    assert refusal["refused"]["session"] == "two"
    assert (last["report"]["skipped"], last["report"]["refused"]) == (1, 1)
