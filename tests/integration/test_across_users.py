"""What works across users refuses to run where the connecting role cannot see all of their rows.

PostgreSQL leaves out what a policy hides, and says nothing: a sweep finds no draft, a rotation no
secret, and the old key is thrown away.
"""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from tests.databases import settings_of
from tests.faults.servers import OwnServer, own_server
from tests.units import is_of

from faceplate import (
    Database,
    Settings,
    Statement,
    SystemScope,
    Unauthorized,
    encryption,
    erasure,
    services,
)
from faceplate._operations import stats
from faceplate.models import SCHEMA, Message
from faceplate.records import User
from faceplate.services import (
    _mcp_tokens,
    _user_tables,
    archives,
    conversations,
    mcp_configs,
    messages,
    retention,
    users,
)

COUNT = Statement(int, select(func.count()).select_from(Message))
SERVICE = """
CREATE ROLE service LOGIN;
GRANT faceplate_app TO service;
GRANT USAGE ON SCHEMA faceplate TO service;
GRANT ALL ON ALL TABLES IN SCHEMA faceplate TO service;
"""
NOW = datetime.now(UTC)
MESSAGES = _user_tables.UserTable(
    SCHEMA, "messages", {"user_id": True}, is_known=True, problem=None
)
NOBODY = User(uuid4(), "nobody", None, NOW, NOW)


async def count(scope: SystemScope) -> int:
    return await scope.one(COUNT)


async def count_by_session(scope: SystemScope) -> int:
    return int(
        (await scope.session.execute(select(func.count()).select_from(Message))).scalar_one()
    )


# Each unit of the package that works across users; the first ones as an application writes them.
UNITS: dict[str, Callable[[SystemScope], Awaitable[object]]] = {
    "count": count,
    "count_by_session": count_by_session,
    "_mcp_tokens.count": _mcp_tokens.count,
    "_mcp_tokens.rotate": _mcp_tokens.rotate,
    "_user_tables.count": lambda scope: _user_tables.count(scope, MESSAGES, uuid4()),
    "archives.restore_user": lambda scope: archives.restore_user(scope, NOBODY),
    "mcp_configs.count_secrets": mcp_configs.count_secrets,
    "mcp_configs.rotate_secrets": mcp_configs.rotate_secrets,
    "messages.sweep_drafts": lambda scope: messages.sweep_drafts(scope, older_than=timedelta(0)),
    "retention.idle_rows": lambda scope: retention.idle_rows(scope, "tasks", NOW),
    "retention.idle_users": lambda scope: retention.idle_users(scope, NOW),
    "users.by_email": lambda scope: users.by_email(scope, "ada@example.com"),
    "users.by_subject": lambda scope: users.by_subject(scope, "ada"),
    "users.change_email": lambda scope: users.change_email(scope, uuid4(), None),
    "users.create": lambda scope: users.create(scope, subject_id="new"),
    "users.delete": lambda scope: users.delete(scope, uuid4()),
    "users.ensure": lambda scope: users.ensure(scope, "ada"),
    "users.get": lambda scope: users.get(scope, uuid4()),
    "users.page": users.page,
}
ASKS_NO_TABLE = {"_user_tables.find", "retention.idle_since"}
COMMANDS = {
    "sweep": ["sweep"],
    "purge": ["purge", "--older-than", "30d", "--yes"],
    "rotate-keys": ["rotate-keys"],
    "stats": ["stats"],
    "erase": ["erase", "--user", str(uuid4()), "--yes"],
    "export": ["export", "--user", "ada@example.com"],
    "conversations": ["conversations", "--user", "ada@example.com"],
}


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with own_server(SERVICE, fsync="off") as server:
        yield server


@pytest.fixture
def blind(own: OwnServer) -> Settings:
    """A login with every grant there is, which owns nothing."""
    key = SecretStr(encryption.generate_key())
    return settings_of(as_service(own), encryption_keys=(key,))


def as_service(own: OwnServer) -> str:
    return own.url.replace("//faceplate@", "//service@")


@pytest.fixture
async def blind_db(blind: Settings) -> AsyncIterator[Database]:
    async with Database(blind) as db:
        yield db


def test_every_unit_across_users_is_tried() -> None:
    """Else the next one is left out here, and reads nothing where it should read all."""
    found = set()
    for module in pkgutil.iter_modules(services.__path__):
        loaded = importlib.import_module(f"faceplate.services.{module.name}")
        for name, unit in inspect.getmembers(loaded, inspect.iscoroutinefunction):
            first = next(iter(inspect.signature(unit).parameters.values()), None)
            if is_of(loaded, unit) and first and first.annotation is SystemScope:
                found.add(f"{module.name}.{name}")
    assert found - UNITS.keys() == ASKS_NO_TABLE


@pytest.mark.parametrize("name", UNITS)
async def test_a_unit_is_refused_where_rows_are_hidden(blind_db: Database, name: str) -> None:
    """Else it takes what it sees for all that there is."""
    with pytest.raises(Unauthorized, match="cannot see the rows of all users"):
        await blind_db.run_system(UNITS[name])


async def test_the_library_functions_are_refused(blind_db: Database) -> None:
    """Else a program's nightly job reports that there is nothing to do, for ever."""
    for work in (
        erasure.survey(blind_db, timedelta(days=1)),
        erasure.purge(blind_db, NOW),
        erasure.remains(blind_db, uuid4()),
        erasure.erase(blind_db, uuid4()),
        stats.collect(blind_db),
    ):
        with pytest.raises(Unauthorized, match="cannot see the rows of all users"):
            await work


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_is_refused(own: OwnServer, command: list[str]) -> None:
    """Else `rotate-keys` says that the old key may go, with a secret stored under it."""
    done = subprocess.run(
        [sys.executable, "-m", "faceplate.cli", *command],
        env=os.environ
        | {
            "DATABASE_URL": as_service(own),
            "FACEPLATE_ENCRYPTION_KEYS": encryption.generate_key(),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "cannot see the rows of all users" in done.stderr
    assert "Traceback" not in done.stderr


async def test_force_row_level_security_is_refused_for_the_owner_too(own: OwnServer) -> None:
    """Else the owner itself is shown nothing, by a setting that is thought to make things safer."""
    admin = await asyncpg.connect(own.url)
    table = "ALTER TABLE faceplate.messages"
    await admin.execute(f"{table} FORCE ROW LEVEL SECURITY")
    try:
        async with Database(own.url) as db:
            with pytest.raises(Unauthorized, match="cannot see the rows of all users"):
                await db.run_system(count)
    finally:
        await admin.execute(f"{table} NO FORCE ROW LEVEL SECURITY")
        await admin.close()


async def test_a_user_is_served_all_the_same(own: OwnServer, blind_db: Database) -> None:
    """Else a service whose login is for units alone could not run at all."""
    async with Database(own.url) as db:
        user = await db.run_system(users.ensure, "bob")

    chat = await blind_db.run(user.id, conversations.create)
    assert (await blind_db.run(user.id, conversations.get, chat.id)).id == chat.id
    with pytest.raises(Unauthorized):
        await erasure.erase(blind_db, user.id)
    assert (await blind_db.run(user.id, conversations.get, chat.id)).id == chat.id  # not in part
