"""Events of Google ADK as messages, and messages as events.

A message keeps the event's JSON in its body. Role, content, tool calls and results are what a
reader of the chat sees of it.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

from google.adk.events.event import Event
from google.genai import types
from pydantic_core import to_jsonable_python

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text
from faceplate.records import Message
from faceplate.services import tool_calls
from faceplate.services.messages import NewMessage

USER: Final = "user"
_MAX_MODEL_CHARS: Final = 255
_MAX_TOKENS: Final = 2**31 - 1


def message_id(conversation_id: UUID, event_id: str) -> UUID:
    """Return the id of the message that keeps an event. An event is stored once under it."""
    return uuid5(conversation_id, event_id.encode("utf-8", "surrogatepass").decode("latin-1"))


def dump_json(value: Any) -> str:
    """Return a value as JSON: any text to the letter, what JSON has no form for as text."""
    try:
        return json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError):  # a key that is no text, NaN
        return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    try:
        return to_jsonable_python(value, inf_nan_mode="null", serialize_unknown=True)
    except UnicodeDecodeError:  # bytes that are no text
        return to_jsonable_python(
            value, inf_nan_mode="null", serialize_unknown=True, bytes_mode="base64"
        )


def to_message(conversation_id: UUID, event: Event) -> NewMessage:
    """Return the message that keeps an event."""
    usage = event.usage_metadata
    model = getattr(event, "model_version", None)
    role, text, calls, results = _spoken(event)
    return NewMessage(
        role,
        text,
        calls,
        results,
        id=message_id(conversation_id, event.id),
        body=_dump(event),
        created_at=_moment(event.timestamp),
        model=model if model and model.strip() and len(model) <= _MAX_MODEL_CHARS else None,
        input_tokens=_tokens(usage.prompt_token_count) if usage else None,
        output_tokens=_tokens(usage.candidates_token_count) if usage else None,
    )


def without_tools(event: Event, message: NewMessage) -> NewMessage:
    """Return the message with its tool calls and results as text."""
    text = clean_text(_text(event, with_tools=True))[0][:MAX_CONTENT_CHARS]
    return message._replace(content=text, tool_calls=None, tool_results=None)


def to_events(rows: Iterable[Message], app_name: str) -> list[Event]:
    """Return the events of messages.

    A message without the body of an event is one of the agent that spoke last; before any has
    spoken, of one that has the name of the app. One that says nothing, or is being written, is left
    out.
    """
    agent = app_name
    names: dict[str, str] = {}
    events = []
    for row in rows:
        event = _loaded(row.body) or _made(row, agent, names)
        if event is None:
            continue
        if event.author != USER and row.role == "assistant":
            agent = event.author
        names |= {
            call.id: call.name for call in event.get_function_calls() if call.id and call.name
        }
        events.append(event)
    return events


def _dump(event: Event) -> str:
    try:
        text: str = event.model_dump_json(exclude_none=True)
    except ValueError:  # a lone surrogate, or what JSON has no form for
        plain = to_jsonable_python(
            event,
            exclude_none=True,
            inf_nan_mode="null",
            bytes_mode="base64",
            serialize_unknown=True,
        )
        return json.dumps(plain)
    return text


def _loaded(body: str | None) -> Event | None:
    if body is None:
        return None
    try:
        event = Event.model_validate_json(body)
    except ValueError:  # a lone surrogate, or the JSON of another program
        try:
            event = Event.model_validate(json.loads(body))
        except ValueError:
            return None
    return event if event.author else None


def _spoken(
    event: Event,
) -> tuple[str | None, str, list[JsonObject] | None, list[JsonObject] | None]:
    """Return role, content, tool calls and results, as far as they keep the rules."""
    role = "user" if event.author == USER else "assistant"
    asked, answered = event.get_function_calls(), event.get_function_responses()
    try:
        if asked and not answered and role == "assistant":
            calls = [_call(call) for call in asked]
            tool_calls.check_calls(calls)
            return role, _clean(_text(event)), calls, None
        if answered and not asked:
            results = [_result(response) for response in answered]
            tool_calls.check_results(results)
            return "tool", _clean(_text(event)), None, results
    except InvalidInput:
        pass  # an id is missing or is there twice, or a text is too long
    text = _clean(_text(event, with_tools=True))
    if answered:
        return "tool", text, None, None
    return (role if text else None), text, None, None


def _clean(text: str) -> str:
    return clean_text(text)[0][:MAX_CONTENT_CHARS]


def _text(event: Event, *, with_tools: bool = False) -> str:
    """Return what an event says, as a reader sees it."""
    content = event.content
    pieces: list[str | None] = []
    for part in (content.parts if content else None) or ():
        pieces.append(_piece(part))
        if with_tools and (call := part.function_call):
            pieces.append(f"{call.name}({_readable(call.args or {})})")
        if with_tools and (response := part.function_response):
            pieces.append(_readable(response.response))
    if not any(pieces):
        spoken = (event.output_transcription, event.input_transcription)
        pieces = [*(said.text for said in spoken if said)] or [event.error_message]
    return "\n".join(piece for piece in pieces if piece)


def _piece(part: types.Part) -> str | None:
    text: str | None = None
    if part.text:
        text = None if part.thought else part.text
    elif part.executable_code:
        text = part.executable_code.code
    elif part.code_execution_result:
        text = part.code_execution_result.output
    elif file := part.inline_data or part.file_data:
        text = f"[{file.mime_type or 'file'}]"
    return text


def _readable(value: Any) -> str:
    return json.dumps(to_jsonable_python(value, serialize_unknown=True), ensure_ascii=False)


def _call(call: types.FunctionCall) -> JsonObject:
    function = {"name": call.name, "arguments": _clean(_readable(call.args or {}))}
    return {"id": call.id, "type": "function", "function": function}


def _result(response: types.FunctionResponse) -> JsonObject:
    return {"tool_call_id": response.id, "content": _clean(_readable(response.response))}


def _moment(timestamp: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _tokens(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= _MAX_TOKENS else None


def _made(row: Message, agent: str, names: dict[str, str]) -> Event | None:
    """Return an event of a message that another program appended, if it says something."""
    if row.status == "streaming":
        return None
    parts = [types.Part(text=row.content)] if row.content.strip() else []
    for call in row.tool_calls or ():
        function = call.get("function") or call.get("custom") or {}
        arguments = _object(function.get("arguments", function.get("input", "")), "input")
        asked = types.FunctionCall(id=call["id"], name=function.get("name"), args=arguments)
        parts.append(types.Part(function_call=asked))
    for result in row.tool_results or ():
        id_ = result["tool_call_id"]
        response = _object(result.get("content"), "result")
        answer = types.FunctionResponse(id=id_, name=names.get(id_, "tool"), response=response)
        parts.append(types.Part(function_response=answer))
    if not parts:
        return None
    author = {"user": USER, "system": "system", "developer": "system"}.get(row.role or "", agent)
    content = types.Content(role="model" if row.role == "assistant" else "user", parts=parts)
    return Event(
        id=str(row.id),
        invocation_id=str(row.id),
        author=author,
        content=content,
        timestamp=row.created_at.timestamp(),
    )


def _object(value: Any, name: str) -> dict[str, Any]:
    """Return JSON text of an object as the object; anything else as its member ``name``."""
    try:
        read = json.loads(value)
    except (TypeError, ValueError):
        read = value
    return read if isinstance(read, dict) else {name: value}
