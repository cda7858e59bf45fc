"""How messages are appended: in one statement, or after the conversation was locked.

One statement is enough for a message without tools whose path ends at the newest message, and for
messages that answer their own tool calls. It does nothing for any other message, nor for one that
is stored: then the conversation is locked, and its path tells where the message belongs.
"""

import logging
from collections.abc import Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from faceplate import records
from faceplate.column_types.json_values import json_copy
from faceplate.errors import Conflict, Contention, InvalidInput, NotFound
from faceplate.scope import Scope
from faceplate.services import (
    _path_statements,
    conversation_statements,
    conversations,
    tool_calls,
)
from faceplate.services import append_statements as sql
from faceplate.services._arguments import check_kind
from faceplate.services._bodies import body_errors
from faceplate.services._new_messages import (
    NewMessage,
    check_shape,
    content_of,
    names_of_tools,
    newest_time,
)
from faceplate.services._path_changes import Tree
from faceplate.services.conversations import NewConversation
from faceplate.statement import Statement

R = TypeVar("R")

logger = logging.getLogger("faceplate")

_NOTHING_MORE = (None,) * len(NewMessage._fields[6:])
MOVED_ON = "the conversation has moved on: its path does not end at the message that is answered"


async def append_one(
    scope: Scope,
    conversation_id: UUID,
    message: NewMessage,
    *,
    after: int | None,
    branch: bool,
    opens: NewConversation | None,
    status: str = "complete",
) -> records.Message:
    """Append a message, which has an id; return it as it is stored."""
    check_shape(message)
    check_opens(scope, conversation_id, opens)
    if not (message.uses_tools or branch):
        appending, values = at_end(scope, message, after)
        stamps = await insert(scope, appending, conversation_id, status=status, **values)
        if stamps:
            return _stored(conversation_id, message, stamps[0])
    [stored] = await append_placed(
        scope, conversation_id, [message], after=after, branch=branch, opens=opens, status=status
    )
    return stored


async def append_batch(
    scope: Scope,
    conversation_id: UUID,
    batch: Sequence[NewMessage],
    *,
    after: int | None,
    branch: bool,
    opens: NewConversation | None,
) -> list[records.Message]:
    """Append messages, which have ids, all or none; return them as they are stored."""
    for message in batch:
        check_shape(message)
    check_opens(scope, conversation_id, opens)
    if after is None and tool_calls.answers_itself(batch):
        stamps = await insert(scope, sql.APPEND_MANY, conversation_id, **_arrays(batch))
        if stamps:
            return _stored_batch(conversation_id, batch, stamps)
    return await append_placed(
        scope, conversation_id, batch, after=after, branch=branch, opens=opens
    )


def at_end(
    scope: Scope, message: NewMessage, after: int | None
) -> tuple[Statement[sql.Stamp], dict[str, Any]]:
    """Return the statement that appends a message without tools to the end, and its values."""
    if after is None and message[6:] == _NOTHING_MORE:
        role, content, _, _, metadata, id_ = message[:6]
        values = {"id": id_, "role": role, "content": content, "metadata": metadata}
        return (sql.APPEND_ALONE if scope.autocommits else sql.APPEND), values
    values = values_without_tools(message)
    if after is None:
        return sql.APPEND_WHOLE, values
    return sql.APPEND_AFTER, values | {"after": after}


def values_without_tools(message: NewMessage) -> dict[str, Any]:
    """Return all values of a message that has neither tool calls nor results."""
    role, content, _, _, metadata, id_, body, created_at, model, *tokens = message
    input_tokens, output_tokens = tokens
    return {
        "id": id_,
        "role": role,
        "content": content,
        "metadata": metadata,
        "body": body,
        "active_at": created_at,
        "model": model,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }


async def append_placed(
    scope: Scope,
    conversation_id: UUID,
    batch: Sequence[NewMessage],
    *,
    after: int | None,
    branch: bool,
    opens: NewConversation | None,
    status: str = "complete",
) -> list[records.Message]:
    """Lock the conversation, find the messages or their place, and append them."""
    tree = await _locked(scope, conversation_id, batch, opens)
    if tree is None:
        return await _stored_before(scope, conversation_id, batch)
    parent = await _parent(tree, after, branch=branch)
    if not tool_calls.answers_itself(batch):
        await _check_tools(scope, conversation_id, batch, parent)
    stamps = await insert(
        scope,
        sql.APPEND_PLACED,
        conversation_id,
        parent=None if parent == tree.newest else parent,
        status=status,
        **_arrays(batch),
    )
    return _stored_batch(conversation_id, batch, stamps)


async def _locked(
    scope: Scope,
    conversation_id: UUID,
    batch: Sequence[NewMessage],
    opens: NewConversation | None,
) -> Tree | None:
    """Return the conversation, locked; None if one of the messages is stored in it."""
    lock = _path_statements.LOCK
    locked = await scope.first(lock, conversation_id=conversation_id)
    if locked is None and opens is not None:
        await _make(scope, conversation_id, opens)
        locked = await scope.first(lock, conversation_id=conversation_id)
    if locked is None:
        raise NotFound(records.Conversation)
    ids = [message.id for message in batch]
    place = await scope.one(
        _path_statements.PLACE, conversation_id=conversation_id, ids=ids, head=locked.head
    )
    return None if place.is_stored else Tree(scope, locked.id, place)


