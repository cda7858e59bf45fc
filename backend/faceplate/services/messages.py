"""Messages of the scope's user: append, read in order, remove."""

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Self, cast
from uuid import UUID

from faceplate import records
from faceplate.column_types import Count, JsonObject
from faceplate.column_types.json_values import json_copy
from faceplate.errors import Conflict, Contention, InvalidInput, NotFound
from faceplate.pagination import DEFAULT_LIMIT, check_limit
from faceplate.scope import Scope, SystemScope, one_statement, replayable
from faceplate.services import conversations, tool_calls
from faceplate.services import message_statements as sql
from faceplate.services._arguments import check_kind
from faceplate.services.tool_calls import PendingToolCall
from faceplate.statement import Statement

logger = logging.getLogger("faceplate")

MAX_BATCH = 1_000
MAX_BATCH_CHARS = 10_000_000


class _NewMessage(NamedTuple):
    role: str
    content: str
    tool_calls: list[JsonObject] | None
    tool_results: list[JsonObject] | None
    metadata: JsonObject | None
    id: UUID | None


class NewMessage(_NewMessage):
    """A message to append.

    A field that is None is empty; without an id it gets a new one.
    """

    __slots__ = ()

    def __new__(  # noqa: PLR0917 - a row, in the order of its columns
        cls,
        role: str,
        content: str | None = "",
        tool_calls: list[JsonObject] | None = None,
        tool_results: list[JsonObject] | None = None,
        metadata: JsonObject | None = None,
        id: UUID | None = None,  # noqa: A002 - the column's name
    ) -> Self:
        """Take None as empty content: OpenAI's models send it beside tool calls."""
        text = "" if content is None else content
        return super().__new__(cls, role, text, tool_calls, tool_results, metadata, id)

    def __repr__(self) -> str:
        return f"NewMessage(role={self.role!r}, chars={len(self.content)})"

    def completed(self, new_id: UUID) -> Self:
        """Return the message as it is stored, with an id and with metadata."""
        metadata = {} if self.metadata is None else self.metadata
        return self._replace(id=self.id or new_id, metadata=metadata)


