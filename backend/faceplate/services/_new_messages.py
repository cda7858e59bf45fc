"""A message before it is stored, and the rules that no column type can express."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from faceplate import records
from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.services import tool_calls

ROLE = "messages.role"


class _NewMessage(NamedTuple):
    role: str | None
    content: str
    tool_calls: list[JsonObject] | None
    tool_results: list[JsonObject] | None
    metadata: JsonObject | None
    id: UUID | None
    body: str | None
    created_at: datetime | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None


class NewMessage(_NewMessage):
    """A message to append: see `faceplate.services.messages.append` for its fields.

    A field that is None is empty; without an id it gets a new one.
    """

    __slots__ = ()

    def __new__(  # noqa: PLR0917 - a row, in the order of its columns
        cls,
        role: str | None = None,
        content: str | None = "",
        tool_calls: list[JsonObject] | None = None,
        tool_results: list[JsonObject] | None = None,
        metadata: JsonObject | None = None,
        id: UUID | None = None,  # noqa: A002 - the column's name
        body: str | None = None,
        created_at: datetime | None = None,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> Self:
        """Take None as empty content: OpenAI's models send it beside tool calls."""
        text = "" if content is None else content
        return super().__new__(
            cls,
            role,
            text,
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

    def __repr__(self) -> str:
        return f"NewMessage(role={self.role!r}, chars={len(self.content)})"

    @property
    def uses_tools(self) -> bool:
        return bool(self.tool_calls or self.tool_results)

    def completed(self, new_id: UUID) -> Self:
        """Return the message as it is stored, with an id and with metadata."""
        metadata = {} if self.metadata is None else self.metadata
        return self._replace(id=self.id or new_id, metadata=metadata)


def check_shape(message: NewMessage) -> None:
    """Raise InvalidInput unless role, body, tool calls and results fit each other."""
    if message.role is None and message.body is None:
        raise InvalidInput(ROLE, "is required unless there is a body")
    if message.tool_calls is not None:
        if message.role != "assistant":
            raise InvalidInput(tool_calls.CALLS, "only an assistant message carries tool calls")
        tool_calls.check_calls(message.tool_calls)
    if message.tool_results is not None:
        if message.role != "tool":
            raise InvalidInput(tool_calls.RESULTS, "only a tool message carries tool results")
        tool_calls.check_results(message.tool_results)
    elif message.role == "tool" and message.body is None:
        raise InvalidInput(tool_calls.RESULTS, "is required in a tool message without a body")


def tool_ids(message: NewMessage | records.Message) -> tuple[set[Any], set[Any]]:
    """Return the ids of the message's calls, and the ids of the calls its results answer."""
    calls = {call["id"] for call in message.tool_calls or ()}
    return calls, {result["tool_call_id"] for result in message.tool_results or ()}


def newest_time(messages: Sequence[NewMessage], *times: datetime | None) -> datetime | None:
    """Return the newest of the messages' times and of ``times``; None stands for now.

    A value that is no time counts as now, since the column's rule refuses it later. This machine's
    clock decides whether a time is in the future.
    """
    given = [*times, *(message.created_at for message in messages)]
    known = [time for time in given if isinstance(time, datetime) and time.utcoffset() is not None]
    newest = max(known, default=None)
    if newest is None or (len(known) < len(given) and newest <= datetime.now(UTC)):
        return None
    return newest


def content_of(message: NewMessage | records.Message) -> tuple[Any, ...]:
    """Return what has to be the same if a message is appended again by its id."""
    return (
        message.role,
        message.content,
        message.tool_calls,
        message.tool_results,
        message.metadata,
        message.body,
    )


def names_of_tools(messages: Iterable[NewMessage]) -> Iterable[str]:
    """Yield what is logged of tool calls and results: names and numbers, no arguments."""
    for message in messages:
        if message.tool_calls:
            names = ", ".join(tool_calls.names_of(message.tool_calls))
            yield f"{len(message.tool_calls)} tool calls stored: {names}"
        elif message.tool_results:
            yield f"{len(message.tool_results)} tool results stored"
