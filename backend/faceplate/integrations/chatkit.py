"""OpenAI ChatKit's ``Store`` over faceplate. It needs the ``chatkit`` extra.

::

    store = FaceplateStore(db, lambda context: context.user_id)
    server = MyChatKitServer(store)

A thread is a conversation, an item a message whose body is the item, and the record of an
attachment a document.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.errors import ConfigurationError, NotFound
from faceplate.importers.chats import derive_title
from faceplate.integrations._response_items import fit_text, from_json, to_json
from faceplate.integrations._sessions import DEFAULT_TITLE, aware, key_of, message_id, title_of
from faceplate.integrations._subjects import Subjects
from faceplate.scope import Scope
from faceplate.services import _by_creation, conversations, documents, messages
from faceplate.services.messages import MAX_LIMIT, NewConversation, NewMessage

try:
    from chatkit.store import NotFoundError, Store
    from chatkit.types import (
        AssistantMessageContent,
        AssistantMessageItem,
        Attachment,
        HiddenContextItem,
        InferenceOptions,
        Page,
        ThreadItem,
        ThreadMetadata,
        UserMessageItem,
        UserMessageTextContent,
        WidgetItem,
    )
    from pydantic import TypeAdapter, ValidationError
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "the store for ChatKit needs a package: pip install 'faceplate[chatkit]'"
    ) from missing

__all__ = ["ATTACHMENTS", "SOURCE", "FaceplateStore"]

Context = TypeVar("Context")
T = TypeVar("T")
R = TypeVar("R", ThreadMetadata, ThreadItem)

SOURCE: Final = "openai-chatkit"
"""The source of the conversations; their key is the thread's id."""
ATTACHMENTS: Final = "openai-chatkit attachment"
"""The kind of the documents that hold the records of attachments, by their ids."""

_THREAD = TypeAdapter(ThreadMetadata)
_ITEM: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class FaceplateStore(Store[Context], Generic[Context]):
    """ChatKit's threads, items and attachments as a user's conversations, messages and documents.

    ``user_of`` gets the context of each call and returns the user whom the application has
    authenticated: an id, or the identity provider's ``sub``, for which a user is made if there is
    none yet. Another user's thread is as one that does not exist.

    Threads and items are in the order of their ``created_at``; items of the same time, as they were
    added. A page has 1 to 1,000. What does not exist raises ChatKit's NotFoundError, and other
    errors are those of `Database.run`.
    """

    def __init__(self, db: Database, user_of: Callable[[Context], UUID | str]) -> None:
        self._db = db
        self._user_of = user_of
        self._subjects = Subjects(db)

    async def load_thread(self, thread_id: str, context: Context) -> ThreadMetadata:
        """Return a thread, under its newest title. Raises NotFoundError."""
        with _found(f"Thread {thread_id}"):
            row = await self._in_thread(
                thread_id, context, lambda user, id_: self._db.run(user, conversations.get, id_)
            )
        return _thread_of(row)

    async def save_thread(self, thread: ThreadMetadata, context: Context) -> None:
        """Store a thread, or replace the one there."""
        await self._for_user(context, lambda user: self._db.run(user, _save_thread, thread))

    async def delete_thread(self, thread_id: str, context: Context) -> None:
        """Delete a thread and its items, if there is one."""
        with suppress(NotFound):
            await self._in_thread(
                thread_id, context, lambda user, id_: self._db.run(user, conversations.delete, id_)
            )

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: Context
    ) -> Page[ThreadMetadata]:
        """Return up to ``limit`` threads that follow ``after``. Raises NotFoundError."""

        def load(user: UUID) -> Awaitable[list[records.Conversation]]:
            last = _conversation_id(user, after) if after else None
            asked = _asked(last, limit, order)
            return self._db.run(user, _by_creation.list_conversations, SOURCE, **asked)

        with _found(f"Thread {after}"):
            rows = await self._for_user(context, load)
        return _page_of([_thread_of(row) for row in rows], limit)

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Context
    ) -> Page[ThreadItem]:
        """Return up to ``limit`` items that follow ``after``. Raises NotFoundError.

        A thread that does not exist has no items.
        """

        def load(user: UUID, id_: UUID) -> Awaitable[list[records.Message]]:
            asked = _asked(message_id(id_, after) if after else None, limit, order)
            return self._db.run(user, _by_creation.list_messages, id_, **asked)

        with _found(f"Item {after}"):
            rows = await self._in_thread(thread_id, context, load)
        return _page_of([_item_of(row, thread_id) for row in rows], limit)

    async def load_item(self, thread_id: str, item_id: str, context: Context) -> ThreadItem:
        """Return an item. Raises NotFoundError."""

        def load(user: UUID, id_: UUID) -> Awaitable[records.Message]:
            return self._db.run(user, messages.get, id_, message_id(id_, item_id))

        with _found(f"Item {item_id}"):
            row = await self._in_thread(thread_id, context, load)
        return _item_of(row, thread_id)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        """Add an item, and make the thread if there is none.

        The same item is stored once. Raises Conflict where another one has its id.
        """

        async def add(user: UUID, id_: UUID) -> None:
            new, opens = _new_message(id_, item), _opens(thread_id, item)
            stored = await self._db.run(user, messages.append, id_, **new._asdict(), opens=opens)
            title = derive_title([new])
            if stored.position == 1 and title != DEFAULT_TITLE:
                await self._db.run(user, _name, id_, title)

        await self._in_thread(thread_id, context, add)

    async def save_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        """Replace an item in its place, or add it."""
        opens = _opens(thread_id, item)
        await self._in_thread(
            thread_id, context, lambda user, id_: self._db.run(user, _save_item, id_, item, opens)
        )

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Context) -> None:
        """Remove an item, if there is one; those after it stay."""

        def remove(user: UUID, id_: UUID) -> Awaitable[records.Message]:
            return self._db.run(user, messages.remove_one, id_, message_id(id_, item_id))

        with suppress(NotFound):
            await self._in_thread(thread_id, context, remove)

    async def save_attachment(self, attachment: Attachment, context: Context) -> None:
        """Store the record of an attachment, or replace the one there."""
        said = (ATTACHMENTS, key_of(attachment.id), _json(_ATTACHMENT, attachment))
        await self._for_user(context, lambda user: self._db.run(user, documents.put, *said))

    async def load_attachment(self, attachment_id: str, context: Context) -> Attachment:
        """Return the record of an attachment. Raises NotFoundError."""
        place = (ATTACHMENTS, key_of(attachment_id))
        with _found(f"Attachment {attachment_id}"):
            found = await self._for_user(
                context, lambda user: self._db.run(user, documents.get, *place)
            )
        return _ATTACHMENT.validate_python(from_json(found.body))

    async def delete_attachment(self, attachment_id: str, context: Context) -> None:
        """Remove the record of an attachment, if there is one."""
        place = (ATTACHMENTS, key_of(attachment_id))
        with suppress(NotFound):
            await self._for_user(context, lambda user: self._db.run(user, documents.remove, *place))

    async def _for_user(self, context: Context, act: Callable[[UUID], Awaitable[T]]) -> T:
        who = self._user_of(context)
        if isinstance(who, UUID):
            return await act(who)
        return await self._subjects.call(self._subjects.ensure, who, act)

    async def _in_thread(
        self, thread_id: str, context: Context, act: Callable[[UUID, UUID], Awaitable[T]]
    ) -> T:
        return await self._for_user(
            context, lambda user: act(user, _conversation_id(user, thread_id))
        )


