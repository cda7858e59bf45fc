"""Everything of a user, in one walk; and the way back, with ids, places and times as they were.

`faceplate.export` writes the walk to a file, and `faceplate.importers.faceplate_export` reads it
back.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.errors import Conflict, InvalidInput
from faceplate.models import Base, Conversation, McpConfig, Message, Owned, Task, User
from faceplate.scope import Scope, SystemScope
from faceplate.services import mcp_configs, users
from faceplate.services.arguments import check_iterable, check_kind
from faceplate.services.message_statements import unnest
from faceplate.statement import Statement

Item: TypeAlias = (
    records.User | records.Task | records.McpConfig | records.Conversation | records.Message
)

_MESSAGE = [name for name in records.Message._fields if name != "conversation_id"]


class Holdings(NamedTuple):
    """How many rows a user has."""

    conversations: int
    messages: int
    tasks: int
    mcp_configs: int


def _count(model: type[Base], counted: Any) -> Any:
    return sa.select(counted).select_from(model).scalar_subquery()


def _restore(model: Any, *left_out: str) -> Statement[UUID]:
    """Insert a record as it was, unless a key of it is taken."""
    columns = zip(model.record._fields, model.columns(), strict=True)
    values = {
        column: bindparam(name, type_=column.type)
        for name, column in columns
        if name not in left_out
    }
    if issubclass(model, Owned):
        values[model.user_id] = bindparam("user_id")
    return Statement(
        UUID, insert(model).values(values).on_conflict_do_nothing().returning(model.id)
    )


def _restore_messages() -> Statement[Any]:
    new, values = unnest(Message.__table__, _MESSAGE)
    owner = bindparam("user_id", type_=Message.user_id.type)
    place = bindparam("conversation_id", type_=Message.conversation_id.type)
    return Statement(
        int,
        insert(Message).from_select(
            ["user_id", "conversation_id", *_MESSAGE],
            sa.select(owner, place, *values).select_from(new),
        ),
    )


HOLDINGS = Statement(
    Holdings,
    sa.select(
        _count(Conversation, func.count()),
        _count(Conversation, func.coalesce(func.sum(Conversation.message_count), 0)),
        _count(Task, func.count()),
        _count(McpConfig, func.count()),
    ),
)
TASKS = Statement(records.Task, sa.select(*Task.columns()).order_by(Task.id))
MCP_CONFIGS = Statement(records.McpConfig, sa.select(*McpConfig.columns()).order_by(McpConfig.id))
CONVERSATIONS = Statement(
    records.Conversation, sa.select(*Conversation.columns()).order_by(Conversation.id)
)
MESSAGES = Statement(
    records.Message,
    sa.select(*Message.columns()).order_by(Message.conversation_id, Message.position),
)
RESTORE_USER = _restore(User)
RESTORE_CONVERSATION = _restore(Conversation)
RESTORE_MESSAGES = _restore_messages()
RESTORE_TASK = _restore(Task)
RESTORE_MCP_CONFIG = _restore(McpConfig, "has_secrets")


async def holdings(scope: Scope) -> Holdings:
    """Return how many rows the user has; the messages as their conversations count them."""
    return await scope.one(HOLDINGS)


async def walk(scope: Scope) -> AsyncIterator[Item]:
    """Yield everything of the user, however much: a few hundred rows at a time.

    First the user, then tasks, configurations without their secrets, and conversations, each of
    these by id; behind each conversation its messages in order. All of it is from one snapshot
    where the transaction is REPEATABLE READ, as `faceplate.export.write` has it.

    Raises NotFound where there is no such user.
    """
    user: records.User = await scope.one(users.GET, id=scope.user_id)
    yield user
    async for task in scope.stream(TASKS):
        yield task
    async for config in scope.stream(MCP_CONFIGS):
        yield config
    messages = scope.stream(MESSAGES)
    message = await anext(messages, None)
    async for conversation in scope.stream(CONVERSATIONS):
        yield conversation
        while message is not None and message.conversation_id == conversation.id:
            yield message
            message = await anext(messages, None)


async def restore_user(scope: SystemScope, user: records.User) -> records.User:
    """Store a user with the id, subject_id and email that they had; return the user.

    A user with this id who is there already is left and returned as they are.

    Raises Conflict where the subject_id or the email is another user's, InvalidInput.
    """
    check_kind("user", user, records.User)
    await scope.first(RESTORE_USER, **user._asdict())
    stored = await scope.first(users.GET, id=user.id)
    if stored is None:
        raise Conflict("another user has this subject_id or this email")
    return stored


async def restore_task(scope: Scope, task: records.Task) -> bool:
    """Store a task as it was; False if its id is there already. Raises InvalidInput."""
    check_kind("task", task, records.Task)
    return await scope.first(RESTORE_TASK, **task._asdict()) is not None


async def restore_mcp_config(scope: Scope, config: records.McpConfig) -> bool:
    """Store a configuration as it was, without secrets; False if its id is there already.

    Raises Conflict where another one has its name, InvalidInput.
    """
    check_kind("config", config, records.McpConfig)
    values = config._asdict()
    del values["has_secrets"]
    if await scope.first(RESTORE_MCP_CONFIG, **values) is not None:
        return True
    if await scope.first(mcp_configs.GET, id=config.id) is None:
        raise Conflict(
            "another configuration has this name", constraint="uq_mcp_configs_user_id_name"
        )
    return False


async def restore_conversation(
    scope: Scope,
    conversation: records.Conversation,
    batches: Iterable[Sequence[records.Message]],
) -> bool:
    """Store a conversation with all its messages as they were; False if its id is there already.

    Then what is there is left as it is, and no batch is asked for. ``batches`` are the messages
    in order, so many at a time as may be held at once; a unit that is retried iterates anew.

    Raises Conflict where a message's id occurs twice, InvalidInput for a value that breaks a rule.
    """
    check_kind("conversation", conversation, records.Conversation)
    check_iterable("batches", batches)
    if await scope.first(RESTORE_CONVERSATION, **conversation._asdict()) is None:
        return False
    last = 0
    for batch in batches:
        for message in batch:
            _check_place(message, conversation, last)
            last = message.position
        rows = zip(*(message[1:] for message in batch), strict=True)
        arrays: dict[str, Any] = {
            f"{name}s": list(values) for name, values in zip(_MESSAGE, rows, strict=True)
        }
        await scope.execute(RESTORE_MESSAGES, conversation_id=conversation.id, **arrays)
    return True


def _check_place(message: records.Message, conversation: records.Conversation, last: int) -> None:
    if message.conversation_id != conversation.id:
        raise InvalidInput("messages.conversation_id", "must be that of the conversation before it")
    if not isinstance(message.position, int):
        raise InvalidInput("messages.position", "must be a whole number")
    if not last < message.position <= conversation.message_count:
        raise InvalidInput(
            "messages.position", "must go up, as far as conversations.message_count at most"
        )
