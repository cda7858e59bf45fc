"""Messages of the scope's user: append, read in order, replace, remove.

A conversation may have branches. `history`, `before`, `after`, `page`, `walk` and `everything` read
one path through them: the one that ends at the conversation's head, which is its newest message
unless `conversations.switch` has moved it, or the one that ends at a given ``leaf``.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from faceplate import records
from faceplate.column_types import Count, JsonObject
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.pagination import DEFAULT_LIMIT, Page, check_limit, page_of, unseal
from faceplate.scope import Scope, SystemScope, one_statement, replayable
from faceplate.services import (
    _appending,
    _branches,
    _path_changes,
    _path_reading,
    _path_statements,
    tool_calls,
)
from faceplate.services import message_statements as sql
from faceplate.services._arguments import check_kind, checked_position
from faceplate.services._bodies import body_errors
from faceplate.services._new_messages import NewMessage, check_shape, tool_ids
from faceplate.services.conversations import NewConversation
from faceplate.services.tool_calls import PendingToolCall

__all__ = [
    "MAX_BATCH",
    "MAX_BATCH_CHARS",
    "MAX_LIMIT",
    "NewConversation",
    "NewMessage",
    "after",
    "append",
    "append_draft",
    "append_many",
    "before",
    "branches",
    "branches_at",
    "everything",
    "get",
    "history",
    "page",
    "pending_tool_calls",
    "remove",
    "remove_after",
    "remove_last",
    "replace",
    "save_draft",
    "sweep_drafts",
    "walk",
]

MAX_BATCH = 1_000
MAX_BATCH_CHARS = 10_000_000
MAX_LIMIT = 1_000
"""The most messages that are read at once."""
BODY = "messages.body"


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
    conversation to make if it does not exist.

    A caller that gives an ``id`` may retry the call: the retry returns the message that the first
    call stored.

    Raises NotFound if the conversation or the message at ``after`` does not exist; Conflict if the
    id exists with another content, or if the conversation has moved on; InvalidInput for a value
    that breaks a rule, and for a result whose call does not exist on the path or is answered. In a
    block it also raises Contention, if the same message is being appended elsewhere.
    """
    given = NewMessage(
        role,
        content,
        tool_calls,
        tool_results,
        metadata,
        id,
        body,
        created_at,
        model,
        input_tokens,
        output_tokens,
    )
    message = given.completed(id or scope.new_id())
    after = None if after is None else checked_position("after", after)
    _check_branch(after, branch=branch)
    if body is None:
        return await _appending.append_one(
            scope, conversation_id, message, after=after, branch=branch, opens=opens
        )
    with body_errors(scope, BODY, body):
        return await _appending.append_one(
            scope, conversation_id, message, after=after, branch=branch, opens=opens
        )


@replayable
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
    after = None if after is None else checked_position("after", after)
    _check_branch(after, branch=branch)
    with body_errors(scope, BODY, *bodies):
        return await _appending.append_batch(
            scope, conversation_id, batch, after=after, branch=branch, opens=opens
        )


@one_statement
async def append_draft(
    scope: Scope,
    conversation_id: UUID,
    *,
    metadata: JsonObject | None = None,
    model: str | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
    after: int | None = None,
    branch: bool = False,
) -> records.Message:
    """Append an empty assistant message whose status is streaming, and return it.

    `faceplate.drafts` calls this unit and `save_draft` for a streamed reply. A caller that gives an
    ``id`` may retry the call, as with `append`. ``after`` is the position of the message that the
    reply answers: of two replies to it, only the first is begun, unless the second is to ``branch``
    off there.

    Raises NotFound if the conversation or the message at ``after`` does not exist; Conflict if the
    id exists already, or if the path does not end at ``after``; InvalidInput.
    """
    draft = NewMessage("assistant", metadata=metadata, model=model, id=id or scope.new_id())
    draft = draft.completed(draft.id or scope.new_id())
    after = None if after is None else checked_position("after", after)
    _check_branch(after, branch=branch)
    return await _appending.append_one(
        scope,
        conversation_id,
        draft,
        after=after,
        branch=branch,
        opens=None,
        status="streaming",
    )


