"""Units of the example's own: what happens to a conversation when its user asks something."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, bindparam, select

from faceplate import (
    Conflict,
    Conversation,
    InvalidInput,
    Message,
    NotFound,
    Scope,
    Statement,
    models,
)
from faceplate.column_types import JsonObject
from faceplate.services import messages

MAX_ANSWERS = 50

_message = models.Message
_conversation_id = bindparam("conversation_id", type_=_message.conversation_id.type)

LOCK = Statement(
    UUID,
    select(models.Conversation.id)
    .where(models.Conversation.id == _conversation_id)
    .with_for_update(),
)
LAST_QUESTION = Statement(
    Message,
    select(*_message.columns())
    .where(_message.conversation_id == _conversation_id, _message.role == "user")
    .order_by(_message.position.desc())
    .limit(1),
)
FOLLOWING = Statement(
    Message,
    select(*_message.columns())
    .where(
        _message.conversation_id == _conversation_id,
        _message.position > bindparam("position", type_=_message.position.type),
    )
    .order_by(_message.position)
    .limit(bindparam("limit", type_=Integer())),
)


class Turn(NamedTuple):
    """A question of the user, and what was answered to it already: nothing, when it is new."""

    question: Message
    answers: list[Message]


async def ask(
    scope: Scope,
    conversation_id: UUID,
    *,
    content: str,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> Turn:
    """Append a question of the user. Sent again with the same ``id`` it is there once.

    Then the turn has its answers, if they are complete or the conversation has gone on. A reply
    that broke off at the end of the conversation is removed, to be given again.

    Raises as `faceplate.services.messages.append` does, and InvalidInput where it is blank.
    """
    _check_question(content)
    question = await messages.append(scope, conversation_id, role="user", content=content, id=id)
    found = await scope.all(
        FOLLOWING, conversation_id=conversation_id, position=question.position, limit=MAX_ANSWERS
    )
    answers: list[Message] = []
    for message in found:
        if message.role == "user":
            return Turn(question, answers)
        answers.append(message)
    if answers and not _is_finished(answers[-1]):
        await messages.remove_after(scope, conversation_id, question.position)
        return Turn(question, [])
    return Turn(question, answers)


async def ask_again(scope: Scope, conversation_id: UUID) -> Turn:
    """Remove what follows the user's last message, and return that message as a new turn.

    Raises NotFound, and Conflict where the user has said nothing yet.
    """
    await _lock(scope, conversation_id)
    question = await scope.first(LAST_QUESTION, conversation_id=conversation_id)
    if question is None:
        raise Conflict("there is no message of the user to answer")
    await messages.remove_after(scope, conversation_id, question.position)
    return Turn(question, [])


async def ask_otherwise(
    scope: Scope, conversation_id: UUID, message_id: UUID, *, content: str
) -> Turn:
    """Replace a message of the user, and all after it, by a new text under the same id.

    Raises NotFound, and InvalidInput for a message that is not the user's, or a blank text.
    """
    _check_question(content)
    await _lock(scope, conversation_id)
    old = await messages.get(scope, conversation_id, message_id)
    if old.role != "user":
        raise InvalidInput("message_id", f"must be a message of the user, not of role {old.role}")
    await messages.remove_after(scope, conversation_id, old.position - 1)
    question = await messages.append(
        scope, conversation_id, role="user", content=content, id=message_id
    )
    return Turn(question, [])


async def append_next(
    scope: Scope,
    last: Message,
    *,
    role: str,
    tool_calls: list[JsonObject] | None = None,
    tool_results: list[JsonObject] | None = None,
) -> Message:
    """Append what follows ``last``. Raises Conflict where something else does already."""
    stored = await messages.append(
        scope, last.conversation_id, role=role, tool_calls=tool_calls, tool_results=tool_results
    )
    if stored.position != last.position + 1:
        raise Conflict("the conversation has gone on meanwhile")
    return stored


def _check_question(content: str) -> None:
    """A message may be empty, as one with tool calls is; a question may not."""
    if not content.strip():
        raise InvalidInput("messages.content", "must not be blank")


async def _lock(scope: Scope, conversation_id: UUID) -> None:
    """Keep others from appending until the unit ends: what they append would be removed."""
    if await scope.first(LOCK, conversation_id=conversation_id) is None:
        raise NotFound(Conversation)


def _is_finished(message: Message) -> bool:
    return message.role == "assistant" and message.status == "complete" and not message.tool_calls
