"""What an import has stored."""

from faceplate import Database
from faceplate.records import Conversation, Message, User
from faceplate.services import conversations, messages

Stored = dict[str, tuple[Conversation, list[Message]]]


async def stored(db: Database, user: User) -> Stored:
    """Return all conversations of a user with their paths, by the titles."""
    page = await db.run(user.id, conversations.page, limit=200)
    found = {}
    for conversation in page.items:
        history = await db.run(user.id, messages.history, conversation.id, limit=200)
        found[conversation.title] = (conversation, history)
    assert len(found) == len(page.items)
    return found


def contents(found: Stored) -> dict[str, list[str]]:
    return {title: [m.content for m in history] for title, (_, history) in found.items()}
