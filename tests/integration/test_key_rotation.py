"""While keys are rotated, programs go on: no secret is lost, mixed up or brought back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from tests.locks import pid, until_blocked_by

from faceplate import Database, DatabaseError, Settings, SystemScope, encryption
from faceplate.services import mcp_configs, users

CONFIG = {"command": "uvx"}
OLD, NEW = (SecretStr(encryption.generate_key()) for _ in range(2))


def settings(url: str, *keys: SecretStr) -> Settings:
    return Settings(database_url=SecretStr(url), encryption_keys=keys)


@pytest.fixture
async def old(fresh_database_url: str) -> AsyncIterator[Database]:
    """A program that knows only the old key in front."""
    async with Database(settings(fresh_database_url, OLD, NEW)) as db:
        yield db


@pytest.fixture
async def new(fresh_database_url: str) -> AsyncIterator[Database]:
    """A program, or the command, with the new key in front."""
    async with Database(settings(fresh_database_url, NEW, OLD)) as db:
        yield db


@pytest.fixture
async def user_id(old: Database) -> UUID:
    return (await old.run_system(users.create, subject_id="somebody")).id


async def finished(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(20):
        return await work


async def stored_tokens(db: Database) -> list[bytes]:
    async def select(scope: SystemScope) -> list[bytes]:
        rows = await scope.session.execute(text("SELECT secrets FROM faceplate.mcp_configs"))
        return list(rows.scalars())

    return await db.run_system(select)


async def test_a_secret_that_is_put_meanwhile_is_not_overwritten_with_the_one_before(
    old: Database, new: Database, user_id: UUID
) -> None:
    """A user who has just replaced a leaked token would be back on the leaked one."""
    config = await old.run(user_id, mcp_configs.put, "weather", CONFIG, secrets={"pin": "leaked"})
    async with old.begin(user_id) as scope:
        await mcp_configs.put(scope, "weather", CONFIG, secrets={"pin": "fresh"})
        rotation = asyncio.create_task(new.run_system(mcp_configs.rotate_secrets))
        await until_blocked_by(new, await pid(scope))
    assert await finished(rotation) == [(user_id, config.id)]
    async with Database(settings(new.settings.dsn, NEW)) as alone:
        assert await alone.run(user_id, mcp_configs.get_secrets, config.id) == {"pin": "fresh"}


async def test_a_put_that_comes_during_the_rotation_has_the_last_word(
    old: Database, new: Database, user_id: UUID
) -> None:
    """A rotation that lasts must not undo, when it commits, what was put while it ran."""
    config = await old.run(user_id, mcp_configs.put, "weather", CONFIG, secrets={"pin": "leaked"})
    rotated, may_commit = asyncio.Event(), asyncio.Event()
    holder: list[int] = []

    async def rotate_slowly(scope: SystemScope) -> None:
        await mcp_configs.rotate_secrets(scope)
        holder.append(await pid(scope))
        rotated.set()
        await may_commit.wait()

    rotation = asyncio.create_task(new.run_system(rotate_slowly))
    await finished(rotated.wait())
    put = old.run(user_id, mcp_configs.put, "weather", CONFIG, secrets={"pin": "fresh"})
    putting = asyncio.create_task(put)
    await until_blocked_by(old, holder[0])
    may_commit.set()
    await finished(asyncio.gather(rotation, putting))
    assert await new.run(user_id, mcp_configs.get_secrets, config.id) == {"pin": "fresh"}


async def test_a_rotation_that_was_interrupted_goes_on_from_any_state(
    old: Database, new: Database, user_id: UUID
) -> None:
    """Half of the secrets under each key is a state that both keys read, and a next run ends."""
    for number in range(5):
        secrets = {"pin": number}
        await old.run(user_id, mcp_configs.put, f"config {number}", CONFIG, secrets=secrets)
    before = set(await stored_tokens(old))
    await new.run_system(mcp_configs.rotate_secrets, limit=2)
    assert len(before & set(await stored_tokens(old))) == 3
    for db in (old, new):
        page = await db.run(user_id, mcp_configs.page)
        pins = [await db.run(user_id, mcp_configs.get_secrets, row.id) for row in page.items]
        assert pins == [{"pin": number} for number in range(5)]
    assert len(await new.run_system(mcp_configs.rotate_secrets)) == 5
    async with Database(settings(new.settings.dsn, NEW)) as alone:
        for row in page.items:
            await alone.run(user_id, mcp_configs.get_secrets, row.id)
    async with Database(settings(new.settings.dsn, OLD)) as outdated:
        for row in page.items:
            with pytest.raises(DatabaseError, match="no key in FACEPLATE_ENCRYPTION_KEYS"):
                await outdated.run(user_id, mcp_configs.get_secrets, row.id)


async def test_a_secret_that_no_key_opens_is_named_and_nothing_is_changed(
    old: Database, new: Database, user_id: UUID
) -> None:
    """Otherwise one lost key stops every rotation for good, and nobody can tell where."""
    await old.run(user_id, mcp_configs.put, "a", CONFIG, secrets={"pin": "canary"})
    async with Database(settings(new.settings.dsn, lost := _key())) as forgotten:
        broken = await forgotten.run(
            user_id, mcp_configs.put, "b", CONFIG, secrets={"pin": "canary"}
        )
    before = await stored_tokens(old)
    with pytest.raises(DatabaseError) as failure:
        await new.run_system(mcp_configs.rotate_secrets)
    assert f"MCP configuration {broken.id} of user {user_id}" in str(failure.value)
    for secret in ("canary", *(key.get_secret_value() for key in (OLD, NEW, lost))):
        assert secret not in f"{failure.value!s} {failure.value!r}"
    assert failure.value.__cause__ is None
    assert await stored_tokens(old) == before


@pytest.mark.citus_may_refuse("it copies a value between users, who are on two shards")
async def test_a_secret_that_is_another_rows_is_named_and_nothing_is_changed(
    old: Database, new: Database, user_id: UUID
) -> None:
    """Else a rotation makes what was copied a secret of the row that it was copied to."""
    made = [
        await old.run(user_id, mcp_configs.put, name, CONFIG, secrets={"pin": name})
        for name in "ab"
    ]

    async def copy(scope: SystemScope) -> None:
        source = "(SELECT secrets FROM faceplate.mcp_configs WHERE id = :source)"
        await scope.session.execute(
            text(f"UPDATE faceplate.mcp_configs SET secrets = {source} WHERE id = :target"),
            {"source": made[0].id, "target": made[1].id},
        )

    await old.run_system(copy)
    before = await stored_tokens(old)
    with pytest.raises(DatabaseError, match=f"{made[1].id} of user .*another row"):
        await new.run_system(mcp_configs.rotate_secrets)
    assert await stored_tokens(old) == before


async def test_a_rotation_is_no_edit_of_the_users(
    old: Database, new: Database, user_id: UUID
) -> None:
    """`updated_at` tells a user when they last changed a configuration."""
    config = await old.run(user_id, mcp_configs.put, "a", CONFIG, secrets={"pin": 1})
    await new.run_system(mcp_configs.rotate_secrets)
    assert await new.run(user_id, mcp_configs.get, config.id) == config


def _key() -> SecretStr:
    return SecretStr(encryption.generate_key())