@one_statement
async def save_draft(
    scope: Scope,
    conversation_id: UUID,
    message_id: UUID,
    *,
    content: str,
    status: str,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> records.Message:
    """Set the ``content`` and the ``status`` of a draft; return the message.

    ``content`` is all of it so far. A draft stays open while its status is streaming; complete,
    interrupted and failed are final. ``content`` has up to 1,000,000 characters. Numbers of tokens
    that are None are left as they are. Saving the same content and status again is no error.

    Raises NotFound if the message does not exist, Conflict if it is no longer a draft,
    InvalidInput.
    """
    key = {"conversation_id": conversation_id, "id": message_id}
    saved = await scope.first(
        sql.SAVE_DRAFT,
        content=content,
        new_status=status,
        new_input_tokens=input_tokens,
        new_output_tokens=output_tokens,
        **key,
    )
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
    scope: Scope, conversation_id: UUID, *, limit: int = DEFAULT_LIMIT, leaf: int | None = None
) -> list[records.Message]:
    """Return the last ``limit`` messages (1 to 1,000) of a path, in order.

    Raises NotFound if the conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    check_limit(limit, MAX_LIMIT)
    if leaf is None:
        rows = await _path_reading.newest(scope, conversation_id, limit)
    else:
        rows = await _path_reading.up_to(
            scope, conversation_id, checked_position("leaf", leaf), limit
        )
    rows.reverse()
    return rows


async def before(
    scope: Scope,
    conversation_id: UUID,
    position: int | UUID,
    *,
    limit: int = DEFAULT_LIMIT,
    leaf: int | None = None,
) -> list[records.Message]:
    """Return the last ``limit`` messages (1 to 1,000) before ``position``, in order.

    ``position`` may be a message's id. Without a ``leaf``, the messages are those that the message
    at ``position`` follows, also if the path has been switched since; where there is no message at
    ``position``, those of the path before it.

    Raises NotFound if the conversation, the message with the id, or a message at ``leaf`` does not
    exist; InvalidInput.
    """
    check_limit(limit, MAX_LIMIT)
    at = await _position(scope, conversation_id, position)
    path_end = None if leaf is None else checked_position("leaf", leaf)
    rows = await _path_reading.before(scope, conversation_id, at, limit, path_end)
    rows.reverse()
    return rows


async def after(
    scope: Scope,
    conversation_id: UUID,
    position: int | UUID,
    *,
    limit: int = DEFAULT_LIMIT,
    leaf: int | None = None,
) -> list[records.Message]:
    """Return the first ``limit`` messages (1 to 1,000) of a path after ``position``, in order.

    ``position`` may be a message's id; position 0 is before the first message. Raises NotFound if
    the conversation, the message with the id, or a message at ``leaf`` does not exist;
    InvalidInput.
    """
    check_limit(limit, MAX_LIMIT)
    at = await _position(scope, conversation_id, position)
    path_end = None if leaf is None else checked_position("leaf", leaf)
    return await _path_reading.after(scope, conversation_id, at, limit, path_end)


async def page(
    scope: Scope,
    conversation_id: UUID,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
    descending: bool = False,
    leaf: int | None = None,
) -> Page[records.Message]:
    """Return up to ``limit`` messages (1 to 1,000) of a path, in order or ``descending``.

    ``cursor`` is the ``next_cursor`` of the page before. Raises NotFound if the conversation, or a
    message at ``leaf``, does not exist; InvalidInput for an invalid limit or cursor.
    """
    check_limit(limit, MAX_LIMIT)
    path_end = None if leaf is None else checked_position("leaf", leaf)
    check_kind("descending", descending, bool)
    listing = f"messages {conversation_id} {descending} {path_end}"
    position = None if cursor is None else int(unseal(scope, listing, cursor))
    if not descending:
        rows = await _path_reading.after(scope, conversation_id, position or 0, limit + 1, path_end)
    elif position is not None:
        rows = await _path_reading.before(scope, conversation_id, position, limit + 1, path_end)
    elif path_end is not None:
        rows = await _path_reading.up_to(scope, conversation_id, path_end, limit + 1)
    else:
        rows = await _path_reading.newest(scope, conversation_id, limit + 1)
    return page_of(scope, listing, rows, limit, lambda row: str(row.position))


async def everything(
    scope: Scope, conversation_id: UUID, *, leaf: int | None = None
) -> list[records.Message]:
    """Return every message of a path, in order, by one statement or two.

    All of it is in memory: `walk` is for conversations of any length. Raises NotFound if the
    conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    path_end = None if leaf is None else checked_position("leaf", leaf)
    return await _path_reading.after(scope, conversation_id, 0, None, path_end)


