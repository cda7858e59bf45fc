"""Threads and items of ChatKit as conversations and messages, and back.

A body keeps the JSON of a thread or an item. Role and content are what a reader of the chat sees.
"""

from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    HiddenContextItem,
    InferenceOptions,
    ThreadItem,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTextContent,
    WidgetItem,
)
from pydantic import TypeAdapter, ValidationError

from faceplate import records
from faceplate.integrations._response_items import fit_text, from_json, to_json
from faceplate.integrations._sessions import DEFAULT_TITLE, aware, key_of, message_id, title_of
from faceplate.services.messages import NewConversation, NewMessage

SOURCE: Final = "openai-chatkit"
"""The source of the conversations; their key is the thread's id."""

_THREAD = TypeAdapter(ThreadMetadata)
_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)


def dump_json(adapter: TypeAdapter[Any], value: object) -> str:
    return to_json(adapter.dump_python(value, mode="json"))


def to_thread(row: records.Conversation) -> ThreadMetadata:
    """Return the thread in a body; a title that was changed elsewhere counts."""
    try:
        thread = _THREAD.validate_python(from_json(row.body or "null"))
    except ValidationError:
        return ThreadMetadata(id=row.key or "", title=row.title, created_at=row.created_at)
    if title_of(thread.title) not in (None, row.title):
        thread.title = row.title
    return thread


def new_conversation(thread: ThreadMetadata) -> NewConversation:
    return NewConversation(
        SOURCE,
        key_of(thread.id),
        title_of(thread.title) or DEFAULT_TITLE,
        body=dump_json(_THREAD, thread),
        created_at=aware(thread.created_at),
    )


def opening(thread_id: str, item: ThreadItem) -> NewConversation:
    """Return the conversation of a thread that was never saved, for its first item to make."""
    return new_conversation(ThreadMetadata(id=thread_id, created_at=item.created_at))


def new_message(conversation_id: UUID, item: ThreadItem) -> NewMessage:
    role, text = _shown(item)
    return NewMessage(
        role,
        fit_text(text),
        id=message_id(conversation_id, item.id),
        body=dump_json(_ITEM, item),
        created_at=aware(item.created_at),
    )


def _shown(item: ThreadItem) -> tuple[str | None, str]:
    """Return the role and the text that show an item to people and other programs."""
    match item:
        case UserMessageItem(content=content, attachments=attachments):
            names = [f"[{attachment.name}]" for attachment in attachments]
            return "user", "\n".join([*(part.text for part in content), *names])
        case AssistantMessageItem(content=content):
            return "assistant", "\n".join(part.text for part in content)
        case WidgetItem(copy_text=str(text)):
            return "assistant", text
    is_hidden = "hidden_context" in item.type or item.type == "end_of_turn"
    return None, "" if is_hidden else f"[{item.type}]"


def to_item(row: records.Message, thread_id: str) -> ThreadItem:
    """Return the item in a body, or the item that shows a message from elsewhere."""
    with suppress(ValidationError):
        return _ITEM.validate_python(from_json(row.body or "null"))
    about: Any = {"id": str(row.id), "thread_id": thread_id, "created_at": row.created_at}
    if row.role == "user":
        text = UserMessageTextContent(text=row.content)
        return UserMessageItem(content=[text], inference_options=InferenceOptions(), **about)
    if row.role == "assistant" and not row.tool_calls:
        return AssistantMessageItem(content=[AssistantMessageContent(text=row.content)], **about)
    names = ("role", "content", "tool_calls", "tool_results")
    content = {name: getattr(row, name) for name in names if getattr(row, name)}
    return HiddenContextItem(content=content, **about)