@contextmanager
def _found(what: str) -> Iterator[None]:
    try:
        yield
    except NotFound:
        raise NotFoundError(f"{what} not found") from None


async def _save_thread(scope: Scope, thread: ThreadMetadata) -> None:
    title, body = title_of(thread.title), _json(_THREAD, thread)
    stored = await conversations.open(
        scope,
        source=SOURCE,
        key=key_of(thread.id),
        title=title or DEFAULT_TITLE,
        body=body,
        created_at=aware(thread.created_at),
    )
    if stored.body != body:
        await conversations.replace_body(scope, stored.id, body)
    if title and stored.title != title:
        await conversations.rename(scope, stored.id, title)


async def _name(scope: Scope, conversation_id: UUID, title: str) -> None:
    """Name a conversation by its first message, unless it has a title."""
    if (await conversations.lock(scope, conversation_id)).title == DEFAULT_TITLE:
        await conversations.rename(scope, conversation_id, title)


async def _save_item(
    scope: Scope, conversation_id: UUID, item: ThreadItem, opens: NewConversation
) -> None:
    new = _new_message(conversation_id, item)
    id_ = message_id(conversation_id, item.id)
    try:
        stored = await messages.get(scope, conversation_id, id_)
    except NotFound:
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


def _conversation_id(user_id: UUID, thread_id: str) -> UUID:
    return conversations.id_of(user_id, source=SOURCE, key=key_of(thread_id))


def _asked(after: UUID | None, limit: int, order: str) -> Any:
    """Return what a list is asked for: one more than its page has."""
    return {"after": after, "limit": _size(limit) + 1, "descending": order == "desc"}


def _size(limit: int) -> int:
    """Return how many a page has."""
    return max(1, min(limit, MAX_LIMIT))


def _page_of(found: list[R], limit: int) -> Page[R]:
    has_more = len(found) > _size(limit)
    data = found[:-1] if has_more else found
    return Page(data=data, has_more=has_more, after=data[-1].id if has_more else None)


def _json(adapter: TypeAdapter[Any], value: object) -> str:
    return to_json(adapter.dump_python(value, mode="json"))


def _thread_of(row: records.Conversation) -> ThreadMetadata:
    """Return the thread in a body; a title that was changed elsewhere counts."""
    try:
        thread = _THREAD.validate_python(from_json(row.body or "null"))
    except ValidationError:
        return ThreadMetadata(id=row.key or "", title=row.title, created_at=row.created_at)
    if title_of(thread.title) not in (None, row.title):
        thread.title = row.title
    return thread


def _opens(thread_id: str, item: ThreadItem) -> NewConversation:
    """Return the conversation of a thread that was never saved."""
    thread = ThreadMetadata(id=thread_id, created_at=item.created_at)
    return NewConversation(SOURCE, key_of(thread_id), DEFAULT_TITLE, body=_json(_THREAD, thread))


def _new_message(conversation_id: UUID, item: ThreadItem) -> NewMessage:
    role, text = _shown(item)
    return NewMessage(
        role,
        fit_text(text),
        id=message_id(conversation_id, item.id),
        body=_json(_ITEM, item),
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


def _item_of(row: records.Message, thread_id: str) -> ThreadItem:
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