@one_statement
async def append(
    scope: Scope,
    conversation_id: UUID,
    *,
    role: str,
    content: str | None = "",
    tool_calls: list[JsonObject] | None = None,
    tool_results: list[JsonObject] | None = None,
    metadata: JsonObject | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> records.Message:
    """Append a message to a conversation and return it.

    ``role`` is user, assistant, system or tool. ``content`` has up to 1,000,000 characters; None is
    empty, since OpenAI's models send it beside tool calls. An assistant message may have
    ``tool_calls``, and a tool message needs ``tool_results``; `faceplate.services.tool_calls` shows
    their shape. A caller that gives an ``id`` may retry the call: the retry returns the message
    that the first call stored.

    Raises NotFound if the conversation does not exist; Conflict if the id exists with another
    content; InvalidInput for a value that breaks a rule, and for a result whose call does not exist
    or is answered. In a block it also raises Contention, if the same message is being appended
    elsewhere.
    """
    given = NewMessage(role, content, tool_calls, tool_results, metadata, id)
    message = given.completed(id or scope.new_id())
    await _check_tools(scope, conversation_id, [message])
    stamps = await _insert(scope, sql.APPEND, conversation_id, **message._asdict())
    if not stamps:
        (stored,) = await _stored_before(scope, conversation_id, [message])
        return stored
    _log_tools([message])
    return _stored(conversation_id, message, stamps[0])


@replayable
async def append_many(
    scope: Scope, conversation_id: UUID, messages: Sequence[NewMessage]
) -> list[records.Message]:
    """Append messages in their order, all or none, and return them.

    At most 1,000 messages, with 10,000,000 characters of content together. A caller that gives ids
    may retry the call, as with `append`.

    Raises the errors of `append`, and Conflict if only some of the ids exist.
    """
    check_kind("messages", messages, Sequence)
    if not messages:
        raise InvalidInput("messages", "must not be empty")
    if len(messages) > MAX_BATCH:
        raise InvalidInput("messages", f"at most {MAX_BATCH:,}; {len(messages):,} were given")
    batch = [message.completed(message.id or scope.new_id()) for message in messages]
    if not all(isinstance(message.id, UUID) for message in batch):
        raise InvalidInput("messages.id", "must be a UUID")
    if len({message.id for message in batch}) < len(batch):
        raise InvalidInput("messages.id", "the ids must be distinct")
    if sum(len(m.content) for m in batch if isinstance(m.content, str)) > MAX_BATCH_CHARS:
        raise InvalidInput("messages.content", f"at most {MAX_BATCH_CHARS:,} characters at once")
    await _check_tools(scope, conversation_id, batch)
    columns = zip(NewMessage._fields, zip(*batch, strict=True), strict=True)
    arrays: dict[str, Any] = {f"{name}s": list(values) for name, values in columns}
    stamps = await _insert(scope, sql.APPEND_MANY, conversation_id, **arrays)
    if not stamps:
        return await _stored_before(scope, conversation_id, batch)
    _log_tools(batch)
    stamps.sort()
    return [
        _stored(conversation_id, message, stamp)
        for message, stamp in zip(batch, stamps, strict=True)
    ]


@one_statement
async def append_draft(
    scope: Scope,
    conversation_id: UUID,
    *,
    metadata: JsonObject | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
    after: int | None = None,
) -> records.Message:
    """Append an empty assistant message whose status is streaming, and return it.

    `faceplate.drafts` calls this unit and `save_draft` for a streamed reply. A caller that gives an
    ``id`` may retry the call, as with `append`. ``after`` is the position of the message that the
    reply answers: of two replies to it, only the first is begun.

    Raises NotFound if the conversation does not exist; Conflict if the id exists already or if the
    message at ``after`` is not the last one; InvalidInput.
    """
    draft = NewMessage("assistant", metadata=metadata or {}, id=id or scope.new_id())
    own = {"id": draft.id, "metadata": draft.metadata, "after": after}
    stamps = await _insert(scope, sql.APPEND_DRAFT, conversation_id, **own)
    if stamps:
        return _stored(conversation_id, draft, stamps[0])
    if after is not None:
        await _refuse_if_overtaken(scope, conversation_id, draft)
    (stored,) = await _stored_before(scope, conversation_id, [draft])
    return stored


@one_statement
async def save_draft(
    scope: Scope, conversation_id: UUID, message_id: UUID, *, content: str, status: str
) -> records.Message:
    """Set the ``content`` and the ``status`` of a draft; return the message.

    ``content`` is all of it so far. A draft stays open while its status is streaming; complete,
    interrupted and failed are final. ``content`` has up to 1,000,000 characters. Saving the same
    content and status again is no error.

    Raises NotFound if the message does not exist, Conflict if it is no longer a draft,
    InvalidInput.
    """
    key = {"conversation_id": conversation_id, "id": message_id}
    saved = await scope.first(sql.SAVE_DRAFT, content=content, new_status=status, **key)
    if saved is None:
        saved = await scope.one(sql.GET, **key)
        if (saved.content, saved.status) != (content, status):
            raise Conflict(f"the message is no longer a draft: its status is {saved.status}")
    return saved


async def sweep_drafts(scope: SystemScope, *, older_than: timedelta, limit: int = MAX_BATCH) -> int:
    """Close up to ``limit`` drafts of dead processes; return how many.

    They become interrupted and keep the text that was saved. ``older_than`` is the time since the
    last save; a live draft is saved every 30 seconds. Run it with ``run_system``.
    """
    check_kind("older_than", older_than, timedelta)
    if older_than < timedelta(0):
        raise InvalidInput("older_than", "must not be negative")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= Count.MAXIMUM:
        raise InvalidInput("limit", "must be a whole number, 1 or more")
    ids = await scope.all(sql.STALE_DRAFTS, older_than=older_than, limit=limit)
    return await scope.execute(sql.CLOSE_DRAFTS, ids=ids, older_than=older_than)


async def get(scope: Scope, conversation_id: UUID, message_id: UUID) -> records.Message:
    """Return a message. Raises NotFound, InvalidInput."""
    return await scope.one(sql.GET, conversation_id=conversation_id, id=message_id)


async def history(
    scope: Scope, conversation_id: UUID, *, limit: int = DEFAULT_LIMIT
) -> list[records.Message]:
    """Return the last ``limit`` messages (1 to 200), in order.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    return await before(scope, conversation_id, Count.MAXIMUM, limit=limit)


async def before(
    scope: Scope, conversation_id: UUID, position: int, *, limit: int = DEFAULT_LIMIT
) -> list[records.Message]:
    """Return the last ``limit`` messages (1 to 200) before ``position``, in order.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    rows = await scope.all(
        sql.BEFORE, conversation_id=conversation_id, before=position, limit=check_limit(limit)
    )
    if not rows:
        await conversations.get(scope, conversation_id)
    rows.reverse()
    return rows


async def after(
    scope: Scope, conversation_id: UUID, position: int, *, limit: int = DEFAULT_LIMIT
) -> list[records.Message]:
    """Return the first ``limit`` messages (1 to 200) after ``position``, in order.

    Position 0 is before the first message. Raises NotFound if the conversation does not exist,
    InvalidInput.
    """
    position = _checked_position(position)
    rows = await scope.all(
        sql.AFTER, conversation_id=conversation_id, position=position, limit=check_limit(limit)
    )
    if not rows:
        await conversations.get(scope, conversation_id)
    return rows


async def walk(scope: Scope, conversation_id: UUID) -> AsyncIterator[records.Message]:
    """Yield every message of a conversation in order.

    A few hundred are in memory at a time. The transaction stays open meanwhile: use it in a block,
    ``async with db.begin(user_id)``, and do not wait for a model or a client between two messages.
    `faceplate.transcripts` allows that.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    await conversations.get(scope, conversation_id)
    async for message in scope.stream(sql.WALK, conversation_id=conversation_id):
        yield message


@replayable
async def pending_tool_calls(scope: Scope, conversation_id: UUID) -> list[PendingToolCall]:
    """Return the tool calls without a result, in the order of the calls.

    After a crash in the middle of a turn, append their results or remove their message.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    pending = await scope.all(tool_calls.PENDING, conversation_id=conversation_id)
    if not pending:
        await conversations.get(scope, conversation_id)
    return pending


async def remove_after(scope: Scope, conversation_id: UUID, position: int) -> int:
    """Remove every message after ``position``; return how many.

    Position 0 is before the first message. The next message is appended after ``position``: this is
    how to edit and regenerate.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    position = _checked_position(position)
    # The conversation first: its row lock keeps others from appending.
    if not await scope.execute(sql.TRUNCATE, conversation_id=conversation_id, position=position):
        raise NotFound(records.Conversation)
    return await scope.execute(sql.DELETE_AFTER, conversation_id=conversation_id, position=position)


async def remove_last(scope: Scope, conversation_id: UUID) -> records.Message:
    """Remove the last message and return it.

    Raises NotFound if the conversation does not exist or has no message, InvalidInput.
    """
    left = await scope.first(sql.SHORTEN, conversation_id=conversation_id)
    if left is None:
        await conversations.get(scope, conversation_id)
        raise NotFound(records.Message)
    return await scope.one(sql.DELETE_LAST, conversation_id=conversation_id, position=left)


async def _check_tools(scope: Scope, conversation_id: UUID, messages: Sequence[NewMessage]) -> None:
    """Raise InvalidInput if tool calls and results do not match.

    Without any, nothing is sent.
    """
    uses_tools = False
    for message in messages:
        check_shape(message)
        uses_tools = uses_tools or bool(message.tool_calls or message.tool_results)
    if not uses_tools:
        return
    if await scope.first(sql.LOCK, conversation_id=conversation_id) is None:
        raise NotFound(records.Conversation)
    ids = [message.id for message in messages]
    if await scope.first(sql.STORED, conversation_id=conversation_id, ids=ids) is not None:
        return  # a retry: the stored messages were checked by the first call
    pending = {
        call.id for call in await scope.all(tool_calls.PENDING, conversation_id=conversation_id)
    }
    for message in messages:
        tool_calls.update_pending(pending, message.tool_calls, message.tool_results)


def check_shape(message: NewMessage) -> None:
    """Raise InvalidInput unless tool calls and results fit shape and role."""
    if message.tool_calls is not None:
        if message.role != "assistant":
            raise InvalidInput(tool_calls.CALLS, "only an assistant message carries tool calls")
        tool_calls.check_calls(message.tool_calls)
    if message.tool_results is not None:
        if message.role != "tool":
            raise InvalidInput(tool_calls.RESULTS, "only a tool message carries tool results")
        tool_calls.check_results(message.tool_results)
    elif message.role == "tool":
        raise InvalidInput(tool_calls.RESULTS, "is required in a tool message")


def _checked_position(position: int) -> int:
    if isinstance(position, bool) or not isinstance(position, int) or position < 0:
        raise InvalidInput("position", "must be a whole number, 0 or more")
    return min(position, Count.MAXIMUM)


def _stored(conversation_id: UUID, message: NewMessage, stamp: sql.Stamp) -> records.Message:
    """Return the message that was sent as a read would return it."""
    return records.Message(
        conversation_id=conversation_id,
        id=cast("UUID", message.id),
        position=stamp.position,
        parent_position=None,
        role=str.__str__(message.role),
        content=str.__str__(message.content),
        tool_calls=json_copy(message.tool_calls),
        tool_results=json_copy(message.tool_results),
        metadata=json_copy(message.metadata),
        body=None,
        status=stamp.status,
        model=None,
        input_tokens=None,
        output_tokens=None,
        created_at=stamp.created_at,
        updated_at=stamp.updated_at,
    )


async def _insert(
    scope: Scope, appending: Statement[sql.Stamp], conversation_id: UUID, **values: Any
) -> list[sql.Stamp]:
    """Return the stamps of the appended messages, or none if one exists.

    Raises Contention if another transaction appends the same message now; a retry finds it.
    """
    try:
        return await scope.all(appending, conversation_id=conversation_id, **values)
    except Conflict as error:
        if error.constraint != "pk_messages":
            raise
        raise Contention(
            "the same message is being appended by another transaction", sqlstate=error.sqlstate
        ) from None


async def _refuse_if_overtaken(scope: Scope, conversation_id: UUID, draft: NewMessage) -> None:
    """Raise Conflict if the conversation exists and the draft does not."""
    if await scope.first(sql.GET, conversation_id=conversation_id, id=draft.id) is None:
        await conversations.get(scope, conversation_id)
        raise Conflict("another message already follows the one that the reply answers")


async def _stored_before(
    scope: Scope, conversation_id: UUID, messages: Sequence[NewMessage]
) -> list[records.Message]:
    """Return the messages that an earlier call with the same ids and content stored."""
    ids = [message.id for message in messages]
    stored = {
        message.id: message
        for message in await scope.all(sql.STORED, conversation_id=conversation_id, ids=ids)
    }
    if not stored:
        raise NotFound(records.Conversation)
    if len(stored) < len(messages):
        raise Conflict("some of the messages exist already", constraint="pk_messages")
    for message in messages:
        if _content_of(stored[cast("UUID", message.id)]) != _content_of(message):
            raise Conflict(
                "a message with this id exists already with other content",
                constraint="pk_messages",
            )
    return [stored[message.id] for message in messages if message.id is not None]


def _content_of(message: NewMessage | records.Message) -> tuple[Any, ...]:
    return (
        message.role,
        message.content,
        message.tool_calls,
        message.tool_results,
        message.metadata,
    )


def _log_tools(messages: Sequence[NewMessage]) -> None:
    """Log the names and numbers of tool calls, never their arguments."""
    for message in messages:
        if message.tool_calls:
            names = ", ".join(tool_calls.names_of(message.tool_calls))
            logger.info("%d tool calls stored: %s", len(message.tool_calls), names)
        elif message.tool_results:
            logger.info("%d tool results stored", len(message.tool_results))
