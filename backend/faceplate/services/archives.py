"""Everything of a user, in one walk; and the way back, with ids, places and times as they were.

`faceplate.export` writes the walk to a file, and `faceplate.importers.faceplate_export` reads it
back. Each model that is `Owned` takes part, a project's own too.
"""

from array import array
from bisect import bisect_left
from collections import namedtuple
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import ARRAY, insert

from faceplate import records
from faceplate.errors import Conflict, InvalidInput
from faceplate.models import Conversation, Message, User
from faceplate.scope import AnyScope, Scope, SystemScope
from faceplate.services import _mcp_tokens, _row_statements, users
from faceplate.services._arguments import check_kind, check_repeatable
from faceplate.services._bodies import body_errors
from faceplate.services._kinds import Kind, all_kinds, in_order
from faceplate.services._unnest import unnest
from faceplate.statement import Statement

LAST_POSITION: Final = 2_000_000_000
"""The last position that is restored: statements add limits and new messages to it."""

_MESSAGE = [name for name in records.Message._fields if name != "conversation_id"]
_position, _parent_position = Message.position.type, Message.parent_position.type
_head, _count = Conversation.head.type, Conversation.message_count.type


@cache
def _holdings(models: tuple[Any, ...]) -> Statement[Any]:
    counts = [
        sa.select(func.coalesce(func.sum(Conversation.message_count), 0))
        if model is Message
        else sa.select(func.count()).select_from(model.__table__)
        for model in models
    ]
    names = [f"count_{number}" for number in range(len(models))]
    columns = (
        count.scalar_subquery().label(name) for count, name in zip(counts, names, strict=True)
    )
    return Statement(namedtuple("Holdings", names), sa.select(*columns))


def _restore_messages() -> Statement[Any]:
    new, values = unnest(Message.__table__, _MESSAGE)
    owner = bindparam("user_id", type_=Message.user_id.type)
    place = bindparam("conversation_id", type_=Message.conversation_id.type)
    return Statement(
        int,
        insert(Message)
        .from_select(
            ["user_id", "conversation_id", *_MESSAGE],
            sa.select(owner, place, *values).select_from(new),
        )
        .returning(sa.literal_column("1")),  # else Citus would COPY, which knows no policies
    )


_given = func.unnest(bindparam("names", type_=ARRAY(sa.Text()))).column_valued("name")
PRESENT = Statement(str, sa.select(_given).where(func.to_regclass(_given).is_not(None)))
MESSAGES = _row_statements.read(Message, Message.conversation_id, Message.position)
RESTORE_USER = _row_statements.restore(User)
FIND_CONVERSATION = _row_statements.find(Conversation)
RESTORE_CONVERSATION = _row_statements.restore(Conversation, more=("removed_count",))
RESTORE_MESSAGES = _restore_messages()


async def holdings(scope: Scope) -> dict[str, int]:
    """Return how many rows the user has, by table; the messages as their conversations count them.

    An application's table is called ``schema.name``, and is left out where it is not there yet.
    """
    there = {kind.table for kind in await _present(scope)}
    counted = [kind for kind in all_kinds() if kind.table in there]
    [counts] = await scope.all(_holdings(tuple(kind.model for kind in counted)))
    return dict(zip((kind.table for kind in counted), counts, strict=True))


async def tables(scope: AnyScope) -> list[str]:
    """Return the tables with rows of users, each behind the tables it refers to.

    An application's table is called ``schema.name``, and is left out where it is not there yet.
    """
    return [kind.table for kind in await _present(scope)]


async def walk(scope: Scope) -> AsyncIterator[Any]:
    """Yield everything of the user, however much: up to a thousand rows at a time.

    First the user, then tasks, configurations without their secrets, documents, and conversations,
    each of these by id; behind each conversation its messages in order. Documents that hold tokens
    for MCP servers are left out. A row of another table is its record or, where the model names
    none, a tuple of its columns; it comes behind what it refers to. All of it is from one snapshot
    where the transaction is REPEATABLE READ, as `faceplate.export.write` has it.

    Raises NotFound where there is no such user.
    """
    user: records.User = await scope.one(users.GET, id=scope.user_id)
    yield user
    for kind in await _present(scope):
        if kind.model is Conversation:
            async for item in _walk_chats(scope):
                yield item
        elif kind.key is not None and not kind.is_chats:
            async for row in _stream(scope, kind.model, _row_statements.read(kind.model)):
                if not _is_secret(row):
                    yield row


def _is_secret(row: Any) -> bool:
    return isinstance(row, records.Document) and row.kind == _mcp_tokens.KIND


async def _walk_chats(scope: Scope) -> AsyncIterator[records.Conversation | records.Message]:
    messages = _stream(scope, Message, MESSAGES)
    message = await anext(messages, None)
    chats = _stream(scope, Conversation, _row_statements.read(Conversation))
    async for conversation in chats:
        yield conversation
        while message is not None and message.conversation_id == conversation.id:
            yield message
            message = await anext(messages, None)


async def _stream(scope: Scope, model: Any, statement: Statement[Any]) -> AsyncIterator[Any]:
    """Yield all rows. A large body is read by itself: many at once take too much memory."""
    bodies = _row_statements.bodies(model)
    async for row in scope.stream(statement):
        left_out = {
            field: await scope.one(read_body, **_row_statements.key(model, row))
            for field, read_body in bodies.items()
            if getattr(row, field) == _row_statements.LEFT_OUT
        }
        yield row._replace(**left_out) if left_out else row


async def _present(scope: AnyScope) -> list[Kind]:
    """Return the kinds of which there is a table: a model may be ahead of its migration."""
    found = [kind for kind in all_kinds() if kind.model is not User]
    if theirs := [kind.quoted for kind in found if not kind.is_ours]:
        present = {*await scope.all(PRESENT, names=theirs)}
        found = [kind for kind in found if kind.is_ours or kind.quoted in present]
    return in_order(found)


