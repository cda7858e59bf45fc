"""Append messages at a place of a conversation, replace them, remove them."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Final
from uuid import UUID

from faceplate import records
from faceplate.column_types import JsonObject
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.scope import Scope, one_statement, shareable
from faceplate.services import _appending, _path_changes, _path_reading, _path_statements
from faceplate.services import message_statements as sql
from faceplate.services._arguments import check_kind, checked_after, checked_position
from faceplate.services._bodies import body_errors
from faceplate.services._new_messages import NewMessage, check_shape, tool_ids
from faceplate.services.conversations import NewConversation

MAX_BATCH: Final = 1_000
MAX_BATCH_CHARS: Final = 10_000_000
BODY: Final = "messages.body"
_NO_BODY = nullcontext()


@shareable
@one_statement
async def append(
    scope: Scope,
    conversation_id: UUID,
    *,
    role: str | None = None,
    content: str | None = "",
    tool_calls: list[JsonObject] | None = None,
    tool_results: list[JsonObject] | None = None,
    metadata: JsonObject | None = None,
    body: str | None = None,
    created_at: datetime | None = None,
    model: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
    after: int | None = None,
    branch: bool = False,
    opens: NewConversation | None = None,
) -> records.Message:
    """Append a message to a conversation and return it.

    ``role`` is user, assistant, system, developer or tool. ``content`` has up to 1,000,000
    characters; None is empty, since OpenAI's models send it beside tool calls. An assistant message
    may have ``tool_calls``, and a tool message needs ``tool_results``;
    `faceplate.services.tool_calls` shows their shape. ``body`` is the JSON of another program, as
    text that is kept to the letter, up to the setting ``max_body_mb``; with one, the role may be
    None. ``created_at`` is when the message was written, by default now. ``model`` and the numbers
    of tokens say what it took to write it.

    The message follows the last one of the path. ``after`` is the position of the message that it
    answers: if the path no longer ends there, the call raises Conflict, or with ``branch`` begins
    a branch there, beside what follows it. Position 0 is before the first message. ``opens`` is the
    conversation to make if it does not exist; where it has a source and a key, ``conversation_id``
    is the `conversations.id_of` both.

    A caller that gives an ``id`` may retry the call: the retry returns the message that the first
    call stored.

    Raises NotFound if the conversation or the message at ``after`` does not exist; Conflict if the
    id exists with other content, or if the conversation has moved on; InvalidInput for a value
    that breaks a rule, and for a result whose call does not exist on the path or is answered. In a
    block it also raises Contention, if the same message is being appended elsewhere.
    """
    message = NewMessage(
        role,
        content,
        tool_calls,
        tool_results,
        {} if metadata is None else metadata,
        id or scope.new_id(),
        body,
        created_at,
        model,
        input_tokens,
        output_tokens,
    )
    after = checked_after(after, branch=branch)
    with _NO_BODY if body is None else body_errors(scope, BODY, body):
        return await _appending.append_one(
            scope, conversation_id, message, after=after, branch=branch, opens=opens
        )


@one_statement
async def append_many(
    scope: Scope,
    conversation_id: UUID,
    messages: Sequence[NewMessage],
    *,
    after: int | None = None,
    branch: bool = False,
    opens: NewConversation | None = None,
) -> list[records.Message]:
    """Append messages in their order, all or none, and return them.

    At most 1,000 messages, with 10,000,000 characters of content together, and as many of bodies
    unless a single one has more. Each follows the one before it; ``after``, ``branch`` and
    ``opens`` are for the first, as with `append`. A caller that gives ids may retry the call.

    Raises the errors of `append`, and Conflict if only some of the ids exist.
    """
    check_kind("messages", messages, Sequence)
    if not messages:
        raise InvalidInput("messages", "must not be empty")
    if len(messages) > MAX_BATCH:
        raise InvalidInput("messages", f"at most {MAX_BATCH:,}; {len(messages):,} were given")
    for message in messages:
        check_kind("messages", message, NewMessage)
    batch = [message.completed(message.id or scope.new_id()) for message in messages]
    if not all(isinstance(message.id, UUID) for message in batch):
        raise InvalidInput("messages.id", "must be a UUID")
    if len({message.id for message in batch}) < len(batch):
        raise InvalidInput("messages.id", "the ids must be distinct")
    if sum(len(m.content) for m in batch if isinstance(m.content, str)) > MAX_BATCH_CHARS:
        raise InvalidInput("messages.content", f"at most {MAX_BATCH_CHARS:,} characters at once")
    bodies = [message.body for message in batch if isinstance(message.body, str)]
    if len(bodies) > 1 and sum(map(len, bodies)) > MAX_BATCH_CHARS:
        raise InvalidInput(BODY, f"at most {MAX_BATCH_CHARS:,} characters at once")
    after = checked_after(after, branch=branch)
    with body_errors(scope, BODY, *bodies):
        return await _appending.append_batch(
            scope, conversation_id, batch, after=after, branch=branch, opens=opens
        )


async def replace(
    scope: Scope,
    conversation_id: UUID,
    message_id: UUID,
    *,
    role: str | None = None,
    content: str | None = "",
    tool_calls: list[JsonObject] | None = None,
    tool_results: list[JsonObject] | None = None,
    metadata: JsonObject | None = None,
    body: str | None = None,
) -> records.Message:
    """Replace what a message says, in its place; return it.

    What is not given is empty afterwards. The message keeps its position, status, ``created_at``,
    model and tokens; ``updated_at`` says when it was replaced. Its tool calls and results must be
    among those that it had: a call whose result is left out is pending again. To keep what it said
    before, append a branch instead.

    Raises NotFound if the message does not exist, Conflict if it is a draft, InvalidInput.
    """
    new = NewMessage(role, content, tool_calls, tool_results, metadata, None, body)
    check_shape(new)
    key = {"conversation_id": conversation_id, "id": message_id}
    stored = await scope.one(sql.GET, **key)
    for field, had, has in zip(
        ("messages.tool_calls", "messages.tool_results"),
        tool_ids(stored),
        tool_ids(new),
        strict=True,
    ):
        if not has <= had:
            raise InvalidInput(field, "must have ids that they had")
    with body_errors(scope, BODY, body):
        replaced = await scope.first(
            sql.REPLACE,
            new_role=role,
            new_content=new.content,
            new_tool_calls=tool_calls,
            new_tool_results=tool_results,
            new_metadata={} if metadata is None else metadata,
            new_body=body,
            **key,
        )
    if replaced is None:
        await scope.one(sql.GET, **key)
        raise Conflict("the message is a draft: save it instead")
    return replaced


async def remove(scope: Scope, conversation_id: UUID, message_id: UUID) -> int:
    """Remove a message and everything that follows it, in all branches; return how many.

    Where the path loses its end, it ends at the message before; where it loses its first message,
    at the newest message that is left, which is in another branch. To leave what follows it, use
    `remove_one`, or `replace` what it says.

    Raises NotFound if the message does not exist, InvalidInput.
    """
    check_kind("message_id", message_id, UUID)
    tree = await _path_changes.lock(scope, conversation_id)
    return await tree.remove(await _path_reading.position_of(scope, conversation_id, message_id))


async def remove_one(scope: Scope, conversation_id: UUID, message_id: UUID) -> records.Message:
    """Remove one message, leave what follows it, and return the message.

    What followed it, in any branch, follows the message before it from then on; where there is
    none, it is a first message. A path that ended at the message ends at the one before it.

    A tool call whose result is removed is pending again. A result whose call is removed stays in
    the conversation, and requests to a model leave it out.

    Raises NotFound if the message does not exist, InvalidInput.
    """
    check_kind("message_id", message_id, UUID)
    tree = await _path_changes.lock(scope, conversation_id)
    position = await _path_reading.position_of(scope, conversation_id, message_id)
    return await tree.remove_one(position)


async def remove_after(scope: Scope, conversation_id: UUID, position: int) -> int:
    """Remove every message of the path after ``position``, and what hangs on them.

    Return how many. Position 0 is before the first message. The path then ends at its last message
    up to ``position``; where none is left, at the newest message of another branch. To keep what is
    edited or regenerated, append a branch instead.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    position = checked_position("position", position)
    tree = await _path_changes.lock(scope, conversation_id)
    going_on = _path_changes.first_after(tree.ranges.path(tree.end), position)
    return 0 if going_on is None else await tree.remove(going_on)


async def remove_last(scope: Scope, conversation_id: UUID) -> records.Message:
    """Remove the last message of the path, with what hangs on it, and return it.

    Raises NotFound if the conversation does not exist or has no message, InvalidInput.
    """
    tree = await _path_changes.lock(scope, conversation_id)
    path = await _path_reading.newest(scope, conversation_id, 1, _path_statements.MESSAGES)
    if not path:
        raise NotFound(records.Message)
    await tree.remove(path[0].position)
    return path[0]
