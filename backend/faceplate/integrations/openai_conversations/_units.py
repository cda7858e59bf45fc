"""The units of the API: what a request does in one transaction."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.errors import Conflict, NotFound
from faceplate.integrations._response_items import item_in_body, note_calls
from faceplate.integrations._tool_links import append_linked
from faceplate.integrations.openai_conversations import _ids
from faceplate.integrations.openai_conversations._items import Item, items_in
from faceplate.integrations.openai_conversations._requests import MAX_LIMIT, shown_metadata
from faceplate.records import Conversation, Message
from faceplate.scope import Scope, read_only, replayable
from faceplate.services import conversations, messages
from faceplate.services.messages import NewConversation, NewMessage

DEFAULT_TITLE: Final = NewConversation().title
MAX_TITLE_CHARS: Final = 80


def title_of(batch: Sequence[NewMessage]) -> str:
    """Return the beginning of the first thing that the user says, or the default."""
    said = (" ".join(message.content.split()) for message in batch if message.role == "user")
    return next(filter(None, said), DEFAULT_TITLE)[:MAX_TITLE_CHARS]


@replayable
async def create(
    scope: Scope, key: str, metadata: JsonObject, batch: Sequence[NewMessage]
) -> Conversation:
    """Make a conversation with its first items. The ``key`` makes a retry find it."""
    conversation = await conversations.open(
        scope, source=_ids.SOURCE, key=key, title=title_of(batch), metadata=metadata
    )
    check_same(conversation, metadata)
    await append_linked(scope, conversation.id, batch)
    return conversation


def check_same(conversation: Conversation, metadata: JsonObject) -> None:
    """Raise Conflict unless a conversation that was there already has this metadata."""
    if conversation.metadata != metadata:
        raise Conflict("the Idempotency-Key belongs to a request with other metadata")


async def entitle(scope: Scope, conversation_id: UUID, title: str) -> None:
    """Set the title of a conversation that was made without items."""
    conversation = await conversations.lock(scope, conversation_id)
    if conversation.title == DEFAULT_TITLE:
        await conversations.rename(scope, conversation_id, title)


async def update(scope: Scope, conversation_id: UUID, metadata: JsonObject) -> Conversation:
    """Replace the pairs of the metadata that the API shows; leave what else is in it."""
    conversation = await conversations.lock(scope, conversation_id)
    shown = shown_metadata(conversation.metadata)
    hidden = {name: value for name, value in conversation.metadata.items() if name not in shown}
    return await conversations.replace_metadata(scope, conversation_id, {**hidden, **metadata})


@read_only
async def page(
    scope: Scope, conversation_id: UUID, *, after: str | None, limit: int, descending: bool
) -> tuple[list[Item], bool]:
    """Return up to ``limit`` items of the path, and whether there are more."""
    found: list[Item] = []
    position: int | None = None
    if after is not None:
        last, beside = await _find(scope, conversation_id, after)
        position = last.message.position
        at = beside.index(last)  # whose message may answer other calls, too
        before = await _custom_calls_before(scope, conversation_id, [last.message])
        beside = items_in([last.message], before)
        found += beside[:at][::-1] if descending else beside[at + 1 :]
    while len(found) <= limit:
        wanted = limit + 1
        rows = await _rows(scope, conversation_id, position, wanted, descending=descending)
        items = items_in(rows, await _custom_calls_before(scope, conversation_id, rows))
        found += reversed(items) if descending else items
        if len(rows) < wanted:
            break
        position = (rows[0] if descending else rows[-1]).position
    return found[:limit], len(found) > limit


async def _rows(
    scope: Scope, conversation_id: UUID, position: int | None, limit: int, *, descending: bool
) -> list[Message]:
    """Return the messages before or after a position, in order."""
    if not descending:
        return await messages.after(scope, conversation_id, position or 0, limit=limit)
    if position is None:
        return await messages.history(scope, conversation_id, limit=limit)
    return await messages.before(scope, conversation_id, position, limit=limit)


async def _custom_calls_before(
    scope: Scope, conversation_id: UUID, rows: Sequence[Message]
) -> set[str]:
    """Return the ids of the custom tools' calls that ``rows`` answer and do not have.

    Only a call says whether an output is that of a custom tool, and it may be on the page before.
    """
    custom: set[str] = set()
    wanted = _answered_before(rows)
    position = rows[0].position if rows else 0
    while wanted:
        earlier = await messages.before(scope, conversation_id, position, limit=MAX_LIMIT)
        for call in _newest_calls(earlier):
            if call["id"] in wanted:
                note_calls([call], custom)
                wanted.remove(call["id"])
        if len(earlier) < MAX_LIMIT:
            break
        position = earlier[0].position
    return custom


def _answered_before(rows: Sequence[Message]) -> set[str]:
    """Return the ids of the calls that rows answer without an item, and that come before them."""
    answered: set[str] = set()
    called: set[str] = set()
    for row in rows:
        called |= {call["id"] for call in row.tool_calls or ()}
        if row.tool_results and not item_in_body(row):
            answered |= {result["tool_call_id"] for result in row.tool_results} - called
    return answered


def _newest_calls(rows: Sequence[Message]) -> Iterator[JsonObject]:
    for row in reversed(rows):
        yield from row.tool_calls or ()


@read_only
async def get(scope: Scope, conversation_id: UUID, item_id: str) -> Item:
    """Return an item. Raises NotFound."""
    return (await _find(scope, conversation_id, item_id))[0]


async def remove(scope: Scope, conversation_id: UUID, item_id: str) -> Conversation:
    """Remove an item, leave what follows it, and return the conversation."""
    conversation = await conversations.lock(scope, conversation_id)
    item, _ = await _find(scope, conversation_id, item_id)
    if item.is_alone:
        await messages.remove_one(scope, conversation_id, item.message.id)
    else:
        left = _without(item.message, item.stored.get("call_id"))
        await messages.replace(scope, conversation_id, item.message.id, **left)
    return conversation


def _without(message: Message, call_id: Any) -> dict[str, Any]:
    """Return what a message says without its text, or without a call or result.

    The body of another program, which may say the same, goes.
    """
    calls = [call for call in message.tool_calls or () if call["id"] != call_id]
    results = [each for each in message.tool_results or () if each["tool_call_id"] != call_id]
    return {
        "role": message.role,
        "content": "" if call_id is None else message.content,
        "tool_calls": calls or None,
        "tool_results": results or None,
        "metadata": message.metadata,
    }


async def _find(scope: Scope, conversation_id: UUID, item_id: str) -> tuple[Item, list[Item]]:
    """Return an item and all items of its message, in order. Raises NotFound."""
    for id_ in _ids.candidates(conversation_id, item_id):
        try:
            message = await messages.get(scope, conversation_id, id_)
        except NotFound:
            continue
        if found := _item_with(item_id, [message]):
            return found
    return await _search(scope, conversation_id, item_id)


async def _search(scope: Scope, conversation_id: UUID, item_id: str) -> tuple[Item, list[Item]]:
    """Look for an item that another program stored, whose id is in its body alone."""
    cursor: str | None = None
    while True:
        rows = await messages.page(
            scope, conversation_id, limit=MAX_LIMIT, cursor=cursor, descending=True
        )
        if found := _item_with(item_id, rows.items):
            return found
        cursor = rows.next_cursor
        if cursor is None:
            raise NotFound(Message)


def _item_with(item_id: str, rows: Sequence[Message]) -> tuple[Item, list[Item]] | None:
    for message in rows:
        beside = items_in([message], _ids.custom_call(message, item_id))
        for item in beside:
            if item_id in (item.id, item.alias):
                return item, beside
    return None
