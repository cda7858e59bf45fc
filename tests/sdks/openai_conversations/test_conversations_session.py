"""The Agents SDK's session of the Conversations API works against it."""

from typing import Any

import agents

from faceplate import Database, User
from faceplate.services import conversations, messages

TURN: list[Any] = [
    {"role": "user", "content": "Will it rain?"},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "rain"},
    {
        "type": "message",
        "id": "__fake_id__",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Yes.", "annotations": []}],
    },
]


def essence(item: Any) -> Any:
    """Return what an item says, without what the API fills in."""
    content = item.get("content")
    text = content if isinstance(content, str) or content is None else content[0]["text"]
    return item.get("type", "message"), item.get("role"), text, item.get("call_id")


def session_of(client: Any, id_: str | None = None) -> Any:
    return agents.OpenAIConversationsSession(conversation_id=id_, openai_client=client)


async def test_a_session_keeps_its_items(client: Any, db: Database, user: User) -> None:
    session = session_of(client)
    assert await session.get_items() == []
    many = [*TURN, *({"role": "user", "content": f"{number}"} for number in range(15))]
    await session.add_items(many)
    again = session_of(client, session.session_id)
    assert [*map(essence, await again.get_items())] == [*map(essence, many)]
    assert [*map(essence, await again.get_items(limit=3))] == [*map(essence, many[-3:])]
    [chat] = (await db.run(user.id, conversations.page)).items
    assert (chat.title, chat.source, chat.message_count) == ("Will it rain?", "openai", 19)
    history = await db.run(user.id, messages.history, chat.id, limit=60)
    assert [row.role for row in history[:4]] == ["user", "assistant", "tool", "assistant"]


async def test_a_session_pops_its_items_one_by_one(client: Any) -> None:
    session = session_of(client)
    await session.add_items(TURN)
    for item in reversed(TURN):
        assert essence(await session.pop_item()) == essence(item)
    assert await session.pop_item() is None
    await session.add_items(await session_of(client).get_items() or TURN)
    assert len(await session.get_items()) == 4


async def test_a_session_is_cleared(client: Any, db: Database, user: User) -> None:
    session = session_of(client)
    await session.add_items(TURN)
    await session.clear_session()
    assert (await db.run(user.id, conversations.page)).items == []
    assert await session.get_items() == []


async def test_items_that_come_back_from_a_session_are_appended_again(
    client: Any,
) -> None:
    """Else a session cannot be copied into another one."""
    session, copy = session_of(client), session_of(client)
    await session.add_items(TURN)
    items = await session.get_items()
    await copy.add_items(items)
    assert await copy.get_items() == items
