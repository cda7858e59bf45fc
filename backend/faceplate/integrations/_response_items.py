"""Items of OpenAI's Responses as messages, and messages as items.

An item is a JSON object: a message, the reasoning of a model, a call of a tool, or its output. The
body of its message is the item to the letter; role, content, tool calls and tool results are what
people and other programs read. A message of another program becomes one item or several.

Another program's body is never given out as an item. What is one has the shape of an item that
OpenAI defines, or a mark in the metadata: whatever else is stored as an item, such as one of a type
that is not known here, is marked.
"""

import gc
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.importers.contents import read_content, read_part, read_result
from faceplate.importers.fields import as_list, to_text
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text
from faceplate.importers.source import Aside, Attachment, Call, Result, Text
from faceplate.importers.turns import can_be_stored
from faceplate.integrations._item_shapes import is_known
from faceplate.integrations._speech import text_of
from faceplate.models import ROLES
from faceplate.records import Message, MessageBody, parse_body
from faceplate.services.messages import NewMessage

_TEXTS: Final = ("input_text", "output_text", "text")
_CALLS: Final = {"function_call": "function", "custom_tool_call": "custom"}
_CALL_TEXTS: Final = {"function": "arguments", "custom": "input"}
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")
_MARK: Final = "openai_item"
_CUT: Final = "…"


def to_json(item: Any) -> str:
    """Return an item as JSON text that PostgreSQL keeps to the letter.

    Raises TypeError and ValueError as `json.dumps` does.
    """
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, which only an escape can write
        return json.dumps(item, separators=(",", ":"))
    return text


def from_json(text: str) -> Any:
    """Return the item that `to_json` wrote."""
    try:
        return json.loads(text)
    except ValueError:  # an integer of more digits than Python reads by default
        return parse_body(text)


def new_message(item: Any, *, text: str | None = None, id: UUID | None = None) -> NewMessage:  # noqa: A002 - the column's name
    """Return the message of an item, ready for `messages.append`.

    ``text`` is the item's JSON, where the caller has it. The tool calls and results are those that
    the columns take; whether they match the conversation's is for `append_linked`.

    Raises TypeError and ValueError as `json.dumps` does.
    """
    body = to_json(item) if text is None else text
    role, content, calls, results = _projection(item)
    metadata = None if is_known(item) else {_MARK: True}
    return NewMessage(role, content, calls, results, metadata, id, body)


def items_of(messages: Iterable[Message]) -> list[Any]:
    """Return the items of messages, in order.

    A message with an item as its body is that item. Another one gives its text, an item for each
    tool call and one for each result; a draft that is being written, a message without a role, and
    one that says nothing, give none.
    """
    custom: set[str] = set()
    return [item for message in messages for item in items_of_message(message, custom)]


def items_of_message(message: Message, custom_calls: set[str]) -> list[Any]:
    """Return the items of one message.

    ``custom_calls`` has the ids of the calls of custom tools so far; the function adds to it.
    """
    whole = item_in_body(message)
    if not whole:
        return items_of_row(message, custom_calls)
    note_calls(message.tool_calls, custom_calls)
    return whole


def item_in_body(message: Message) -> list[Any]:
    """Return the item that is the body of a message, alone in a list; [] if none is."""
    if message.body is None:
        return []
    item = from_json(message.body)
    is_marked = message.metadata.get(_MARK) is True and isinstance(item, dict)
    return [item] if is_marked or is_known(item) else []


def items_of_bodies(rows: Sequence[Message | MessageBody]) -> list[Any] | None:
    """Return the items of what `messages.bodies` returns, or of messages, in order.

    It returns None where a body has not the shape of an item, and where a result has no body and
    its call is not among the rows, which says what kind it is: all has to be read whole.
    """
    parsed = iter(_parse_all([row.body for row in rows if row.body is not None]))
    called: set[str] = set()
    custom: set[str] = set()
    items: list[Any] = []
    for row in rows:
        if row.body is None:
            calls = row.tool_calls or []
            if not {each["tool_call_id"] for each in row.tool_results or ()} <= called:
                return None
            items += items_of_row(row, custom)
        else:
            item = next(parsed)
            if not is_known(item):
                return None
            call = _call(item, _CALLS[item["type"]]) if item.get("type") in _CALLS else None
            calls = [call] if call else []
            note_calls(calls, custom)
            items.append(item)
        called.update(call["id"] for call in calls)
    return items


def items_of_texts(texts: Sequence[str]) -> list[Any] | None:
    """Return the items that are the bodies of messages; None where one is not, by its shape."""
    items = _parse_all(texts)
    return items if all(map(is_known, items)) else None


def _parse_all(texts: Sequence[str]) -> list[Any]:
    """Return what each of many JSON texts says, as `from_json` reads it, in half the time."""
    # JSON has no cycles. The collector would look for them in all that the process holds, once for
    # each few thousand objects: for long histories that takes longer than the rest.
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        parsed: list[Any] = from_json(f"[{','.join(texts)}]")
    finally:
        if is_collecting:
            gc.enable()
    return parsed