async def walk(
    scope: Scope, conversation_id: UUID, *, leaf: int | None = None
) -> AsyncIterator[records.Message]:
    """Yield every message of a path, in order.

    Up to a thousand are in memory at a time, fewer where they are large. The transaction stays open
    meanwhile: use it in a block, ``async with db.begin(user_id)``, and do not wait for a model or a
    client between two messages. `faceplate.transcripts` allows that.

    Raises NotFound if the conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    path_end = None if leaf is None else checked_position("leaf", leaf)
    async for message in _path_reading.walk(scope, conversation_id, path_end):
        yield message


async def branches(scope: Scope, conversation_id: UUID, position: int) -> list[records.Branch]:
    """Return the alternatives at the place of a message, in the order in which they were begun.

    The message at ``position`` is among them; it is the only one where there are no others.

    Raises NotFound if the conversation or the message does not exist, InvalidInput.
    """
    return await _branches.at(scope, conversation_id, checked_position("position", position))


async def branches_at(
    scope: Scope, conversation_id: UUID, positions: Sequence[int]
) -> dict[int, list[records.Branch]]:
    """Return the alternatives at the places of messages, by position, as `branches` does.

    A position without alternatives, or without a message, is left out. At most 1,000 positions.

    Raises NotFound if the conversation does not exist, InvalidInput.
    """
    check_kind("positions", positions, Sequence)
    if len(positions) > MAX_LIMIT:
        raise InvalidInput("positions", f"at most {MAX_LIMIT:,}; {len(positions):,} were given")
    checked = [checked_position("positions", position) for position in positions]
    return await _branches.at_each(scope, conversation_id, checked)


@replayable
async def pending_tool_calls(
    scope: Scope, conversation_id: UUID, *, leaf: int | None = None
) -> list[PendingToolCall]:
    """Return the tool calls of a path without a result, in the order of the calls.

    After a crash in the middle of a turn, append their results or remove their message.

    Raises NotFound if the conversation, or a message at ``leaf``, does not exist; InvalidInput.
    """
    path_end = None if leaf is None else checked_position("leaf", leaf)
    pending = await scope.all(tool_calls.PENDING, conversation_id=conversation_id, leaf=path_end)
    if not pending:
        await _path_reading.check_leaf(scope, conversation_id, path_end)
    return pending


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

    What is not given is empty afterwards. The message keeps its position, times, model and tokens;
    ``updated_at`` says when it was replaced. Its tool calls and results must have the ids that they
    had. To keep what it said before, append a branch instead.

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
        if had != has:
            raise InvalidInput(field, "must have the ids that they had")
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

    Where the path loses its end, it ends at the message before. To take a message's text away and
    leave what follows it, `replace` it.

    Raises NotFound if the message does not exist, InvalidInput.
    """
    check_kind("message_id", message_id, UUID)
    tree = await _path_changes.lock(scope, conversation_id)
    return await tree.remove(await _position(scope, conversation_id, message_id))


async def remove_after(scope: Scope, conversation_id: UUID, position: int) -> int:
    """Remove every message of the path after ``position``, and what hangs on them.

    Return how many. Position 0 is before the first message. The next message follows the one at
    ``position``. To keep what is edited or regenerated, append a branch instead.

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
    path = await _path_reading.newest(scope, conversation_id, 1)
    if not path:
        raise NotFound(records.Message)
    await tree.remove(path[0].position)
    return path[0]


async def _position(scope: Scope, conversation_id: UUID, position: int | UUID) -> int:
    """Return a position, or that of the message with the id."""
    if not isinstance(position, UUID):
        return checked_position("position", position)
    found = await scope.first(
        _path_statements.POSITION, conversation_id=conversation_id, id=position
    )
    if found is None:
        raise NotFound(records.Message)
    return found


def _check_branch(after: int | None, *, branch: bool) -> None:
    check_kind("branch", branch, bool)
    if branch and after is None:
        raise InvalidInput("branch", "needs the position that it branches off after")
