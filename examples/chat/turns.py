"""Units of the example's own: what happens to a conversation when its user asks something.

Nothing is replaced. An edited question and a regenerated reply begin a branch beside the earlier
ones. ``path_end`` is the position of the last message that the user was shown, 0 for none. Where
the conversation has moved on since, in another tab for example, the units raise Conflict.
"""

from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from faceplate import Conflict, InvalidInput, Message, NotFound, Scope
from faceplate.services import conversations, messages

MAX_ANSWERS = 50
MAX_HISTORY = 100


class Turn(NamedTuple):
    """A question of the user, and what was answered to it already: nothing, when it is new."""

    history: list[Message]
    """What the model is told: the path up to the question, and no further."""
    answers: list[Message]
    branches: bool = False
    """Whether the reply begins a branch, beside what follows the question already."""

    @property
    def question(self) -> Message:
        return self.history[-1]


async def ask(
    scope: Scope,
    conversation_id: UUID,
    *,
    content: str,
    id: UUID | None = None,  # noqa: A002 - the column's name
    path_end: int | None = None,
) -> Turn:
    """Append a question of the user. Sent again with the same ``id`` it is there once.

    Then the turn has its answers, unless they broke off: those are kept, and the reply begins a
    branch.

    Raises as `faceplate.services.messages.ask` does, and InvalidInput where it is blank.
    """
    _check_question(content)
    history = await messages.ask(
        scope,
        conversation_id,
        role="user",
        content=content,
        id=id,
        after=path_end,
        limit=MAX_HISTORY,
    )
    return await _turn_of(scope, history)


async def ask_again(
    scope: Scope, conversation_id: UUID, message_id: UUID, *, path_end: int | None = None
) -> Turn:
    """Return the turn of a message, a question or part of its answer, to be answered once more.

    Raises NotFound, and Conflict where no question of the user comes before the message.
    """
    await _check_path_end(scope, conversation_id, path_end)
    message = await messages.get(scope, conversation_id, message_id)
    earlier = await messages.before(scope, conversation_id, message.position, limit=MAX_ANSWERS)
    for asked in (message, *reversed(earlier)):
        if asked.role == "user":
            history = await messages.history(
                scope, conversation_id, leaf=asked.position, limit=MAX_HISTORY
            )
            return Turn(history, [], branches=True)
    raise Conflict("there is no message of the user to answer")


async def ask_otherwise(
    scope: Scope,
    conversation_id: UUID,
    message_id: UUID,
    *,
    content: str,
    id: UUID | None = None,  # noqa: A002 - the column's name
    path_end: int | None = None,
) -> Turn:
    """Append a question in the place of another one, as a branch beside it.

    Sent again with the same ``id`` it is there once.

    Raises NotFound, Conflict, and InvalidInput for a message that is not the user's, or a blank
    text.
    """
    _check_question(content)
    await conversations.lock(scope, conversation_id)
    old = await messages.get(scope, conversation_id, message_id)
    if old.role != "user":
        raise InvalidInput("message_id", f"must be a message of the user, not of role {old.role}")
    if id is None or not await _is_stored(scope, conversation_id, id):
        await _check_path_end(scope, conversation_id, path_end)
    earlier = await messages.before(scope, conversation_id, old.position, limit=1)
    history = await messages.ask(
        scope,
        conversation_id,
        role="user",
        content=content,
        id=id,
        after=earlier[0].position if earlier else 0,
        branch=True,
        limit=MAX_HISTORY,
    )
    return await _turn_of(scope, history)


async def _turn_of(scope: Scope, history: list[Message]) -> Turn:
    """Return a stored question with the answers that it has, in its newest branch."""
    question = history[-1]
    at = (question.conversation_id, question.position)
    if not await messages.after(scope, *at, limit=1):
        return Turn(history, [])
    found = await messages.branches(scope, *at)
    (leaf,) = [branch.leaf for branch in found if branch.position == question.position]
    following = await messages.after(scope, *at, limit=MAX_ANSWERS, leaf=leaf)
    answers = list(takewhile(lambda message: message.role != "user", following))
    has_gone_on = len(answers) < len(following)
    if answers and not has_gone_on and _is_broken_off(answers[-1]):
        return Turn(history, [], branches=True)
    return Turn(history, answers)


async def _check_path_end(scope: Scope, conversation_id: UUID, path_end: int | None) -> None:
    if path_end is None:
        return
    last = await messages.history(scope, conversation_id, limit=1)
    if path_end != (last[0].position if last else 0):
        raise Conflict("the conversation has moved on: it does not end at the position given")


async def _is_stored(scope: Scope, conversation_id: UUID, message_id: UUID) -> bool:
    try:
        await messages.get(scope, conversation_id, message_id)
    except NotFound:
        return False
    return True


def _check_question(content: str) -> None:
    """A message may be empty, as one with tool calls is; a question may not."""
    if not content.strip():
        raise InvalidInput("messages.content", "must not be blank")


def _is_broken_off(message: Message) -> bool:
    """Whether an answer ended early. One that is streaming is being written elsewhere."""
    is_whole = message.role == "assistant" and not message.tool_calls
    return message.status != "streaming" and not (is_whole and message.status == "complete")
