"""Append a message and return the history for a model."""

from contextlib import nullcontext
from datetime import datetime
from operator import attrgetter
from uuid import UUID

from faceplate import records
from faceplate.column_types import JsonObject
from faceplate.pagination import DEFAULT_LIMIT, check_limit
from faceplate.scope import Scope, one_statement, shareable
from faceplate.services import _asking
from faceplate.services._arguments import checked_after
from faceplate.services._bodies import body_errors
from faceplate.services._new_messages import NewMessage
from faceplate.services.conversations import NewConversation
from faceplate.services.messages._reading import MAX_LIMIT
from faceplate.services.messages._writing import BODY

_position = attrgetter("position")


@shareable
@one_statement
async def ask(
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
    limit: int = DEFAULT_LIMIT,
) -> list[records.Message]:
    """Append a message and return the history for a model, which ends with it.

    It does what `append` and then `history` do, in one round trip. The question of a user begins a
    turn, and the results of tools go on with it. The history has the last ``limit`` messages (1 to
    1,000) of the path, in order, the new one among them. `append` tells of the other arguments.

    A caller that gives an ``id`` may retry the call: the retry returns the history that ends with
    the message that the first call stored.

    Raises the errors of `append`.
    """
    check_limit(limit, MAX_LIMIT)
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
    with nullcontext() if body is None else body_errors(scope, BODY, body):
        rows = await _asking.ask_one(
            scope, conversation_id, message, after=after, branch=branch, opens=opens, limit=limit
        )
    return sorted(rows, key=_position)