def check_opens(scope: Scope, conversation_id: UUID, opens: NewConversation | None) -> None:
    """Raise InvalidInput unless ``opens`` is a conversation with this id, there or not."""
    if opens is None:
        return
    check_kind("opens", opens, NewConversation)
    if (opens.source is None) != (opens.key is None):
        raise InvalidInput("opens.key", "must be given with a source, or neither of them")
    if opens.source is None or opens.key is None:
        return
    if conversation_id != conversations.id_of(scope.user_id, source=opens.source, key=opens.key):
        rule = "must be conversations.id_of the source and the key of opens"
        raise InvalidInput("conversation_id", rule)


async def _make(scope: Scope, conversation_id: UUID, new: NewConversation) -> None:
    """Make a conversation unless it exists."""
    with body_errors(scope, conversations.BODY, new.body):
        await scope.first(conversation_statements.CREATE, id=conversation_id, **new.values())


async def _parent(tree: Tree, after: int | None, *, branch: bool) -> int:
    """Return the position of the message that the new one follows, or 0 for none."""
    if after is None or after == tree.end:
        return tree.end
    if after and not await tree.has(after):
        raise NotFound(records.Message)
    if not branch:
        raise Conflict(MOVED_ON)
    return after


async def _check_tools(
    scope: Scope, conversation_id: UUID, batch: Sequence[NewMessage], parent: int
) -> None:
    """Raise InvalidInput if tool calls and results do not match the path's."""
    found = await scope.all(tool_calls.PENDING, conversation_id=conversation_id, leaf=parent)
    pending = {call.id for call in found}
    for message in batch:
        tool_calls.update_pending(pending, message.tool_calls, message.tool_results)


async def insert(
    scope: Scope, appending: Statement[R], conversation_id: UUID, **values: Any
) -> list[R]:
    """Return the rows of a statement that appends, or none if it did nothing.

    Raises Contention if another transaction appends the same message now; a retry finds it. Where
    the statement is a transaction by itself, the unit is run again in one that looks for it.
    """
    values["conversation_id"] = conversation_id
    try:
        if scope.is_on_citus:
            return await insert_in_steps(scope, appending, values)
        return await scope.all(appending, **values)
    except Conflict as error:
        if error.constraint != "pk_messages":
            raise
        if scope.autocommits:
            scope.restart_in_transaction()
        raise Contention(
            "the same message is being appended by another transaction", sqlstate=error.sqlstate
        ) from None


async def insert_in_steps(
    scope: Scope, appending: Statement[Any], values: dict[str, Any]
) -> list[Any]:
    """Count the conversation up, and insert at its new end: see `append_statements.STEPS`.

    In a unit that does no more, the INSERT commits.
    """
    may_commit = scope.begin_with_next()
    count_up, add = sql.STEPS[appending]
    added = _taken_by(add, values)
    add.compiled.bind(added | {"end": 0}, scope.user_id)  # refuses a value before anything is sent
    end = await scope.first(count_up, **_taken_by(count_up, values))
    if end is None:
        return []
    if may_commit:
        scope.commit_with_next()
    return await scope.all(add, end=end, **added)


def _taken_by(statement: Statement[Any], values: dict[str, Any]) -> dict[str, Any]:
    checks = statement.compiled.checks
    return {name: value for name, value in values.items() if name in checks}


async def _stored_before(
    scope: Scope, conversation_id: UUID, messages: Sequence[NewMessage]
) -> list[records.Message]:
    """Return the messages that an earlier call with the same ids and content stored."""
    ids = [message.id for message in messages]
    rows = await scope.all(sql.STORED, conversation_id=conversation_id, ids=ids)
    stored = {message.id: message for message in rows}
    if len(stored) < len(messages):
        raise Conflict("some of the messages exist already", constraint="pk_messages")
    for message in messages:
        if content_of(stored[cast("UUID", message.id)]) != content_of(message):
            raise Conflict(
                "a message with this id exists already with other content",
                constraint="pk_messages",
            )
    return [stored[message.id] for message in messages if message.id is not None]


def _arrays(batch: Sequence[NewMessage]) -> dict[str, Any]:
    columns = zip(NewMessage._fields, zip(*batch, strict=True), strict=True)
    return {f"{name}s": list(values) for name, values in columns} | {
        "active_at": newest_time(batch)
    }


def _stored_batch(
    conversation_id: UUID, batch: Sequence[NewMessage], stamps: list[sql.Stamp]
) -> list[records.Message]:
    for line in names_of_tools(batch):
        logger.info("%s", line)
    in_order = sorted(stamps, key=lambda stamp: stamp.position)
    return [
        _stored(conversation_id, message, stamp)
        for message, stamp in zip(batch, in_order, strict=True)
    ]


def _stored(conversation_id: UUID, message: NewMessage, stamp: sql.Stamp) -> records.Message:
    """Return the message that was sent as a read would return it."""
    role, content, calls, results, metadata, id_, body, _, model, asked, answered = message
    position, parent_position, status, created_at, updated_at = stamp
    return records.Message(
        conversation_id,
        id_,  # type: ignore[arg-type]  # the message has one by now
        position,
        parent_position,
        None if role is None else plain(role),
        plain(content),
        None if calls is None else json_copy(calls),
        None if results is None else json_copy(results),
        json_copy(metadata),
        None if body is None else plain(body),
        status,
        None if model is None else plain(model),
        asked,
        answered,
        created_at,
        updated_at,
    )


plain = str.__str__
"""Returns text of a subclass of str, such as an enumeration's, as a read returns it."""
