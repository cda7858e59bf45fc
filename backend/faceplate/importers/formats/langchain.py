"""LangChain's messages and LangGraph's states.

One message has three spellings: ``{"type": "human", "data": {...}}``, the same without ``data``,
and ``{"lc": 1, "type": "constructor", "id": [..., "HumanMessage"], "kwargs": {...}}``. Calls stand
in ``tool_calls``, and again in the content or in ``additional_kwargs``. A history in a database has
a row for each message, with the id of its session.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_seconds, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.shelf import Shelf, ShelfFile
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
)

_ROWS: Final = (("session_id", "message"), ("SessionId", "History"))
"""What the columns of a history are called, for its sessions and its messages."""
_HOLDERS: Final = ("values", "channel_values", "inputs")
_LISTS: Final = ("messages", "chat_history")
_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "developer": "developer",
    "tool": "tool",
    "function": "tool",
    "chat": "chat",
    "remove": "remove",
}
_OWN: Final = ("human", "ai")
_FLAT_FIELDS: Final = (
    *("additional_kwargs", "response_metadata", "tool_calls", "tool_call_id", "usage_metadata"),
    "example",
)
_KWARGS: Final = ("tool_calls", "function_call", "reasoning_content", "reasoning")
_MESSAGE_FIELDS: Final = (
    *("type", "content", "id", "tool_calls", "tool_call_id", "additional_kwargs", "role"),
    *("tool_call_chunks", "usage_metadata"),
)
_IDS: Final = ("id", "session_id", "SessionId", "sessionId")
_CHAT_FIELDS: Final = (*_IDS, "thread_id", "title", "created_at", "ts", "updated_at")


def fits(value: JsonObject) -> int:
    """Return 4 for a list of messages of which one is a human's or a model's, 3 for most of one."""
    kinds = [_kind(_of_row(message)[1] or message) for message in _messages(value)]
    if not any(kind in _OWN for kind in kinds):
        return 0
    return 4 if all(kinds) else 3 * (2 * kinds.count("") <= len(kinds))


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message that is a value of its own."""
    session, message = _of_row(value)
    return session if message else "" if _kind(value) else None


def _holder(value: JsonObject) -> tuple[str, JsonObject, str]:
    """Return the object in a value that has the list of messages, its key and that of the list."""
    for key in ("", *_HOLDERS):
        inner = as_object(value.get(key)) if key else value
        for name in _LISTS:
            if isinstance(inner.get(name), list):
                return key, inner, name
    return "", {}, ""


def _messages(value: JsonObject) -> Iterator[JsonObject]:
    """Yield the messages of a value; those of a run are followed by its answers."""
    _, inner, name = _holder(value)
    for each in as_list(inner.get(name)):
        yield from map(as_object, each if isinstance(each, list) else [each])
    yield from map(as_object, _answers(value))


def _of_row(row: JsonObject) -> tuple[str, JsonObject]:
    """Return the session and the message of a row of a history; empty ones of any other value."""
    for session, column in _ROWS:
        message = as_object(row.get(column))
        if session in row and _kind(message):
            return openai.read_id(row[session]), message
    return "", {}


def _answers(value: JsonObject) -> list[Any]:
    """Return the answers of a run, if it has one to each prompt."""
    generations = as_list(as_object(value.get("outputs")).get("generations"))
    answers = [as_object(answer) for each in generations for answer in as_list(each)]
    is_single = len(answers) == len(generations)
    return [answer["message"] for answer in answers if is_single and "message" in answer]


def _kind(message: JsonObject) -> str:
    """Return the kind of a message such as ``human``, or empty text if it is none."""
    kind = first_text(message.get("type"))
    if message.get("lc") == 1:
        path = as_list(message.get("id"))
        kind = path[-1] if path and isinstance(path[-1], str) else ""
    kind = kind.removesuffix("Chunk").removesuffix("Message").lower()
    data = _data(message)
    is_flat = data is message and kind not in _OWN
    is_message = "content" in data and not (is_flat and not any(k in data for k in _FLAT_FIELDS))
    return kind if kind in _ROLES and (is_message or kind == "remove") else ""


def _data(message: JsonObject) -> JsonObject:
    if message.get("lc") == 1:
        return as_object(message.get("kwargs"))
    data = message.get("data")
    return data if isinstance(data, dict) else message


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    key, inner, name = _holder(value)
    if not name:
        raise Unreadable("messages must be a list of messages")
    configured = as_object(as_object(value.get("config")).get("configurable"))
    abouts = (
        value,
        as_object(value.get("checkpoint")),
        configured,
        as_object(value.get("metadata")),
    )
    thread = first_text(*(about.get("thread_id") for about in abouts))
    rest = without(value, *_CHAT_FIELDS, key or name)
    if key:
        rest |= without(inner, name)
    if _answers(value):
        rest["outputs"] = without(value["outputs"], "generations")
    chat = SourceChat(
        (),
        id=thread or openai.read_id(first_of(value, *_IDS)),
        title=value.get("title"),
        created=first_of(value, "created_at", "ts"),
        updated=value.get("updated_at"),
        rest={field: content for field, content in rest.items() if content},
    )
    if all(_of_row(as_object(row))[1] for row in inner[name]):
        yield from _read_rows(inner[name], chat)
    else:
        yield chat._replace(messages=map(_read_message, _messages(value)))


