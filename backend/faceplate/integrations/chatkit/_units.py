"""Units over threads and items of ChatKit: `faceplate.integrations.chatkit` runs them."""

from typing import Any
from uuid import UUID

from chatkit.types import ThreadItem, ThreadMetadata

from faceplate.errors import NotFound
from faceplate.integrations._sessions import DEFAULT_TITLE, key_of, message_id, title_of
from faceplate.integrations.chatkit._items import SOURCE, new_conversation, new_message, opening
from faceplate.scope import Scope
from faceplate.services import conversations, messages


def id_of(user_id: UUID, thread_id: str) -> UUID:
    """Return the id of a thread's conversation."""
    return conversations.id_of(user_id, source=SOURCE, key=key_of(thread_id))


async def save_thread(scope: Scope, thread: ThreadMetadata) -> None:
    """Store a thread, or replace the one there; without a title, it keeps the one it has."""
    new = new_conversation(thread)
    stored = await conversations.open(scope, **new._asdict())
    if stored.body != new.body:
        await conversations.replace_body(scope, stored.id, str(new.body))
    if title_of(thread.title) not in (None, stored.title):
        await conversations.rename(scope, stored.id, new.title)


async def name(scope: Scope, conversation_id: UUID, title: str) -> None:
    """Name a conversation by its first message, unless it has a title."""
    if (await conversations.lock(scope, conversation_id)).title == DEFAULT_TITLE:
        await conversations.rename(scope, conversation_id, title)


async def save_item(scope: Scope, thread_id: str, item: ThreadItem) -> None:
    """Replace an item in its place, or add it; what other programs store with it stays."""
    conversation_id = id_of(scope.user_id, thread_id)
    id_, new = message_id(conversation_id, item.id), new_message(conversation_id, item)
    try:
        stored = await messages.get(scope, conversation_id, id_)
    except NotFound:
        opens = opening(thread_id, item)
        await messages.append(scope, conversation_id, **new._asdict(), opens=opens)
        return
    says: dict[str, Any] = {"role": new.role, "content": new.content}
    if stored.tool_calls or stored.tool_results:  # of another program: no item has them
        if new.role is None:
            says = {"role": stored.role, "content": stored.content}
        if says["role"] == stored.role:
            says |= {"tool_calls": stored.tool_calls, "tool_results": stored.tool_results}
    await messages.replace(
        scope, conversation_id, id_, **says, metadata=stored.metadata, body=new.body
    )
