"""What was acknowledged is still there after the server was stopped and started."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from tests.units import Belongings, everything_of, settle_in

from faceplate import Database, Message, Scope, Settings, embedded, encryption, migrate
from faceplate.services import conversations, mcp_configs, messages


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that the server's account can reach, which pytest's own is not for root."""
    with tempfile.TemporaryDirectory(prefix="faceplate-test-") as name:
        Path(name).chmod(0o755)
        directory = Path(name) / "pg"
        yield directory
        if directory.exists():
            embedded.wipe(directory)


async def walk(scope: Scope, conversation_id: UUID) -> list[Message]:
    return [message async for message in messages.walk(scope, conversation_id)]


async def test_everything_is_read_back_after_a_restart(directory: Path) -> None:
    key = SecretStr(encryption.generate_key())

    def database() -> Database:
        url = SecretStr(embedded.start(directory).url)
        return Database(Settings(database_url=url, encryption_keys=(key,)))

    async with database() as db:
        await migrate.upgrade(db)
        people: list[Belongings] = [await settle_in(db) for _ in range(3)]
        rows = [await everything_of(db, person.user_id) for person in people]
        chats = [await db.run(p.user_id, walk, p.conversation_id) for p in people]
        lists = [await db.run(person.user_id, conversations.page) for person in people]
    embedded.stop(directory)

    async with database() as db:
        assert rows == [await everything_of(db, person.user_id) for person in people]
        assert chats == [await db.run(p.user_id, walk, p.conversation_id) for p in people]
        assert lists == [await db.run(person.user_id, conversations.page) for person in people]
        for person in people:
            secrets = await db.run(person.user_id, mcp_configs.get_secrets, person.config_id)
            assert secrets == {"token": person.subject_id}
            more = await db.run(
                person.user_id, messages.append, person.conversation_id, role="user"
            )
            assert more.position == chats[0][-1].position + 1
