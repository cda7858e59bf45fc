"""pydantic-ai's messages as faceplate's, by the JSON of either; this needs no SDK.

A request may hold the parts of several roles. Its body is all of it; the role is that of the part
which people read first: what the user said, else the results of tools, else the system's prompt.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.importers.contents import read_result
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_time
from faceplate.importers.formats.pydantic_ai import read_part
from faceplate.importers.source import Attachment, Call, Piece, Result, Text
from faceplate.importers.turns import model_name, token_count
from faceplate.integrations._response_items import fit_text, from_json
from faceplate.integrations._sessions import aware
from faceplate.integrations._speech import text_of
from faceplate.integrations._tool_links import calls_of, results_of
from faceplate.records import Message
from faceplate.services.messages import NewMessage

_ANSWERS = ("tool-return", "retry-prompt")
_SYSTEM = ("system-prompt", "instruction")


def new_message(body: str, *, id: UUID | None = None) -> NewMessage:  # noqa: A002 - the column's name
    """Return the message whose body is the JSON of a request or a response."""
    message = as_object(from_json(body))
    parts = [as_object(part) for part in as_list(message.get("parts"))]
    shown = _of_response(parts) if message.get("kind") == "response" else _of_request(parts)
    usage = as_object(message.get("usage"))
    is_response = message.get("kind") == "response"
    times = [message.get("timestamp"), *(part.get("timestamp") for part in parts)]
    return shown._replace(
        id=id,
        body=body,
        created_at=aware(to_time(next(filter(None, times), None))),
        model=model_name(message.get("model_name")) if is_response else None,
        input_tokens=token_count(first_of(usage, "input_tokens", "request_tokens")),
        output_tokens=token_count(first_of(usage, "output_tokens", "response_tokens")),
    )


def _of_response(parts: list[JsonObject]) -> NewMessage:
    calls: list[Call] = []
    texts: list[str] = []
    for part in parts:
        kind = first_text(part.get("part_kind"))
        pieces = list(read_part(kind, part))
        if kind == "tool-call":
            calls += [piece for piece in pieces if isinstance(piece, Call)]
        texts += _texts(pieces)
    return NewMessage("assistant", fit_text("\n".join(texts)), calls_of(calls))


def _of_request(parts: list[JsonObject]) -> NewMessage:
    said: dict[str, list[str]] = {"user": [], "system": []}
    results: list[tuple[str, str]] = []
    for part in parts:
        kind = first_text(part.get("part_kind"))
        if kind in _ANSWERS and part.get("tool_name"):
            results += _results(read_part("tool-return", part))
        else:
            said["system" if kind in _SYSTEM else "user"] += _texts(read_part(kind, part))
    if said["user"]:
        return NewMessage("user", fit_text("\n".join(said["user"])))
    if results:
        links = results_of(results)
        text = "" if links else "\n".join(text for _, text in results)
        return NewMessage("tool", fit_text(text), tool_results=links)
    if said["system"]:
        return NewMessage("system", fit_text("\n".join(said["system"])))
    return NewMessage()


def _texts(pieces: Iterable[Piece]) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, Text):
            yield piece.text
        elif isinstance(piece, Attachment):
            yield f"[{piece.name or piece.kind}]"


def _results(pieces: Iterable[Piece]) -> Iterator[tuple[str, str]]:
    for piece in pieces:
        if isinstance(piece, Result):
            text, attachments, _ = read_result(piece.content)
            yield piece.call_id, "\n".join(filter(None, [text, *_texts(attachments)]))


def is_message(value: Any) -> bool:
    """Return whether a body is a request or a response, and not another program's object."""
    message = as_object(value)
    return message.get("kind") in ("request", "response") and isinstance(message.get("parts"), list)


def json_of(row: Message | NewMessage, tools: dict[str, str]) -> JsonObject | None:
    """Return the JSON of the message that shows a row from elsewhere; None if it says nothing.

    ``tools`` has the names of the tools that were called so far, by the ids of the calls.
    """
    if row.role is None or getattr(row, "status", None) == "streaming":
        return None
    moment = None if row.created_at is None else row.created_at.isoformat()
    stamp = {"timestamp": moment} if moment else {}
    if row.role == "assistant":
        return _response(row, stamp)
    if row.role == "tool":
        parts = [
            {
                "part_kind": "tool-return",
                "tool_name": tools.get(result["tool_call_id"], "tool"),
                "tool_call_id": result["tool_call_id"],
                "content": ("Error: " if result.get("is_error") else "")
                + text_of(result.get("content")),
                **stamp,
            }
            for result in row.tool_results or ()
        ]
    else:
        kind = "user-prompt" if row.role == "user" else "system-prompt"
        parts = [{"part_kind": kind, "content": row.content, **stamp}]
    return {"kind": "request", "parts": parts} if parts else None


def note_calls(row: Message | NewMessage, tools: dict[str, str]) -> None:
    """Add the names of the tools that a row calls, by the ids of the calls."""
    for call in row.tool_calls or ():
        tools[call["id"]] = call[call.get("type", "function")]["name"]


def _response(row: Message | NewMessage, stamp: JsonObject) -> JsonObject:
    parts: list[JsonObject] = []
    if row.content.strip():
        parts.append({"part_kind": "text", "content": row.content})
    for call in row.tool_calls or ():
        said = call[call.get("type", "function")]
        args = said.get("arguments", said.get("input"))
        asked = {"tool_name": said["name"], "tool_call_id": call["id"], "args": args}
        parts.append({"part_kind": "tool-call", **asked})
    used = {"input_tokens": row.input_tokens or 0, "output_tokens": row.output_tokens or 0}
    return {"kind": "response", "parts": parts, "model_name": row.model, "usage": used, **stamp}
