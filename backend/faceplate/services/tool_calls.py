"""Tool calls and their results, in the shape of OpenAI's chat messages.

An assistant message has calls. A tool message has results, each of which names a call::

    tool_calls = [{"id": "call_1", "type": "function",
                   "function": {"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}]
    tool_results = [{"tool_call_id": "call_1", "content": "4 degrees, rain"}]

Some models number their calls from the beginning in every turn. So an id may be used again after
its call was answered, and a result answers the newest call with its id.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func

from faceplate.column_types import Json, JsonObject
from faceplate.errors import InvalidInput
from faceplate.models import Message
from faceplate.services._path_statements import is_on_path
from faceplate.statement import Statement

CALLS = "messages.tool_calls"
RESULTS = "messages.tool_results"


class PendingToolCall(NamedTuple):
    """A tool call without a result."""

    id: str
    name: str
    message_id: UUID
    position: int
    """The position of the message that made the call."""


def _unanswered() -> sa.Select[Any]:
    """Return a SELECT of the calls on the path after which no result with the same id came."""
    item = func.jsonb_array_elements(func.coalesce(Message.tool_calls, Message.tool_results))
    spoken = (
        sa.select(
            Message.id.label("message_id"),
            Message.position,
            Message.tool_calls.is_not(None).label("is_call"),
            item.column_valued("item"),
        )
        .where(
            Message.conversation_id == bindparam("conversation_id"),
            Message.tool_calls.is_not(None) | Message.tool_results.is_not(None),
            is_on_path(),
        )
        .subquery()
    )
    call_id = func.coalesce(spoken.c.item.op("->>")("id"), spoken.c.item.op("->>")("tool_call_id"))
    name = func.coalesce(
        spoken.c.item.op("#>>")(sa.literal_column("'{function,name}'")),
        spoken.c.item.op("#>>")(sa.literal_column("'{custom,name}'")),
    )
    last = sa.select(
        call_id.label("id"),
        name.label("name"),
        spoken.c.message_id,
        spoken.c.position,
        spoken.c.is_call,
        func.row_number()
        .over(partition_by=call_id, order_by=spoken.c.position.desc())
        .label("from_last"),
    ).subquery()
    return (
        sa.select(last.c.id, last.c.name, last.c.message_id, last.c.position)
        .where(last.c.is_call, last.c.from_last == 1)
        .order_by(last.c.position, last.c.id)
    )


PENDING = Statement(PendingToolCall, _unanswered())


def names_of(calls: Iterable[JsonObject]) -> list[str]:
    """Return the names of the called tools; `check_calls` has checked ``calls``."""
    return [call[call.get("type", "function")]["name"] for call in calls]


def check_calls(calls: list[JsonObject]) -> None:
    """Raise InvalidInput unless ``calls`` have OpenAI's shape and distinct ids."""
    _type("tool_calls").validate(calls)
    if not calls:
        raise InvalidInput(CALLS, "must not be empty; omit it instead")
    for call in calls:
        kind = call.get("type", "function")
        if kind not in ("function", "custom"):
            raise InvalidInput(CALLS, "each type must be function or custom")
        body = call.get(kind)
        text = "arguments" if kind == "function" else "input"
        if not (_is_name(call.get("id")) and isinstance(body, dict)):
            raise InvalidInput(CALLS, f"each call needs an id and an object {kind}")
        if not (_is_name(body.get("name")) and isinstance(body.get(text), str)):
            raise InvalidInput(CALLS, f"each {kind} needs a name and {text}, both text")
    _check_distinct(CALLS, [call["id"] for call in calls])


def check_results(results: list[JsonObject]) -> None:
    """Raise InvalidInput unless ``results`` name distinct calls."""
    _type("tool_results").validate(results)
    if not results:
        raise InvalidInput(RESULTS, "must not be empty")
    if not all(_is_name(result.get("tool_call_id")) for result in results):
        raise InvalidInput(RESULTS, "each result needs a tool_call_id")
    _check_distinct(RESULTS, [result["tool_call_id"] for result in results])


def answers_itself(messages: Iterable[Any]) -> bool:
    """Return whether each result answers a call before it in ``messages``, and all are answered.

    Then the path's calls do not matter. `check_calls` and `check_results` have checked them.
    """
    pending: set[str] = set()
    try:
        for message in messages:
            update_pending(pending, message.tool_calls, message.tool_results)
    except InvalidInput:
        return False
    return not pending


def update_pending(
    pending: set[str],
    calls: Iterable[JsonObject] | None,
    results: Iterable[JsonObject] | None,
) -> None:
    """Add a message's calls to ``pending``, and remove those with results.

    Raises InvalidInput for a result without a pending call, and for a call whose id is pending.
    """
    for call in calls or ():
        if call["id"] in pending:
            raise InvalidInput(CALLS, "an id belongs to an earlier call that is still pending")
        pending.add(call["id"])
    for result in results or ():
        if result["tool_call_id"] not in pending:
            raise InvalidInput(
                RESULTS, "a tool_call_id matches no pending call of this conversation"
            )
        pending.remove(result["tool_call_id"])


def _type(name: str) -> Json:
    return cast("Json", Message.__table__.c[name].type)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _check_distinct(field: str, ids: list[str]) -> None:
    if len(set(ids)) < len(ids):
        raise InvalidInput(field, "the ids must be distinct")
