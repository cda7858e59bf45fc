"""An agent whose messages go into a chat of faceplate's, until its process is killed."""

from collections.abc import Callable
from itertools import count
from uuid import UUID

from tests.sdks.pydantic_ai.scripted import agent, unit

from faceplate import Database
from faceplate.integrations.pydantic_ai import from_pydantic_ai, to_pydantic_ai
from faceplate.services import conversations, messages


async def open_chat(db: Database, user_id: UUID) -> UUID:
    return (await db.run(user_id, conversations.open, source="test", key="killed")).id


async def write(db: Database, owner: str, label: str, acknowledge: Callable[[], None]) -> None:
    user_id = UUID(owner)
    chat_id = await open_chat(db, user_id)
    for number in count():
        history = to_pydantic_ai(await db.run(user_id, messages.everything, chat_id))
        result = await agent.run(unit(label, number)[0], message_history=history)
        new = from_pydantic_ai(result.new_messages())
        await db.run(user_id, messages.append_many, chat_id, new)
        acknowledge()