def _read_rows(rows: list[JsonObject], about: SourceChat) -> Iterator[SourceChat]:
    """Yield the chat of each session in the rows of a history.

    What the source says about them is of the only session; the first one of several keeps it.
    """
    file = ShelfFile()
    sessions: dict[str, _Session] = {}
    columns = {column for pair in _ROWS for column in pair}
    for row in rows:
        session, message = _of_row(row)
        found = _read_message(message)
        rest = {**(found.rest or {}), **without(row, "id", "_id", "created_at", *columns)}
        found = found._replace(created=found.created or row.get("created_at"), rest=rest)
        if session not in sessions:
            sessions[session] = _Session(Shelf(file=file))
        sessions[session].note(row)
        file.put(sessions[session].messages, found)
    if len(sessions) > 1:
        title = {"title": about.title} if about.title else {}
        about = SourceChat((), rest={**title, **(about.rest or {})})
    for id_, found_rows in sessions.items():
        yield about._replace(messages=found_rows.in_order(), id=id_)
        about = SourceChat(())


class _Session:
    """The messages of a session, in the order of its rows, which may be newest first."""

    def __init__(self, messages: Shelf[Message]) -> None:
        self.messages = messages
        self._first: float | None = None
        self._last: float | None = None
        self._is_falling = True

    def note(self, row: JsonObject) -> None:
        """Compare the number of the next row, or else its time, with that of the one before."""
        id_ = openai.read_id(row.get("id"))
        number = float(id_) if id_.isdecimal() else to_seconds(row.get("created_at"))
        if not self.messages:
            self._first = self._last = number
        if number is None or self._last is None or number > self._last:
            self._is_falling = False
        self._last = number

    def in_order(self) -> Iterable[Message]:
        """Return the messages from the oldest to the newest."""
        is_newest_first = self._is_falling and self._first != self._last
        return reversed(self.messages) if is_newest_first else self.messages


def _read_message(message: JsonObject) -> Message:
    kind, data = _kind(message), _data(message)
    role = (
        first_text(data.get("role"), "unknown") if kind == "chat" else _ROLES.get(kind, "unknown")
    )
    about, usage = as_object(data.get("response_metadata")), as_object(data.get("usage_metadata"))
    counted = as_object(first_of(about, "token_usage", "usage"))
    pieces = list(_pieces(data))
    tool = first_text(data.get("name")) if role == "tool" else ""
    if role == "tool":
        pieces = [Result(data.get("content"), first_text(data.get("tool_call_id")), tool)]
    kwargs = without(as_object(data.get("additional_kwargs")), *_KWARGS)
    beside = {} if data is message else without(message, "lc", "type", "id", "kwargs", "data")
    rest = {**beside, **without(data, *_MESSAGE_FIELDS), "additional_kwargs": kwargs}
    return Message(
        {"human": "user", "ai": "assistant"}.get(role, role),
        pieces,
        id=openai.read_id(data.get("id")),
        created=first_of(about, "created_at") or first_of(kwargs, "timestamp", "created_at"),
        model=first_of(about, "model_name", "model", "model_id"),
        input_tokens=first_of(usage, "input_tokens") or first_of(counted, "prompt_tokens"),
        output_tokens=first_of(usage, "output_tokens") or first_of(counted, "completion_tokens"),
        is_hidden=kind == "remove",
        rest={key: field for key, field in rest.items() if field and field != tool},
        original=message,
    )


def _pieces(data: JsonObject) -> Iterator[Piece]:
    """Yield the pieces of a content and the calls; a call that stands in both only once."""
    calls = list(_calls(data))
    ids = {call.id for call in calls if isinstance(call, Call)}
    kwargs = as_object(data.get("additional_kwargs"))
    for key in ("reasoning_content", "reasoning"):
        if kwargs.get(key):
            yield Aside("reasoning", kwargs[key])
    content = data.get("content")
    for part in content if isinstance(content, list) else [content]:
        for piece in _part(part):
            if not (isinstance(piece, Call) and piece.id in ids):
                yield piece
    yield from calls


def _part(part: object) -> list[Piece]:
    """Return the pieces of a part: LangChain's own kinds here, all others by `read_part`."""
    fields = as_object(part)
    kind = fields.get("type")
    if kind == "text-plain" and isinstance(fields.get("text"), str):
        name, mime = first_text(fields.get("title")), first_text(fields.get("mime_type"), "text")
        return [Attachment(mime, name, text=fields["text"], part=without(fields, "text"))]
    if kind == "non_standard":
        return read_part(fields.get("value"))
    return read_part(part)


def _calls(data: JsonObject) -> Iterator[Piece]:
    """Yield the calls of a message, from the first place that has some."""
    kwargs = as_object(data.get("additional_kwargs"))
    made = [*as_list(data.get("tool_calls")), *as_list(data.get("invalid_tool_calls"))]
    raw = [{**as_object(call), "type": "tool_call"} for call in as_list(kwargs.get("tool_calls"))]
    if function := as_object(kwargs.get("function_call")):
        raw.append({"type": "tool_call", **function})
    for call in made or raw:
        fields = {"type": "tool_call", **without(as_object(call), "error")}
        yield from read_part(fields)


FORMAT: Final = Format(
    "langchain",
    "LangChain messages",
    fits,
    read,
    known=("artifact", "writes", "tasks", "tool_call_chunks"),
    joins=joins,
)
