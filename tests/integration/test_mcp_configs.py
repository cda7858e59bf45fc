"""MCP configurations: what is not secret is read back, and what is secret stays one."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update
from uuid6 import uuid7

from faceplate import (
    ConfigurationError,
    Conflict,
    Database,
    DatabaseError,
    InvalidInput,
    NotFound,
    Scope,
    Settings,
    SystemScope,
    User,
    encryption,
    models,
)
from faceplate.services import mcp_configs, users

STDIO = {"transport": "stdio", "command": "uvx", "args": ["some-server"]}
SSE = {"transport": "sse", "url": "https://example.com/sse"}
HTTP = {"transport": "streamable_http", "url": "https://example.com/mcp", "timeout_s": 2.5}
SECRETS = {"env": {"TOKEN": "canary"}, "headers": {"Authorization": "Bearer canary"}, "pin": 7}


@pytest.fixture
def db(keyed: Database) -> Database:
    return keyed


@asynccontextmanager
async def opened(url: str | SecretStr, *keys: str) -> AsyncIterator[Database]:
    """The same database under other keys."""
    secret_url = url if isinstance(url, SecretStr) else SecretStr(url)
    encryption_keys = tuple(map(SecretStr, keys))
    async with Database(
        Settings(database_url=secret_url, encryption_keys=encryption_keys)
    ) as database:
        yield database


@pytest.mark.parametrize("config", [STDIO, SSE, HTTP, {"command": "uvx"}, {"type": "http"} | SSE])
async def test_a_configuration_comes_back_as_it_was_put(
    db: Database, user: User, config: dict[str, Any]
) -> None:
    put = await db.run(user.id, mcp_configs.put, "weather", config)
    assert (put.name, put.config, put.enabled, put.has_secrets) == ("weather", config, True, False)
    assert await db.run(user.id, mcp_configs.get, put.id) == put
    assert await db.run(user.id, mcp_configs.by_name, "weather") == put
    assert await db.run(user.id, mcp_configs.get_secrets, put.id) == {}


async def test_putting_again_replaces_what_has_the_name(db: Database, user: User) -> None:
    first = await db.run(user.id, mcp_configs.put, "weather", STDIO)
    second = await db.run(user.id, mcp_configs.put, "weather", SSE, enabled=False)
    assert (second.id, second.created_at) == (first.id, first.created_at)
    assert (second.config, second.enabled) == (SSE, False)
    assert (await db.run(user.id, mcp_configs.page)).items == [second]


async def test_secrets_are_kept_replaced_or_removed_as_asked(db: Database, user: User) -> None:
    async def put(secrets: dict[str, Any] | None) -> Any:
        config = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=secrets)
        stored = await db.run(user.id, mcp_configs.get_secrets, config.id)
        assert config.has_secrets is bool(stored)
        return stored

    assert await put(SECRETS) == SECRETS
    assert await put(None) == SECRETS
    assert await put({"token": "other"}) == {"token": "other"}
    assert await put({}) == {}


async def test_configurations_are_listed_by_name_all_or_the_enabled_ones(
    db: Database, user: User
) -> None:
    made = {name: await db.run(user.id, mcp_configs.put, name, STDIO) for name in "bca"}
    await db.run(user.id, mcp_configs.disable, made["b"].id)

    async def names(*, enabled_only: bool) -> str:
        page = await db.run(user.id, mcp_configs.page, enabled_only=enabled_only)
        return "".join(config.name for config in page.items)

    assert (await names(enabled_only=False), await names(enabled_only=True)) == ("abc", "ac")
    await db.run(user.id, mcp_configs.enable, made["b"].id)
    assert await names(enabled_only=True) == "abc"


async def test_a_renamed_configuration_keeps_its_secrets(db: Database, user: User) -> None:
    made = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=SECRETS)
    await db.run(user.id, mcp_configs.put, "taken", STDIO)
    renamed = await db.run(user.id, mcp_configs.rename, made.id, "climate")
    assert renamed == made._replace(name="climate", updated_at=renamed.updated_at)
    assert await db.run(user.id, mcp_configs.get_secrets, made.id) == SECRETS
    with pytest.raises(Conflict, match="name exists already") as conflict:
        await db.run(user.id, mcp_configs.rename, made.id, "taken")
    assert conflict.value.constraint == "uq_mcp_configs_user_id_name"


async def test_a_deleted_configuration_is_gone_and_no_other_is(db: Database, user: User) -> None:
    leaving, staying = [await db.run(user.id, mcp_configs.put, name, STDIO) for name in "ab"]
    await db.run(user.id, mcp_configs.delete, leaving.id)
    for unit in (mcp_configs.get, mcp_configs.get_secrets):
        with pytest.raises(NotFound, match=r"mcp config not found$"):
            await db.run(user.id, unit, leaving.id)
    assert (await db.run(user.id, mcp_configs.page)).items == [staying]


async def raw_secrets(scope: Scope, config_id: UUID) -> bytes:
    where = "SELECT secrets FROM faceplate.mcp_configs WHERE id = :id"
    stored: bytes = await scope.session.scalar(text(where), {"id": config_id})
    return stored


async def test_a_secret_shows_nowhere_but_to_who_asks_for_it(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def selected(scope: Scope) -> models.McpConfig:
        model = (await scope.session.scalars(select(models.McpConfig))).one()
        with pytest.raises(Exception, match="raiseload"):
            _ = model.secrets
        return model

    config = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=SECRETS)
    model = await db.run(user.id, selected)
    assert model.has_secrets
    assert b"canary" not in await db.run(user.id, raw_secrets, config.id)
    flawed = SECRETS | {"env": {"TOKEN": ["canary"]}}
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=flawed)
    for shown in (config, model, refusal.value, refusal.value.args, caplog.text):
        assert "canary" not in f"{shown!s} {shown!r}"


async def test_without_a_key_no_secret_is_stored_and_none_is_lost(db: Database, user: User) -> None:
    config = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=SECRETS)
    async with opened(db.settings.database_url) as keyless:
        with pytest.raises(ConfigurationError, match="FACEPLATE_ENCRYPTION_KEYS"):
            await keyless.run(user.id, mcp_configs.put, "weather", STDIO, secrets={"a": "b"})
        with pytest.raises(ConfigurationError, match="FACEPLATE_ENCRYPTION_KEYS"):
            await keyless.run(user.id, mcp_configs.get_secrets, config.id)
        assert (await keyless.run(user.id, mcp_configs.put, "weather", SSE)).has_secrets
    assert await db.run(user.id, mcp_configs.get_secrets, config.id) == SECRETS


async def test_a_key_that_does_not_fit_opens_nothing(db: Database, user: User) -> None:
    config = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=SECRETS)
    async with opened(db.settings.database_url, encryption.generate_key()) as other:
        with pytest.raises(DatabaseError, match="no key"):
            await other.run(user.id, mcp_configs.get_secrets, config.id)


async def paste_secrets(scope: Scope, config_id: UUID, secrets: bytes) -> None:
    row = update(models.McpConfig).where(models.McpConfig.id == config_id)
    await scope.session.execute(row.values(secrets=secrets))


async def test_secrets_copied_to_another_row_do_not_open_there(
    db: Database, user: User, other_user: User
) -> None:
    """Else a user who can write a row has another user's token sent to a server of their own."""
    theirs = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets=SECRETS)
    copy = await db.run(user.id, raw_secrets, theirs.id)
    for owner, name in ((user, "another"), (other_user, "weather")):
        mine = await db.run(owner.id, mcp_configs.put, name, STDIO, secrets={"token": "mine"})
        await db.run(owner.id, paste_secrets, mine.id, copy)
        with pytest.raises(DatabaseError, match="encrypted for another row"):
            await db.run(owner.id, mcp_configs.get_secrets, mine.id)
    await db.run(user.id, paste_secrets, theirs.id, copy)
    assert await db.run(user.id, mcp_configs.get_secrets, theirs.id) == SECRETS


