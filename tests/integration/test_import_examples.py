"""The examples of every format in the database: stored once, and found again."""

from pathlib import Path

import pytest
from tests.chat_files import read_all, write
from tests.formats import examples

from faceplate import Database
from faceplate.importers import import_file
from faceplate.records import User
from faceplate.services import conversations, messages

EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_is_stored_once(
    db: Database, user: User, tmp_path: Path, name: str
) -> None:
    """A second import must not double a conversation or a message of it."""
    path = write(tmp_path / "chats.json", EXAMPLES[name])
    chats, _ = read_all(path)
    first = await import_file(db, user.id, path)
    assert (first.imported, first.refused) == (len({chat.key for chat in chats}), 0)
    assert first.messages == sum(len(chat.messages) for chat in chats)
    again = await import_file(db, user.id, path)
    assert (again.imported, again.messages, again.skipped) == (0, 0, len(chats))
    page = await db.run(user.id, conversations.page, limit=200)
    for chat in filter(lambda chat: chat.messages, chats):
        [conversation] = [each for each in page.items if each.key == chat.key]
        shown = await db.run(user.id, messages.history, conversation.id, limit=200)
        assert shown[-1].content == chat.messages[(chat.head or len(chat.messages)) - 1].content
