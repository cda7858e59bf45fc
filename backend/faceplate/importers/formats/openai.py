"""OpenAI chat messages: ``{"id", "title", "messages": [{"role", "content", ...}]}``.

Programs and datasets write them in every shape: calls without ids or with objects as arguments, the
older ``function_call`` and ``function``, roles with capitals, the parts of newer interfaces, and
fields of their own for times, reasoning and files. Other interfaces have the same list of messages,
so their modules read theirs by `read_message`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_content, read_part
from faceplate.importers.fields import (
    as_list,
    as_object,
    first_of,
    first_text,
    to_time,
    without,
)
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.order import is_newest_first
from faceplate.importers.prologue import take_prompts
from faceplate.importers.shelf import Shelf
from faceplate.importers.source import (
    Aside,
    Attachment,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)

_ROLES: Final = {
    **{name: name for name in ("user", "assistant", "system", "developer", "tool")},
    "function": "tool",
    "human": "user",
    "ai": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_TEXTS: Final = (
    *("content", "parts", "text", "message", "value", "contentParts", "contentChunks"),
)
_CALLS: Final = ("tool_calls", "function_call", "toolCalls", "functionCall")
_RENAMED: Final = {
    "toolCalls": "tool_calls",
    "functionCall": "function_call",
    "toolCallId": "tool_call_id",
    "toolName": "tool_name",
    "finishReason": "finish_reason",
}
"""The names that programs in JavaScript give to the fields of a message."""
_PLAIN: Final = {"role", "content"}
_TIMES: Final = (
    *("created_at", "createdAt", "created", "create_time", "timestamp", "ts", "time", "date"),
)
_TITLES: Final = ("title", "name", "topic", "chatTitle", "chat_title")
_UPDATES: Final = ("updated_at", "updatedAt", "update_time")
_CHAT_IDS: Final = (
    *("id", "conversation_id", "conversationId", "chat_id", "chatId", "thread_id", "threadId"),
    *("session_id", "sessionId"),
)
_MIN_OWN_ID_CHARS: Final = 16  # a shorter one may be a number in its chat
_SETTINGS: Final = ("text", "reasoning", "thinking")
PARENTS: Final = ("parent_id", "parentId", "parent", "parentMessageId", "parent_message_id")
"""The fields in which a message names the one that it follows, the first first."""
_LINKS: Final = frozenset((*PARENTS, "children"))
_CURRENTS: Final = ("current", "current_node", "currentId", "currentNode")
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_FILES: Final = ("attachments", "files", "images")
_PLACED: Final = frozenset(("model", *PARENTS, *_CHAT_IDS))
"""The fields of a message that are stored where they belong, or with its chat."""
_STOPS: Final = ("finish_reason", "stop_reason", "status")
_INTERRUPTED: Final = (
    *("length", "max_tokens", "content_filter", "incomplete", "in_progress"),
    "model_context_window_exceeded",
)


def fits(value: JsonObject) -> int:
    """Return 1 for a list of messages with these roles, whose parents are messages as well."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(map(_has_role, messages)):
        return 0
    return int(_are_linked(messages) and (any(map(is_message, messages)) or not messages))


def is_message(value: object) -> bool:
    """Return whether a value is a message of a chat."""
    return (
        isinstance(value, dict)
        and first_text(value.get("role")).strip().lower() in _ROLES
        and any(key in value for key in (*_TEXTS, *_CALLS, "refusal", "audio"))
    )