def items_of_row(message: Message | MessageBody, custom_calls: set[str]) -> list[JsonObject]:
    """Return the items of a message by its role, content, tool calls and results.

    ``custom_calls`` is that of `items_of_message`.
    """
    if message.role is None or message.status == "streaming":
        return []
    return list(_said(message, custom_calls))


def note_calls(calls: Iterable[JsonObject] | None, custom_calls: set[str]) -> None:
    """Note which calls are of custom tools; an id may have been another call's before."""
    for call in calls or ():
        if call.get("type", "function") == "custom":
            custom_calls.add(call["id"])
        else:
            custom_calls.discard(call["id"])


def _said(message: Message | MessageBody, custom_calls: set[str]) -> Iterator[JsonObject]:
    note_calls(message.tool_calls, custom_calls)
    if message.role != "tool" and message.content and message.content.strip():
        yield {"role": message.role, "content": message.content}
    for call in message.tool_calls or ():
        kind = call.get("type", "function")
        said = {"call_id": call["id"], "name": call[kind]["name"]}
        if kind == "custom":
            yield {"type": "custom_tool_call", **said, "input": call[kind]["input"]}
        else:
            yield {"type": "function_call", **said, "arguments": call[kind]["arguments"]}
    for result in message.tool_results or ():
        call_id, text = result["tool_call_id"], text_of(result.get("content"))
        kind = "custom_tool_call_output" if call_id in custom_calls else "function_call_output"
        output = f"Error: {text}" if result.get("is_error") else text
        yield {"type": kind, "call_id": call_id, "output": output}


def _kind(item: Any) -> str | None:
    """Return the type of an item, or None for what says neither its type nor who says what."""
    if not isinstance(item, dict):
        return None
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    return "message" if "role" in item and "content" in item else None


_Projection = tuple[str | None, str, list[JsonObject] | None, list[JsonObject] | None]


def _projection(item: Any) -> _Projection:
    """Return the role, content, tool calls and tool results that show an item."""
    kind = _kind(item)
    if kind is None:
        return None, fit_text(item if isinstance(item, str) else ""), None, None
    if kind in _CALLS and (call := _call(item, _CALLS[kind])):
        return "assistant", "", [call], None
    if kind in _OUTPUTS:
        text = fit_text(_output(item.get("output")))
        call_id = item.get("call_id")
        is_link = _is_name(call_id)
        results = [{"tool_call_id": call_id, "content": text}] if is_link else None
        return "tool", "" if is_link else text, None, results
    if kind == "reasoning":
        parts = as_list(item.get("summary")) or as_list(item.get("content"))
        return None, fit_text(_content(parts)), None, None  # no request says it for the assistant
    role = item.get("role")
    if isinstance(role, str) and role in ROLES and "content" in item:
        return role, fit_text(_content(item["content"])), None, None
    return None, fit_text(_describe(item)), None, None


def _call(item: JsonObject, kind: str) -> JsonObject | None:
    """Return a call in the shape of its column, or None if the column would refuse it."""
    name, text = item.get("name"), item.get(_CALL_TEXTS[kind])
    if not (_is_name(item.get("call_id")) and _is_name(name) and isinstance(text, str)):
        return None
    said = {"name": name, _CALL_TEXTS[kind]: clean_text(text)[0]}
    call = {"id": item["call_id"], "type": kind, kind: said}
    return call if can_be_stored(call) else None


def _is_name(value: object) -> bool:
    """Return whether a value is an id or a name that a link may have."""
    is_text = isinstance(value, str) and value.strip() != "" and len(value) <= 255
    return is_text and clean_text(str(value))[1] == 0


def _output(output: Any) -> str:
    text, attachments, _ = read_result(output)
    return "\n".join([*([text] if text else []), *map(_title, attachments)])


def _content(content: Any) -> str:
    """Return the text of a content, and names for the pictures and files in it."""
    if isinstance(content, str):
        return content
    parts = as_list(content)
    texts = [
        part["text"]
        for part in parts
        if isinstance(part, dict)
        and part.get("type") in _TEXTS
        and isinstance(part.get("text"), str)
    ]
    if len(texts) == len(parts):
        return "\n".join(texts)
    return "\n".join(_lines(read_content(parts)))


def _describe(item: JsonObject) -> str:
    """Return a text for an item that nobody said, such as a search or an approval."""
    kind = str(item.get("type", "item"))
    if kind == "image_generation_call":  # its result is the whole picture
        return f"[{kind}]"
    return "\n".join(_lines(read_part(item))) or f"[{kind}]"


def _lines(pieces: Iterable[Any]) -> Iterator[str]:
    for piece in pieces:
        match piece:
            case Text(text):
                yield text
            case Attachment():
                yield _title(piece)
            case Call(tool, given):
                yield f"{tool}({to_text(given)})"
            case Result(content):
                yield _output(content)
            case Aside():
                pass


def _title(attachment: Attachment) -> str:
    title = f"[{attachment.name or attachment.kind}]"
    return f"{title}\n{attachment.text}" if attachment.text else title


def fit_text(text: str) -> str:
    """Return text that a content takes: without NUL and lone surrogates, and cut at its limit."""
    if len(text) > MAX_CONTENT_CHARS - 1_000:  # leaves room for the id of a call
        text = text[: MAX_CONTENT_CHARS - 1_000] + _CUT
    return clean_text(text)[0]