async def test_secrets_of_a_configuration_put_under_a_freed_name_open_in_its_row(
    db: Database, user: User
) -> None:
    """Else a user who renames a server and sets up another has lost the secrets of both."""
    old = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets={"pin": 1})
    await db.run(user.id, mcp_configs.rename, old.id, "climate")
    new = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets={"pin": 2})
    for _ in range(2):  # put in place of what is there, too
        assert await db.run(user.id, mcp_configs.get_secrets, old.id) == {"pin": 1}
        assert await db.run(user.id, mcp_configs.get_secrets, new.id) == {"pin": 2}
        put = await db.run(user.id, mcp_configs.put, "weather", STDIO, secrets={"pin": 2})
        assert (put.id, put.has_secrets) == (new.id, True)


async def rotate(db: Database) -> list[UUID]:
    done: list[tuple[UUID, UUID]] = []
    while batch := await db.run_system(mcp_configs.rotate_secrets, *done[-1:], limit=2):
        done += batch
    return [id_ for _, id_ in done]


async def test_after_a_rotation_the_old_key_may_go(fresh_database_url: str) -> None:
    old, new = encryption.generate_key(), encryption.generate_key()
    made = {}
    async with opened(fresh_database_url, old) as db:
        for name in "abc":
            user = await db.run_system(users.create, subject_id=name)
            for config in "de":
                put = await db.run(
                    user.id, mcp_configs.put, config, STDIO, secrets={"token": name + config}
                )
                made[put.id] = (user.id, {"token": name + config})
            await db.run(user.id, mcp_configs.put, "without", STDIO)
        assert await db.run_system(mcp_configs.count_secrets) == 6
        with pytest.raises(InvalidInput, match="limit"):
            await db.run_system(mcp_configs.rotate_secrets, limit=0)
    async with opened(fresh_database_url, new) as db:
        with pytest.raises(DatabaseError, match="no key"):
            await rotate(db)
    async with opened(fresh_database_url, new, old) as db:
        assert sorted(await rotate(db)) == sorted(made)
    async with opened(fresh_database_url, new) as db:
        for id_, (user_id, secrets) in made.items():
            assert await db.run(user_id, mcp_configs.get_secrets, id_) == secrets


