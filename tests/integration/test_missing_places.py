"""What names a message or a conversation that is not there: the error says which is missing."""

from typing import Any

import pytest
from uuid6 import uuid7

from faceplate import Conversation, Database, InvalidInput, Message, NotFound, User
from faceplate.services import conversations, messages
from faceplate.services.messages import NewConversation


@pytest.fixture
async def conversation(db: Database, user: User) -> Conversation:
    return await db.run(user.id, conversations.create)


@pytest.mark.parametrize("name", ["before", "after", "remove"])
async def test_an_id_that_is_not_there_is_a_message_that_is_missing(
    db: Database, user: User, conversation: Conversation, name: str
) -> None:
    """Else a handler answers that an int was not found."""
    await db.run(user.id, messages.append, conversation.id, role="user", content="Hi")
    with pytest.raises(NotFound, match="message not found") as missing:
        await db.run(user.id, getattr(messages, name), conversation.id, uuid7())
    assert missing.value.record is Message


async def test_no_calls_are_pending_on_a_path_that_is_not_there(
    db: Database, user: User, conversation: Conversation
) -> None:
    """Else a caller with a wrong leaf believes that every call was answered."""
    await db.run(user.id, messages.append, conversation.id, role="user", content="Hi")
    assert await db.run(user.id, messages.pending_tool_calls, conversation.id, leaf=1) == []
    for leaf in (0, 2):
        with pytest.raises(NotFound, match="message not found"):
            await db.run(user.id, messages.pending_tool_calls, conversation.id, leaf=leaf)
    with pytest.raises(NotFound, match="conversation not found"):
        await db.run(user.id, messages.pending_tool_calls, uuid7())


@pytest.mark.parametrize(
    ("opens", "field", "rule"),
    [
        ({"source": "a", "key": "b"}, "opens", "must be a NewConversation"),
        (NewConversation(source="a"), "opens.key", "with a source, or neither"),
        (NewConversation(key="b"), "opens.key", "with a source, or neither"),
        (NewConversation("a", "b"), "conversation_id", r"must be conversations\.id_of"),
    ],
)
async def test_what_cannot_be_opened_is_refused_by_name(
    db: Database, user: User, opens: Any, field: str, rule: str
) -> None:
    id_ = uuid7()
    with pytest.raises(InvalidInput, match=rule) as refusal:
        await db.run(user.id, messages.append, id_, role="user", content="Hi", opens=opens)
    assert refusal.value.field == field
    with pytest.raises(NotFound):
        await db.run(user.id, conversations.get, id_)