async def restore_user(scope: SystemScope, user: records.User) -> records.User:
    """Store a user with the id, subject_id and email that they had; return the user.

    A user with this id who is there already is left and returned as they are.

    Raises Conflict where the subject_id or the email is another user's, InvalidInput.
    """
    check_kind("user", user, records.User)
    await scope.first(RESTORE_USER, **_row_statements.new(User, user))
    stored = await scope.first(users.GET, id=user.id)
    if stored is None:
        raise Conflict("another user has this subject_id or this email")
    return stored


async def restore_row(scope: Scope, row: Any) -> bool:
    """Store a row as `walk` had it; False if its key is there already, and then it is left.

    Not for users, conversations and messages. A column that was left out gets its default.

    Raises Conflict where another row has a value that must be unique, NotFound where the row refers
    to one that is not there, InvalidInput.
    """
    kind = next((kind for kind in all_kinds() if kind.record is type(row)), None)
    if kind is None or kind.model is User or kind.is_chats:
        raise InvalidInput("row", f"must be one of an owned table, not {type(row).__name__}")
    values = _row_statements.new(kind.model, row)
    bodies = {field: getattr(row, field) for field in _row_statements.bodies(kind.model)}
    with body_errors(scope, f"{kind.table}.{', '.join(bodies)}", *bodies.values()):
        if await scope.first(_row_statements.restore(kind.model), **values) is not None:
            return True
    if await scope.first(_row_statements.find(kind.model), **_row_statements.key(kind.model, row)):
        return False
    await scope.one(_row_statements.insert_restored(kind.model), **values)
    return True


async def restore_task(scope: Scope, task: records.Task) -> bool:
    """Store a task as it was; False if its id is there already. Raises InvalidInput."""
    check_kind("task", task, records.Task)
    return await restore_row(scope, task)


async def restore_mcp_config(scope: Scope, config: records.McpConfig) -> bool:
    """Store a configuration as it was, without secrets; False if its id is there already.

    Raises Conflict where another one has its name, InvalidInput.
    """
    check_kind("config", config, records.McpConfig)
    return await restore_row(scope, config)


async def restore_conversation(
    scope: Scope,
    conversation: records.Conversation,
    batches: Iterable[Sequence[records.Message]],
) -> bool:
    """Store a conversation with all its messages as they were; False if its id is there already.

    A conversation that exists is not changed, and no batch is read. ``batches`` are the messages by
    position, in lists that fit into memory. They are iterated twice, to check all messages before
    the first is stored, and again by a retry.

    Raises Conflict if a message's id occurs twice; InvalidInput for a value that breaks a rule, for
    positions that do not ascend or are greater than 2,000,000,000, a parent that is no earlier
    message, a head that is no message, and a ``message_count`` of fewer messages. A greater one is
    corrected: it is the last position in an archive of an earlier version, and it is wrong where
    other SQL has removed a message.
    """
    check_kind("conversation", conversation, records.Conversation)
    check_repeatable("batches", batches)
    if await scope.first(FIND_CONVERSATION, **_row_statements.key(Conversation, conversation)):
        return False
    positions = _check_places(conversation, batches)
    values = _row_statements.new(Conversation, conversation)
    last = max(conversation.message_count, *positions[-1:], 0)
    if last > LAST_POSITION:
        raise InvalidInput("messages.position", f"at most {LAST_POSITION:,}")
    values["new_message_count"] = len(positions)
    values["new_removed_count"] = last - len(positions)
    with body_errors(scope, "conversations.body", conversation.body):
        if await scope.first(RESTORE_CONVERSATION, **values) is None:
            return False
    for batch in filter(None, batches):
        rows = zip(*_rows(batch, conversation, positions), strict=True)
        arrays: dict[str, Any] = {
            f"{name}s": list(values) for name, values in zip(_MESSAGE, rows, strict=True)
        }
        with body_errors(scope, "messages.body", *arrays["bodys"]):
            await scope.execute(RESTORE_MESSAGES, conversation_id=conversation.id, **arrays)
    return True


def _check_places(
    conversation: records.Conversation, batches: Iterable[Sequence[records.Message]]
) -> "array[int]":
    """Return the positions of the messages, or raise InvalidInput where they are no tree."""
    positions = array("i")
    for message in chain.from_iterable(batches):
        if message.conversation_id != conversation.id:
            raise InvalidInput("messages.conversation_id", "must be that of the conversation")
        position = _position.check(message.position)
        parent = _parent_position.check(message.parent_position)
        if positions and position <= positions[-1]:
            raise InvalidInput("messages.position", "must ascend")
        if parent not in {None, position} and not _holds(positions, parent):
            raise InvalidInput(
                "messages.parent_position", "must be that of an earlier message, or its own"
            )
        positions.append(position)
    head = _head.check(conversation.head)
    if head is not None and not _holds(positions, head):
        raise InvalidInput("conversations.head", "must be the position of a message")
    if _count.check(conversation.message_count) < len(positions):
        raise InvalidInput("conversations.message_count", "must be the number of messages")
    return positions


def _holds(positions: "array[int]", position: int) -> bool:
    place = bisect_left(positions, position)
    return place < len(positions) and positions[place] == position


def _rows(
    batch: Sequence[records.Message], conversation: records.Conversation, positions: "array[int]"
) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each message; with a head, the newest one names its parent."""
    for message in batch:
        is_marked = conversation.head is not None and message.position == positions[-1]
        if is_marked and message.parent_position is None:
            before = positions[-2:][0]
            yield message._replace(parent_position=before)[1:]
        else:
            yield message[1:]