async def test_rotating_across_users_needs_the_runner_across_users(
    db: Database, user: User, other_user: User
) -> None:
    for owner in (user, other_user):
        await db.run(owner.id, mcp_configs.put, "weather", STDIO, secrets=SECRETS)
    count: Callable[..., Any] = mcp_configs.count_secrets
    assert await db.run(user.id, count) == 1

    async def misled(scope: SystemScope) -> Any:
        return await mcp_configs.get_secrets(scope, uuid7())  # type: ignore[arg-type]  # the call must refuse it

    with pytest.raises(NotFound):
        await db.run_system(misled)


@pytest.mark.parametrize(
    ("unit", "given", "field"),
    [
        (mcp_configs.put, {"name": " "}, "name"),
        (mcp_configs.put, {"name": "a" * 101}, "name"),
        (mcp_configs.put, {"enabled": "yes"}, "enabled"),
        (mcp_configs.put, {"config": {}}, "config"),
        (mcp_configs.put, {"config": []}, "config"),
        (mcp_configs.put, {"config": {"command": ""}}, "config"),
        (mcp_configs.put, {"config": {"command": "a", "args": "b"}}, "config"),
        (mcp_configs.put, {"config": {"command": "a", "args": [1]}}, "config"),
        (mcp_configs.put, {"config": {"command": "a", "url": "https://example.com"}}, "config"),
        (mcp_configs.put, {"config": {"transport": "pigeon", "command": "a"}}, "config"),
        (mcp_configs.put, {"config": {"transport": ["stdio"], "command": "a"}}, "config"),
        (mcp_configs.put, {"config": {"url": "ftp://example.com"}}, "config"),
        (mcp_configs.put, {"config": {"url": "https://[::1"}}, "config"),
        (mcp_configs.put, {"config": {"url": "https://me:canary@example.com"}}, "config"),
        (mcp_configs.put, {"config": {"command": "a", "env": {"TOKEN": "canary"}}}, "config"),
        (mcp_configs.put, {"config": SSE | {"headers": {}}}, "config"),
        (mcp_configs.put, {"secrets": ["canary"]}, "secrets"),
        (mcp_configs.put, {"secrets": []}, "secrets"),
        (mcp_configs.put, {"secrets": {"env": ["canary"]}}, "secrets"),
        (mcp_configs.put, {"secrets": {"headers": {"a": 1}}}, "secrets"),
        (mcp_configs.put, {"secrets": {"a": "\x00"}}, "secrets"),
        (mcp_configs.get, {"config_id": "7"}, "id"),
        (mcp_configs.by_name, {"name": ""}, "name"),
        (mcp_configs.get_secrets, {"config_id": "7"}, "id"),
        (mcp_configs.rename, {"config_id": uuid7(), "name": ""}, "name"),
        (mcp_configs.enable, {"config_id": "7"}, "id"),
        (mcp_configs.disable, {"config_id": "7"}, "id"),
        (mcp_configs.delete, {"config_id": "7"}, "id"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, user: User, unit: Any, given: dict[str, Any], field: str
) -> None:
    if unit is mcp_configs.put:
        given = {"name": "weather", "config": STDIO} | given
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, unit, **given)
    assert refusal.value.field == f"mcp_configs.{field}"
    assert "canary" not in str(refusal.value)
    assert (await db.run(user.id, mcp_configs.page)).items == []