def _has_role(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message that is a value of its own."""
    return joined_chat(value) if is_message(value) else None


def joined_chat(value: JsonObject) -> str:
    """Return the id of the chat that a message names, or empty text."""
    return read_id(first_of(value, *_CHAT_IDS[1:]))


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    yield read_chat(value, Shelf(map(read_message, messages)))


def read_chat(value: JsonObject, messages: Sequence[Message]) -> SourceChat:
    """Return the chat with these messages, and with the fields that formats have beside them."""
    fields = without(value, "messages")
    id_key = next((key for key in _CHAT_IDS if read_id(value.get(key))), "id")
    title_key = next((key for key in _TITLES if first_text(value.get(key))), "title")
    prompts = take_prompts(fields)
    is_tree = any(message.parent is not None for message in messages)
    if not is_tree and is_newest_first(messages):
        messages = Shelf(reversed(messages))
    named: Iterable[Message] = messages
    if model := value.get("model"):
        named = (m if m.model else m._replace(model=model) for m in messages)
    return SourceChat(
        named,
        id=read_id(value.get(id_key)) or _name(value, messages),
        title=value.get(title_key),
        created=take_time(fields, *_TIMES),
        updated=take_time(fields, *_UPDATES),
        is_tree=is_tree,
        current=first_of(value, *_CURRENTS),
        prologue=prompts,
        is_exact=True,
        rest=_rest(without(fields, id_key, title_key, *(_CURRENTS if is_tree else ())), messages),
    )


def _rest(fields: JsonObject, messages: Sequence[Message]) -> JsonObject:
    """Return the fields without what a message says as well.

    Settings that have the name of a text get another one.
    """
    said = {field for field in fields.values() if isinstance(field, str)}
    if said:
        pieces = (piece for each in messages for piece in each.pieces)
        said = {piece.text for piece in pieces if isinstance(piece, Text) and piece.text in said}
    rest: JsonObject = {}
    for key, field in fields.items():
        if key in _SETTINGS and isinstance(field, dict):
            rest[f"{key}_settings"] = field
        elif not (isinstance(field, str) and field in said):
            rest[key] = field
    return rest


def _name(value: JsonObject, messages: Sequence[Message]) -> str:
    """Return a name for a chat whose first message has no id that is its own everywhere."""
    first = messages[0].id if messages else ""
    if not 0 < len(first) < _MIN_OWN_ID_CHARS:
        return ""
    return digest([value, *(message.original for message in messages)])


def read_message(message: JsonObject) -> Message:
    """Return a message with its calls, or with the result that it is."""
    if message.keys() == _PLAIN and isinstance(message["content"], str):  # as most are
        role = _ROLES.get(first_text(message["role"]).strip().lower())
        if role is not None and role != "tool":
            return Message(role, [Text(message["content"])], rest={}, original=message)
    rest = {_name_of(key, message): field for key, field in message.items()}
    given = first_text(rest.pop("role", None), "unknown")
    role = _ROLES.get(given.strip().lower(), given)
    pieces = _take_pieces(role, rest)
    if not rest:  # most messages say nothing else
        return Message(role, pieces, rest={}, original=message)
    usage = as_object(rest.get("usage"))
    stops = [rest.get(key) for key in _STOPS]
    return Message(
        role,
        pieces,
        id=read_id(rest.pop("id", None)),
        parent=read_id(first_of(message, *PARENTS)) or None,
        created=take_time(rest, *_TIMES),
        model=message.get("model"),
        input_tokens=first_of(usage, "input_tokens", "prompt_tokens"),
        output_tokens=first_of(usage, "output_tokens", "completion_tokens"),
        status="interrupted" if any(stop in _INTERRUPTED for stop in stops) else None,
        rest={key: field for key, field in rest.items() if key not in _PLACED},
        original=message,
    )


def _name_of(key: str, message: JsonObject) -> str:
    name = _RENAMED.get(key)
    return key if name is None or name in message else name


def _take_pieces(role: str, rest: JsonObject) -> list[Piece]:
    """Remove what was said from the fields of a message, and return it."""
    content = _take(rest, *_TEXTS)
    pieces = read_content(content)
    for key in [key for key in _TEXTS if content and rest.get(key) == content]:
        del rest[key]
    if isinstance(parts := rest.get("content_parts"), list):  # of a stored completion
        pieces = [*pieces, *(piece for piece in read_content(parts) if piece not in pieces)]
        del rest["content_parts"]
    if role == "tool" and not any(isinstance(piece, Result) for piece in pieces):
        tool = first_text(_take(rest, "name", "tool_name"))
        pieces = [Result(content, first_text(rest.pop("tool_call_id", None)), tool)]
    if not rest:
        return pieces
    asides = [Aside("reasoning", rest.pop(key)) for key in _REASONING if rest.get(key)]
    sources = as_list(rest.get("annotations"))
    if sources and all(as_object(source).get("type") for source in sources):
        asides.append(Aside("sources", rest.pop("annotations")))
    if isinstance(rest.get("refusal"), str):
        pieces.append(Text(rest.pop("refusal")))
    if isinstance(audio := rest.get("audio"), dict):
        pieces += read_part({**rest.pop("audio"), "type": "audio", "id": audio.get("id")})
    return [*asides, *pieces, *_take_files(rest), *_take_calls(rest)]


def _take_files(rest: JsonObject) -> Iterator[Attachment]:
    for key in _FILES:
        listed = rest.get(key)
        if isinstance(listed, list) and all(isinstance(each, dict | str) for each in listed):
            for each in as_list(rest.pop(key)):
                file = each if isinstance(each, dict) else {"data": each}
                yield attachment(file, "image" if key == "images" else "file")


def _take_calls(rest: JsonObject) -> Iterator[Piece]:
    listed = rest.get("tool_calls")
    if isinstance(listed, list | dict):
        del rest["tool_calls"]
    for call in [listed] if isinstance(listed, dict) else as_list(listed):
        if isinstance(call, dict):
            yield from read_part({**call, "type": "tool_call"})
        else:
            yield Unknown(call)
    if isinstance(rest.get("function_call"), dict):
        yield from read_part({"type": "function_call", **rest.pop("function_call")})


def _take(fields: JsonObject, *keys: str) -> Any:
    """Remove the first of the keys that has a value, and return it; empty text is the last."""
    named = [key for key in keys if fields.get(key) is not None] or keys
    return fields.pop(next((key for key in named if fields.get(key) != ""), named[0]), None)


def take_time(fields: JsonObject, *keys: str) -> Any:
    """Remove the first of the keys that has a time, and return it."""
    for key in keys:
        if key in fields and to_time(fields[key]) is not None:
            return fields.pop(key)
    return None


def _are_linked(messages: Sequence[JsonObject]) -> bool:
    """Return whether the parents that messages name are messages, and no message holds others.

    Some may be missing, such as a root that has no message. Where there are parents, each message
    has an id of its own.
    """
    if all(map(_LINKS.isdisjoint, messages)):
        return True
    ids = {read_id(message.get("id")) for message in messages} - {""}
    parents = {read_id(first_of(message, *PARENTS)) for message in messages} - {""}
    children = [child for message in messages for child in as_list(message.get("children"))]
    if any(isinstance(child, dict) for child in children) or (children and not parents):
        return False
    found = len(parents & ids)
    is_tree = 2 * found >= len(parents) and (found > 0 or len(messages) == 1)
    return not parents or (is_tree and len(ids) == len(messages))


def read_id(value: object) -> str:
    """Return an id that is text or a whole number as text, else empty text."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


FORMAT: Final = Format(
    "openai",
    "OpenAI chat messages",
    fits,
    read,
    known=("tools", "functions", "response_format", "logprobs", "usage"),
    joins=joins,
)
