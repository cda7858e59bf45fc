"""The documents that hold tokens for MCP servers: each part by itself, encrypted, never exported.

tests/sdks/mcp shows them by the SDK.
"""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from faceplate import Database, Settings, SystemScope, User, encryption
from faceplate.export import write
from faceplate.services import _mcp_tokens, documents, users

URL = "https://example.com/mcp?key=canary"
TOKENS = {"access_token": "canary", "expires_in": 2**40}
CLIENT = {"client_id": "canary"}


async def test_each_part_is_stored_encrypted_and_by_itself(keyed: Database, user: User) -> None:
    """Else a refresh loses the registration, or a backup has tokens in it."""
    assert await keyed.run(user.id, _mcp_tokens.get, URL, "tokens") is None
    await keyed.run(user.id, _mcp_tokens.put, URL, "tokens", {"access_token": "older"})
    await keyed.run(user.id, _mcp_tokens.put, URL, "client", CLIENT)
    await keyed.run(user.id, _mcp_tokens.put, URL, "tokens", TOKENS)
    assert await keyed.run(user.id, _mcp_tokens.get, URL, "tokens") == TOKENS
    assert await keyed.run(user.id, _mcp_tokens.get, URL, "client") == CLIENT
    page = await keyed.run(user.id, documents.page, _mcp_tokens.KIND)
    assert len(page.items) == 2
    assert "canary" not in str([*map(tuple, page.items)])
    await keyed.run(user.id, _mcp_tokens.remove, URL)
    assert await keyed.run(user.id, _mcp_tokens.get, URL, "client") is None


async def test_an_archive_has_every_document_but_these(keyed: Database, user: User) -> None:
    """Else what a user downloads outlives the keys that were changed."""
    await keyed.run(user.id, _mcp_tokens.put, URL, "tokens", TOKENS)
    await keyed.run(user.id, documents.put, "state", "a", '"kept"')
    lines: list[bytes] = []
    held = await write(keyed, user.id, lines.append)
    [document] = [line for line in map(json.loads, lines) if "document" in line]
    assert (document["document"]["body"], held["documents"]) == ('"kept"', 1)


async def test_a_rotation_goes_through_the_parts_of_all_users(fresh_database_url: str) -> None:
    """Else the old key can never be removed, or takes tokens along."""
    old, new = (SecretStr(encryption.generate_key()) for _ in range(2))

    def under(*keys: SecretStr) -> Database:
        url = SecretStr(fresh_database_url)
        return Database(Settings(database_url=url, encryption_keys=keys))

    async with under(old) as db:
        owners = [
            (await db.run_system(users.create, subject_id=name)).id for name in ("a", "b", "c")
        ]
        for owner in owners:
            await db.run(owner, _mcp_tokens.put, URL, "tokens", TOKENS)
    async with under(new, old) as db:
        assert await db.run_system(_mcp_tokens.count) == 3
        first = await db.run_system(_mcp_tokens.rotate, limit=2)
        rest = await db.run_system(_mcp_tokens.rotate, first[-1], limit=2)
        assert [place[0] for place in first + rest] == sorted(owners)
        assert await db.run_system(_mcp_tokens.rotate, rest[-1]) == []
    async with under(new) as db:
        for owner in owners:
            assert await db.run(owner, _mcp_tokens.get, URL, "tokens") == TOKENS


class ReadsEarly:
    """The scope of a rotation, at which something happens once the rows to rotate are read."""

    def __init__(self, scope: SystemScope, happens: Any) -> None:
        self._scope = scope
        self._happens = happens

    async def all(self, *of: Any, **values: Any) -> Any:
        rows = await self._scope.all(*of, **values)
        await self._happens()
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope, name)


@pytest.mark.parametrize("signs_out", [False, True])
async def test_a_rotation_does_not_bring_back_what_was_replaced_meanwhile(
    keyed: Database, user: User, *, signs_out: bool
) -> None:
    """A user who signs out and in again would be back on the tokens that were given up."""
    await keyed.run(user.id, _mcp_tokens.put, URL, "tokens", TOKENS)

    async def sign_in_again() -> None:
        if signs_out:
            await keyed.run(user.id, _mcp_tokens.remove, URL)
        await keyed.run(user.id, _mcp_tokens.put, URL, "tokens", {"access_token": "fresh"})

    async def rotate(scope: SystemScope) -> list[_mcp_tokens.Place]:
        early: Any = ReadsEarly(scope, sign_in_again)
        before = (user.id, "")  # the database has tokens of other tests
        return await _mcp_tokens.rotate(early, before, limit=1)

    [(owner, _)] = await keyed.run_system(rotate)
    assert owner == user.id
    stored = await keyed.run(user.id, _mcp_tokens.get, URL, "tokens")
    assert stored == {"access_token": "fresh"}
