"""Tokens for MCP servers: kept as a storage in memory keeps them, and out of sight."""

import asyncio
import json
import logging
import os
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl, SecretStr
from sqlalchemy import text
from tests.commands import COMMAND
from tests.locks import pid, until_blocked_by

from faceplate import (
    ConfigurationError,
    Database,
    DatabaseError,
    InvalidInput,
    Settings,
    SystemScope,
    User,
    encryption,
)
from faceplate.erasure import erase
from faceplate.export import write
from faceplate.integrations.mcp.tokens import FaceplateTokenStorage
from faceplate.services import _mcp_tokens, documents, mcp_configs, users

URL = "https://example.com/mcp?workspace=" + "w" * 5_000 + "&key=canary-url"
TOKENS = OAuthToken(
    access_token="canary-access",
    token_type="Bearer",
    expires_in=3600,
    scope="read write",
    refresh_token="canary-refresh",
)
CLIENT = OAuthClientInformationFull(
    client_id="client 1",
    client_secret="canary-client",
    client_id_issued_at=1_700_000_000,
    redirect_uris=[AnyUrl("http://localhost:3030/callback?a=b")],
    token_endpoint_auth_method="client_secret_post",
    grant_types=["authorization_code", "refresh_token"],
    scope="read write",
    client_name="a product",
)


class Storage(Protocol):
    async def get_tokens(self) -> OAuthToken | None: ...
    async def set_tokens(self, tokens: OAuthToken) -> None: ...
    async def get_client_info(self) -> OAuthClientInformationFull | None: ...
    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None: ...


