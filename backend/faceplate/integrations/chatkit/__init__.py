"""OpenAI ChatKit's ``Store`` over faceplate. It needs the ``chatkit`` extra.

::

    store = FaceplateStore(db, lambda context: context.user_id)
    server = MyChatKitServer(store)

A thread is a conversation, an item a message whose body is the item, and the record of an
attachment a document.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.errors import ConfigurationError, NotFound
from faceplate.importers.chats import derive_title
from faceplate.integrations._response_items import from_json
from faceplate.integrations._sessions import DEFAULT_TITLE, key_of, message_id
from faceplate.integrations._subjects import Subjects
from faceplate.scope import Scope
from faceplate.services import _by_creation, conversations, documents, messages
from faceplate.services.messages import MAX_LIMIT

try:
    from chatkit.store import NotFoundError, Store
    from chatkit.types import Attachment, Page, ThreadItem, ThreadMetadata
    from pydantic import TypeAdapter
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "the store for ChatKit needs a package: pip install 'faceplate[chatkit]'"
    ) from missing

from faceplate.integrations.chatkit import _items, _units
from faceplate.integrations.chatkit._items import SOURCE

__all__ = ["ATTACHMENTS", "SOURCE", "FaceplateStore"]

Context = TypeVar("Context")
P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", ThreadMetadata, ThreadItem)

ATTACHMENTS: Final = "openai-chatkit attachment"
"""The kind of the documents that hold the records of attachments, by their ids."""

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
        return _items.to_thread(row)

    async def save_thread(self, thread: ThreadMetadata, context: Context) -> None:
        """Store a thread, or replace the one there."""
        await self._run(context, _units.save_thread, thread)

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
            last = _units.id_of(user, after) if after else None
            asked = _asked(last, limit, order)
            return self._db.run(user, _by_creation.list_conversations, SOURCE, **asked)

        with _found(f"Thread {after}"):
            rows = await self._for_user(context, load)
        return _page_of([_items.to_thread(row) for row in rows], limit)

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
        return _page_of([_items.to_item(row, thread_id) for row in rows], limit)

    async def load_item(self, thread_id: str, item_id: str, context: Context) -> ThreadItem:
        """Return an item. Raises NotFoundError."""

        def load(user: UUID, id_: UUID) -> Awaitable[records.Message]:
            return self._db.run(user, messages.get, id_, message_id(id_, item_id))

        with _found(f"Item {item_id}"):
            row = await self._in_thread(thread_id, context, load)
        return _items.to_item(row, thread_id)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        """Add an item, and make the thread if there is none.

        The same item is stored once. Raises Conflict where another one has its id.
        """

        async def add(user: UUID, id_: UUID) -> None:
            new, opens = _items.new_message(id_, item), _items.opening(thread_id, item)
            stored = await self._db.run(user, messages.append, id_, **new._asdict(), opens=opens)
            title = derive_title([new])
            if stored.position == 1 and title != DEFAULT_TITLE:
                await self._db.run(user, _units.name, id_, title)

        await self._in_thread(thread_id, context, add)

    async def save_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        """Replace an item in its place, or add it."""
        await self._run(context, _units.save_item, thread_id, item)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Context) -> None:
        """Remove an item, if there is one; those after it stay."""

        def remove(user: UUID, id_: UUID) -> Awaitable[records.Message]:
            return self._db.run(user, messages.remove_one, id_, message_id(id_, item_id))

        with suppress(NotFound):
            await self._in_thread(thread_id, context, remove)

    async def save_attachment(self, attachment: Attachment, context: Context) -> None:
        """Store the record of an attachment, or replace the one there."""
        body = _items.dump_json(_ATTACHMENT, attachment)
        await self._run(context, documents.put, ATTACHMENTS, key_of(attachment.id), body)

    async def load_attachment(self, attachment_id: str, context: Context) -> Attachment:
        """Return the record of an attachment. Raises NotFoundError."""
        with _found(f"Attachment {attachment_id}"):
            key = key_of(attachment_id)
            found = await self._run(context, documents.get, ATTACHMENTS, key)
        return _ATTACHMENT.validate_python(from_json(found.body))

    async def delete_attachment(self, attachment_id: str, context: Context) -> None:
        """Remove the record of an attachment, if there is one."""
        with suppress(NotFound):
            await self._run(context, documents.remove, ATTACHMENTS, key_of(attachment_id))

    async def _run(
        self,
        context: Context,
        unit: Callable[Concatenate[Scope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._for_user(context, lambda user: self._db.run(user, unit, *args, **kwargs))

    async def _for_user(self, context: Context, act: Callable[[UUID], Awaitable[T]]) -> T:
        who = self._user_of(context)
        if isinstance(who, UUID):
            return await act(who)
        return await self._subjects.call(self._subjects.ensure, who, act)

    async def _in_thread(
        self, thread_id: str, context: Context, act: Callable[[UUID, UUID], Awaitable[T]]
    ) -> T:
        return await self._for_user(context, lambda user: act(user, _units.id_of(user, thread_id)))


@contextmanager
def _found(what: str) -> Iterator[None]:
    try:
        yield
    except NotFound:
        raise NotFoundError(f"{what} not found") from None


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
