"""Messages of the Vercel AI SDK: UIMessages of version 4 and of later ones, and ModelMessages.

A UIMessage has ``parts``; version 4 repeats them in ``content``, ``reasoning`` and
``toolInvocations``, and version 3 has these alone. A ModelMessage has the calls of tools as parts
of its content. The parts are read by `contents`.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_content, read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)

_PARTS: Final = {
    *("text", "reasoning", "file", "source", "source-url", "source-document", "step-start"),
    *("tool-invocation", "dynamic-tool", "reasoning-file"),
}
_MODEL_PARTS: Final = {"tool-call": "toolCallId", "tool-result": "toolCallId"}
_OWN_FIELDS: Final = (
    *("parts", "content", "reasoning", "toolInvocations", "experimental_attachments", "data"),
    "annotations",
)
_ABOUT: Final = ("createdAt", "created_at", "timestamp")


def fits(value: JsonObject) -> int:
    """Return 3 for messages with parts or calls of the SDK."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(_has_role(message) for message in messages):
        return 0
    return 3 if any(map(_is_own, messages)) else 0


def joins(value: JsonObject) -> str | None:
    """Return the chat of a message that is a value of its own."""
    return openai.joined_chat(value) if _has_role(value) and _is_own(value) else None


def _has_role(message: Any) -> bool:
    return isinstance(message, dict) and isinstance(message.get("role"), str)


def _is_own(message: JsonObject) -> bool:
    if isinstance(message.get("toolInvocations"), list):
        return True
    kinds = [first_text(as_object(part).get("type")) for part in as_list(message.get("parts"))]
    if kinds and all(kinds):
        return any(kind in _PARTS or kind.startswith(("tool-", "data-")) for kind in kinds)
    content = [as_object(part) for part in as_list(message.get("content"))]
    return any(_MODEL_PARTS.get(str(part.get("type"))) in part for part in content)


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    chat = openai.read_chat(value, [_read_message(message) for message in messages])
    yield chat._replace(is_exact=False)


def _read_message(message: JsonObject) -> Message:
    if not isinstance(message.get("parts"), list) and "toolInvocations" not in message:
        return openai.read_message(message)
    about = as_object(message.get("metadata"))
    usage = as_object(first_of(about, "usage", "totalUsage"))
    role = message.get("role")
    found = openai.read_message({**without(message, *_OWN_FIELDS), "content": ""})
    return found._replace(
        role="assistant" if role == "data" else found.role,
        pieces=[*_pieces(message), *(piece for piece in found.pieces if piece != Text(""))],
        created=first_of({"": found.created, **about}, "", *_ABOUT),
        model=first_text(found.model, about.get("model"), about.get("modelId")) or None,
        input_tokens=first_of(usage, "inputTokens", "promptTokens"),
        output_tokens=first_of(usage, "outputTokens", "completionTokens"),
        original=message,
    )


def _pieces(message: JsonObject) -> Iterator[Piece]:
    """Yield what a UIMessage says: its parts, and what its other fields have beside them."""
    parts = [piece for part in as_list(message.get("parts")) for piece in _read_part(part)]
    texts = [piece.text for piece in parts if isinstance(piece, Text)]
    called = {piece.id for piece in parts if isinstance(piece, Call)}
    reasoned = str([piece.value for piece in parts if isinstance(piece, Aside)])
    if (reasoning := message.get("reasoning")) and str(reasoning) not in reasoned:
        yield Aside("reasoning", reasoning)
    for invocation in as_list(message.get("toolInvocations")):
        if openai.read_id(as_object(invocation).get("toolCallId")) not in called:
            yield from read_part({"type": "tool-invocation", "toolInvocation": invocation})
    yield from parts
    content = message.get("content")
    if not isinstance(content, str) or content not in {*texts, "".join(texts), "\n".join(texts)}:
        yield from read_content(content)
    for file in as_list(message.get("experimental_attachments")):
        yield attachment(file, "file") if isinstance(file, dict) else Unknown(file)
    if message.get("annotations"):
        yield Aside("annotations", message["annotations"])
    if message.get("data") is not None:
        yield Unknown({"data": message["data"]})


def _read_part(part: Any) -> list[Piece]:
    pieces = read_part(part)
    state, approval = as_object(part).get("state"), as_object(as_object(part).get("approval"))
    if state == "output-denied" and isinstance(pieces[0], Call):
        reason = first_text(approval.get("reason"), "denied")
        call = pieces[0]
        return [call, Result(reason, call.id, call.tool, is_error=True)]
    return pieces


FORMAT: Final = Format(
    "vercel",
    "Vercel AI SDK messages",
    fits,
    read,
    known=openai.FORMAT.known,
    joins=joins,
)