class InMemory:
    """What the SDK's documentation has a program write."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client_info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client_info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client_info = client_info


@pytest.fixture(params=["in memory", "faceplate"])
def storage(request: pytest.FixtureRequest, db: Database, user: User) -> Storage:
    if request.param == "in memory":
        return InMemory()
    return FaceplateTokenStorage(db, user.id, URL)


async def stored_text(db: Database) -> str:
    """Everything in the table of documents, as text."""

    async def select(scope: SystemScope) -> str:
        rows = await scope.session.execute(text("SELECT d::text FROM faceplate.documents d"))
        return "\n".join(rows.scalars())

    return await db.run_system(select)


@asynccontextmanager
async def opened(url: str, *keys: str) -> AsyncIterator[Database]:
    encryption_keys = tuple(map(SecretStr, keys))
    async with Database(
        Settings(database_url=SecretStr(url), encryption_keys=encryption_keys)
    ) as database:
        yield database


async def rotate(db: Database) -> int:
    rotated = 0
    batch = await db.run_system(_mcp_tokens.rotate, limit=2)
    while batch:
        rotated += len(batch)
        batch = await db.run_system(_mcp_tokens.rotate, batch[-1], limit=2)
    return rotated


async def test_nothing_is_there_at_first(storage: Storage) -> None:
    assert await storage.get_tokens() is None
    assert await storage.get_client_info() is None


async def test_each_half_comes_back_as_it_was_set(storage: Storage) -> None:
    await storage.set_tokens(TOKENS)
    assert await storage.get_tokens() == TOKENS
    assert await storage.get_client_info() is None
    await storage.set_client_info(CLIENT)
    assert await storage.get_client_info() == CLIENT
    assert await storage.get_tokens() == TOKENS


async def test_setting_again_replaces_a_half_as_a_whole(storage: Storage) -> None:
    """A refresh token that the server has taken back must not come back."""
    await storage.set_tokens(TOKENS)
    await storage.set_client_info(CLIENT)
    await storage.set_tokens(OAuthToken(access_token="second"))
    assert await storage.get_tokens() == OAuthToken(access_token="second")
    assert await storage.get_client_info() == CLIENT
    await storage.set_client_info(CLIENT.model_copy(update={"client_secret": None}))
    client = await storage.get_client_info()
    assert client is not None
    assert client.client_secret is None
    assert await storage.get_tokens() == OAuthToken(access_token="second")


async def test_fields_that_are_left_to_their_defaults_stay_defaults(storage: Storage) -> None:
    least = OAuthToken(access_token='\u00e9\U0001f511 "quoted"')
    await storage.set_tokens(least)
    assert await storage.get_tokens() == least
    client = OAuthClientInformationFull(client_id="x", redirect_uris=[AnyUrl("http://a.example/")])
    await storage.set_client_info(client)
    assert await storage.get_client_info() == client


async def test_a_user_and_a_server_have_their_own(
    db: Database, user: User, other_user: User
) -> None:
    """Else a user would act at the server as somebody else."""
    await FaceplateTokenStorage(db, user.id, URL).set_tokens(TOKENS)
    await FaceplateTokenStorage(db, user.id, URL).set_client_info(CLIENT)
    for other in (
        FaceplateTokenStorage(db, other_user.id, URL),
        FaceplateTokenStorage(db, user.id, URL + "x"),
        FaceplateTokenStorage(db, user.id, URL.partition("?")[0]),
    ):
        assert await other.get_tokens() is None
        assert await other.get_client_info() is None
        await other.clear()
    assert await FaceplateTokenStorage(db, user.id, URL).get_tokens() == TOKENS


async def test_two_writers_never_mix(db: Database, user: User) -> None:
    """Two processes that refresh at once: the last one wins, with all of its own."""
    mine, theirs = (FaceplateTokenStorage(db, user.id, URL) for _ in range(2))

    def pair(number: int) -> OAuthToken:
        return OAuthToken(access_token=f"a{number}", refresh_token=f"r{number}", expires_in=number)

    await asyncio.gather(
        *(mine.set_tokens(pair(number)) for number in range(1, 10)),
        *(theirs.set_tokens(pair(number)) for number in range(10, 20)),
        mine.set_client_info(CLIENT),
    )
    found = await mine.get_tokens()
    assert found is not None
    assert found == pair(int(found.access_token[1:]))
    assert await theirs.get_client_info() == CLIENT
    await theirs.set_tokens(pair(99))
    assert await mine.get_tokens() == pair(99)


async def test_when_the_tokens_expire_is_known_after_a_restart(db: Database, user: User) -> None:
    """Else an expired token would be sent, and the user asked to sign in again."""
    storage = FaceplateTokenStorage(db, user.id, URL)
    assert await storage.expires_at() is None
    before = time.time()
    await storage.set_tokens(TOKENS)
    expires_at = await FaceplateTokenStorage(db, user.id, URL).expires_at()
    assert expires_at is not None
    assert before + 3600 <= expires_at <= time.time() + 3600
    await storage.set_tokens(OAuthToken(access_token="for ever"))
    assert await storage.expires_at() is None


async def test_signing_out_removes_both_halves(db: Database, user: User) -> None:
    storage = FaceplateTokenStorage(db, user.id, URL)
    await storage.set_tokens(TOKENS)
    await storage.set_client_info(CLIENT)
    await storage.clear()
    assert (await storage.get_tokens(), await storage.get_client_info()) == (None, None)
    assert (await db.run(user.id, documents.page, _mcp_tokens.KIND)).items == []
    await storage.clear()


async def test_nothing_is_stored_or_shown_in_clear(
    db: Database, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    """What a backup, a log or an error tracker sees must not sign anybody in."""
    caplog.set_level(logging.DEBUG)
    storage = FaceplateTokenStorage(db, user.id, URL)
    await storage.set_tokens(TOKENS)
    await storage.set_client_info(CLIENT)
    seen = await stored_text(db) + repr(storage) + caplog.text
    assert "faceplate.mcp-tokens" in seen
    assert "canary" not in seen


async def test_a_key_that_does_not_fit_shows_nothing(db: Database, user: User) -> None:
    await FaceplateTokenStorage(db, user.id, URL).set_tokens(TOKENS)
    other = encryption.generate_key()
    async with opened(db.settings.dsn, other) as elsewhere:
        with pytest.raises(DatabaseError, match="no key") as caught:
            await FaceplateTokenStorage(elsewhere, user.id, URL).get_tokens()
    assert "canary" not in str(caught.value)


async def test_without_a_key_no_token_is_stored(settings: Settings, user: User) -> None:
    async with Database(settings) as db:
        storage = FaceplateTokenStorage(db, user.id, URL)
        assert await storage.get_tokens() is None
        with pytest.raises(ConfigurationError, match="secrets need a key"):
            await storage.set_tokens(TOKENS)
        assert await storage.get_tokens() is None


async def test_a_token_that_is_copied_to_another_row_does_not_open_there(
    db: Database, user: User, other_user: User
) -> None:
    """Who may write SQL must not give themselves the tokens of others."""
    await FaceplateTokenStorage(db, user.id, URL).set_tokens(TOKENS)
    [stored] = (await db.run(user.id, documents.page, _mcp_tokens.KIND)).items
    await db.run(other_user.id, documents.put, stored.kind, stored.key, stored.body)
    with pytest.raises(DatabaseError, match="another row"):
        await FaceplateTokenStorage(db, other_user.id, URL).get_tokens()
    await db.run(user.id, documents.put, stored.kind, stored.key, "{}")
    with pytest.raises(DatabaseError, match="no key"):
        await FaceplateTokenStorage(db, user.id, URL).get_tokens()


async def test_what_another_version_of_the_sdk_stored_is_refused_without_showing_it(
    db: Database, user: User
) -> None:
    await db.run(user.id, _mcp_tokens.put, URL, "tokens", {"tokens": {"access_token": ["canary"]}})
    storage = FaceplateTokenStorage(db, user.id, URL)
    with pytest.raises(DatabaseError, match="cannot read the stored OAuthToken") as caught:
        await storage.get_tokens()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    await storage.set_tokens(TOKENS)
    assert await storage.get_tokens() == TOKENS


@pytest.mark.parametrize("url", ["", "  ", "x" * 65_537, b"https://example.com"])
async def test_a_url_that_is_none_is_refused(db: Database, user: User, url: Any) -> None:
    with pytest.raises(InvalidInput, match="server_url"):
        await FaceplateTokenStorage(db, user.id, url).set_tokens(TOKENS)


async def test_after_a_rotation_the_old_key_may_go(fresh_database_url: str) -> None:
    """Tokens of all users, and beside them documents of another kind that are left alone."""
    old, new = encryption.generate_key(), encryption.generate_key()
    owners = []
    async with opened(fresh_database_url, old) as db:
        for name in "abc":
            owner = await db.run_system(users.create, subject_id=name)
            await FaceplateTokenStorage(db, owner.id, URL).set_tokens(TOKENS)
            await FaceplateTokenStorage(db, owner.id, URL).set_client_info(CLIENT)
            await db.run(owner.id, documents.put, "state", "a", '"plain"')
            owners.append(owner.id)
        assert await db.run_system(_mcp_tokens.count) == 6
    async with opened(fresh_database_url, new) as db:
        with pytest.raises(DatabaseError, match=r"MCP tokens \w+/client of user .*: no key"):
            await rotate(db)
    async with opened(fresh_database_url, new, old) as db:
        assert await rotate(db) == 6
    async with opened(fresh_database_url, new) as db:
        for owner_id in owners:
            storage = FaceplateTokenStorage(db, owner_id, URL)
            assert await storage.get_tokens() == TOKENS
            assert await storage.get_client_info() == CLIENT
            state = await db.run(owner_id, documents.get, "state", "a")
            assert (state.body, state.version) == ('"plain"', 1)


async def test_tokens_that_are_set_during_a_rotation_have_the_last_word(
    fresh_database_url: str,
) -> None:
    """A rotation must not bring back a refresh token that was used up."""
    old, new = encryption.generate_key(), encryption.generate_key()
    fresh = OAuthToken(access_token="fresh")
    async with (
        opened(fresh_database_url, old, new) as program,
        opened(fresh_database_url, new, old) as command,
    ):
        user = await program.run_system(users.create, subject_id="somebody")
        storage = FaceplateTokenStorage(program, user.id, URL)
        await storage.set_tokens(TOKENS)

        async def rotate_slowly(scope: SystemScope) -> list[_mcp_tokens.Place]:
            done = await _mcp_tokens.rotate(scope)
            writing.append(asyncio.create_task(storage.set_tokens(fresh)))
            return done

        writing: list[asyncio.Task[None]] = []
        assert len(await command.run_system(rotate_slowly)) == 1
        await writing[0]
        assert await storage.get_tokens() == fresh
        async with program.begin(user.id) as scope:
            await _mcp_tokens.put(scope, URL, "tokens", {"tokens": {"access_token": "newer"}})
            rotation = asyncio.create_task(command.run_system(_mcp_tokens.rotate))
            await until_blocked_by(command, await pid(scope))
        assert len(await rotation) == 1
        assert await storage.get_tokens() == OAuthToken(access_token="newer")


async def test_an_export_has_no_tokens_and_an_erasure_leaves_none(db: Database, user: User) -> None:
    """What the user downloads must not sign anybody in, and what they delete must be gone."""
    storage = FaceplateTokenStorage(db, user.id, URL)
    await storage.set_tokens(TOKENS)
    await storage.set_client_info(CLIENT)
    await db.run(user.id, documents.put, "state", "a", '"kept"')
    lines: list[bytes] = []
    held = await write(db, user.id, lines.append)
    exported = b"".join(lines).decode()
    assert held["documents"] == 1
    assert '"kept"' in json.loads(lines[-2])["document"]["body"]
    assert "mcp-tokens" not in exported
    assert "canary" not in exported
    await erase(db, user.id)
    assert str(user.id) not in await stored_text(db)


async def test_the_command_re_encrypts_tokens_and_secrets(fresh_database_url: str) -> None:
    old, new = encryption.generate_key(), encryption.generate_key()
    async with opened(fresh_database_url, old) as db:
        user = await db.run_system(users.create, subject_id="somebody")
        await FaceplateTokenStorage(db, user.id, URL).set_tokens(TOKENS)
        await db.run(user.id, mcp_configs.put, "a", {"command": "uvx"}, secrets={"env": {"A": "b"}})
    environment = {"DATABASE_URL": fresh_database_url, "FACEPLATE_ENCRYPTION_KEYS": f"{new},{old}"}
    command = await asyncio.create_subprocess_exec(
        *COMMAND, "rotate-keys", "--json", env={**os.environ, **environment}, stdout=PIPE
    )
    printed, _ = await command.communicate()
    assert json.loads(printed) == {"rotated": 2}
    async with opened(fresh_database_url, new) as db:
        assert await FaceplateTokenStorage(db, user.id, URL).get_tokens() == TOKENS
