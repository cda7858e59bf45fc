"""What MCP stores when connections break, callers are cancelled, and processes race."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl, SecretStr

from faceplate import CommitOutcomeUnknown, ConnectionLost, Database, Settings, User
from faceplate.integrations.mcp import _tools
from faceplate.integrations.mcp.tokens import FaceplateTokenStorage
from faceplate.integrations.web import UserRunner
from faceplate.services import _mcp_tokens, conversations, documents, messages
from faceplate.testing._faults import Faults
from faceplate.testing._proxy import Proxy

URL = "https://example.com/mcp"
TOOLS = {tool.name: tool for tool in _tools.ALL}
CLIENT = OAuthClientInformationFull(client_id="c", redirect_uris=[AnyUrl("https://a.example/")])


def pair(number: int) -> OAuthToken:
    return OAuthToken(access_token=f"a{number}", refresh_token=f"r{number}", expires_in=number)


@pytest.fixture
async def broken(db: Database, database_url: str) -> AsyncIterator[tuple[Database, Faults]]:
    """The same database over a connection that breaks as planned."""
    proxy = Proxy(database_url)
    async with proxy.listening() as url:
        settings = Settings(
            database_url=SecretStr(url), encryption_keys=db.settings.encryption_keys
        )
        async with Database(settings) as database:
            yield database, Faults(proxy)


async def versions(db: Database, user: User) -> list[int]:
    page = await db.run(user.id, documents.page, _mcp_tokens.KIND)
    return [document.version for document in page.items]


@pytest.mark.parametrize("at", ["statement", "commit"])
async def test_tokens_are_stored_once_over_a_connection_that_is_lost(
    db: Database, user: User, broken: tuple[Database, Faults], at: str
) -> None:
    database, faults = broken
    storage = FaceplateTokenStorage(database, user.id, URL)
    faults.lose_connection(at)  # type: ignore[arg-type]  # one of both
    await storage.set_tokens(pair(1))
    assert await storage.get_tokens() == pair(1)
    assert await versions(db, user) == [1]


async def test_tokens_stay_as_they_were_where_the_connection_stays_lost(
    db: Database, user: User, broken: tuple[Database, Faults]
) -> None:
    database, faults = broken
    await FaceplateTokenStorage(db, user.id, URL).set_tokens(pair(1))
    faults.lose_connection(times=2)
    with pytest.raises(ConnectionLost):
        await FaceplateTokenStorage(database, user.id, URL).set_tokens(pair(2))
    assert await FaceplateTokenStorage(db, user.id, URL).get_tokens() == pair(1)


@pytest.mark.parametrize("committed", [True, False])
async def test_an_unknown_outcome_leaves_whole_tokens(
    db: Database, user: User, broken: tuple[Database, Faults], *, committed: bool
) -> None:
    database, faults = broken
    await FaceplateTokenStorage(db, user.id, URL).set_tokens(pair(1))
    faults.fail_commit(committed=committed)
    with pytest.raises(CommitOutcomeUnknown):
        await FaceplateTokenStorage(database, user.id, URL).set_tokens(pair(2))
    stored = await FaceplateTokenStorage(db, user.id, URL).get_tokens()
    assert stored == pair(2 if committed else 1)


async def test_a_cancelled_writer_leaves_whole_tokens_and_the_other_half(
    db: Database, user: User
) -> None:
    """Else a user who closes the browser during a refresh has to sign in again."""
    storage = FaceplateTokenStorage(db, user.id, URL)
    await storage.set_client_info(CLIENT)
    await storage.set_tokens(pair(0))
    for number in range(1, 30):
        writing = asyncio.create_task(storage.set_tokens(pair(number)))
        for _ in range(number % 12):
            await asyncio.sleep(0)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        stored = await storage.get_tokens()
        assert stored is not None
        assert stored == pair(int(stored.access_token[1:]))
        assert await storage.get_client_info() == CLIENT


async def test_a_note_is_appended_once_over_a_connection_that_is_lost(
    db: Database, user: User, broken: tuple[Database, Faults]
) -> None:
    database, faults = broken
    chat = await db.run(user.id, conversations.create)
    faults.lose_connection()
    given = {"conversation_id": str(chat.id), "content": "Noted."}
    await _tools.call(UserRunner(database, user.id), TOOLS, "append_message", given)
    assert len(await db.run(user.id, messages.history, chat.id)) == 1


async def test_an_agent_is_told_that_an_outcome_is_unknown(
    db: Database, user: User, broken: tuple[Database, Faults]
) -> None:
    database, faults = broken
    chat = await db.run(user.id, conversations.create)
    faults.lose_connection(times=2)
    given = {"conversation_id": str(chat.id), "content": "canary"}
    with pytest.raises(_tools.Refused, match="not known whether this was done") as caught:
        await _tools.call(UserRunner(database, user.id), TOOLS, "append_message", given)
    assert "canary" not in str(caught.value)
