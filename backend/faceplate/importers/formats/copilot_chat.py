"""Chats of GitHub Copilot in Visual Studio Code: ``{"requests": [{"message", "response"}]}``.

A request has the user's words and the parts of the answer: Markdown, thoughts, calls of tools and
references to files, each of a ``kind``; Markdown may have none. Newer versions log the changes of
such an object, a line each.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.copilot_lines import is_line, replay
from faceplate.importers.formats.copilot_requests import (
    EARLIER_VALUES,
    NAMES_OF_PROGRAMS,
    Replaced,
    is_request,
)
from faceplate.importers.formats.copilot_tools import read_call
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Message,
    Piece,
    SourceChat,
    Text,
    Unknown,
)
from faceplate.importers.unread import find_text

_CHAT_FIELDS: Final = ("sessionId", "customTitle", "creationDate", "lastMessageDate", "requests")
_FIELDS: Final = ("requestId", "message", "response", "timestamp", "modelId", "isCanceled")
_TOKENS: Final = ("promptTokens", "completionTokens")
_MARKDOWN: Final = ("markdownContent", "markdownVuln", "warning", "info", "systemNotification")
_STEPS: Final = (
    *("textEditGroup", "textEdit", "notebookEditGroup", "notebookEdit", "workspaceEdit"),
    *("externalEdit", "externalEdits", "multiDiffData", "codeblockUri", "undoStop", "move"),
    *("progressMessage", "progressTask", "progressTaskSerialized", "progressTaskResult"),
    *("prepareToolInvocation", "clearToPreviousToolInvocation", "mcpServersStarting"),
    *("reference", "usedContext", "codeCitation", "treeData", "command"),
    *("agentDetection", "autoModeResolution", "usage", "voiceProgress", "extensions"),
)
"""The kinds of parts that show what was done, and say nothing of the answer."""


def fits(value: JsonObject) -> int:
    """Return 4 for requests that each have a message and a response, or a session without any.

    Also for the lines of a log.
    """
    lines = as_list(value.get("messages"))
    if lines and all(is_line(as_object(line)) for line in lines):
        return 4 if lines[0].get("kind") == 0 else 0
    requests = value.get("requests")
    if requests == []:
        is_session = all(isinstance(value.get(key), str | int) for key in ("sessionId", "version"))
        return 4 if is_session else 0
    return 4 if isinstance(requests, list) and all(map(is_request, requests)) else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, or the chats of a log's lines."""
    if "requests" not in value and as_list(value.get("messages")):
        for session in replay(map(as_object, value["messages"])):
            yield _read_session(session.fields, session.requests, session.replaced)
        return
    requests = value.get("requests")
    if not isinstance(requests, list) or not all(map(is_request, requests)):
        raise Unreadable("requests must be a list of objects with message and response")
    yield _read_session(value, requests, ())


def _read_session(
    fields: JsonObject, requests: Sequence[JsonObject], replaced: Sequence[Replaced]
) -> SourceChat:
    rest = {**without(fields, *_CHAT_FIELDS), **_unsent(fields)}
    has_rest = bool(requests or replaced) or any(find_text(rest, NAMES_OF_PROGRAMS))
    return SourceChat(
        _read_requests(requests, replaced),
        id=first_text(fields.get("sessionId")),
        title=fields.get("customTitle"),
        created=fields.get("creationDate"),
        updated=fields.get("lastMessageDate"),
        is_tree=bool(replaced),
        current=_end(requests[-1].get("requestId")) if requests else None,
        rest=rest if has_rest else {},
    )


def joins(value: JsonObject) -> str | None:
    """Return "" for a line of a log: the lines of a file are read as a whole."""
    return "" if is_line(value) else None


def _read_requests(
    requests: Iterable[JsonObject], replaced: Iterable[Replaced]
) -> Iterator[Message]:
    """Yield the messages of all requests, replaced ones too, with their parents."""
    before: str | None = None
    for request in requests:
        yield from _follow(_read_request(request), before)
        before = _end(request.get("requestId"))
    for each in replaced:
        yield from _follow(_read_request(each.request), _end(each.before))


def _follow(messages: Iterable[Message], before: str | None) -> Iterator[Message]:
    """Yield the messages, each with the one before it as its parent."""
    for message in messages:
        yield message._replace(parent=before)
        before = message.id


def _end(request_id: object) -> str | None:
    """Return the id of the last message of a request, or None."""
    return f"{request_id}.answer" if first_text(request_id) else None


def _unsent(value: JsonObject) -> JsonObject:
    """Return what the user has typed and not sent, as a text that the import reports."""
    typed = first_text(as_object(value.get("inputState")).get("inputText"))
    return {"inputText": {"text": typed}} if typed.strip() else {}


def _read_request(request: JsonObject) -> Iterator[Message]:
    id_, given = first_text(request.get("requestId")), request.get("message")
    said, beside = as_object(given), {}
    if others := without(said, "text", "parts"):
        beside["message"] = others
    yield Message(
        "user",
        [Text(first_text(given, said.get("text")))],
        id=id_,
        created=request.get("timestamp"),
        rest={**without(request, *_FIELDS, *_TOKENS), **beside},
        original=request,
    )
    answer_id = _end(request.get("requestId")) or ""
    about = as_object(as_object(request.get("result")).get("metadata"))
    parts = as_list(request.get("response"))
    pieces = [piece for part in parts for piece in _read_part(part, about)]
    error = first_text(
        as_object(as_object(request.get("result")).get("errorDetails")).get("message")
    )
    if error:
        pieces.append(Text(error))
    if pieces:
        is_cut = request.get("isCanceled") is True
        yield Message(
            "assistant",
            list(_joined(pieces)),
            id=answer_id,
            created=request.get("timestamp"),
            model=request.get("modelId"),
            input_tokens=request.get("promptTokens"),
            output_tokens=request.get("completionTokens"),
            status="interrupted" if is_cut else "failed" if error else None,
            original=request.get("response"),
        )
    elif answer_id:
        yield Message(id=answer_id)  # a place for what follows


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    """Yield the pieces with texts that go on as one: a reference stands within a sentence."""
    text = ""
    for piece in pieces:
        if isinstance(piece, Text):
            text += piece.text
            continue
        if text:
            yield Text(text)
            text = ""
        yield piece
    if text:
        yield Text(text)


def _read_part(part: Any, about: JsonObject) -> Iterator[Piece]:
    fields = as_object(part)
    kind = first_text(fields.get("kind"))
    value = fields.get("value")
    content = as_object(fields.get("content")).get("value")
    if isinstance(part, str):
        yield Text(part)
    elif not kind and isinstance(value, str):
        yield Text(value)
        yield from _untold(without(fields, "value"))
    elif kind in _MARKDOWN and isinstance(content, str):
        yield Text(content)
        yield from _untold({**without(fields, "content"), **without(fields["content"], "value")})
    elif kind == "thinking":
        yield Aside("reasoning", without(fields, "kind"))
    elif kind == "inlineReference" and (reference := _reference(fields)):
        yield Text(reference)
        yield from _untold(fields)
    elif kind.startswith("toolInvocation"):
        yield from read_call(fields, about)
    elif kind in _STEPS:
        yield Aside("steps", part)
    else:
        yield Unknown(part)


def _untold(rest: JsonObject) -> Iterator[Unknown]:
    """Yield the fields beside a text as a part that is unknown, if there is text in them."""
    if any(find_text(rest)):
        yield Unknown(rest)


def _reference(fields: JsonObject) -> str:
    """Return a file, a place in one or a symbol that is named within a text, as Markdown."""
    inner = as_object(fields.get("inlineReference"))
    uri = inner.get("uri", as_object(inner.get("location")).get("uri"))
    path = first_text(inner.get("path"), as_object(uri).get("path"))
    name = first_text(fields.get("name"), inner.get("name"), path.rpartition("/")[2])
    return f"`{name}`" if name else ""


FORMAT: Final = Format(
    "copilot-chat",
    "GitHub Copilot chat of Visual Studio Code",
    fits,
    read,
    joins=joins,
    known=(
        *("variableData", "result", "contentReferences", "codeCitations", "followups", "agent"),
        *("inputState", EARLIER_VALUES, *NAMES_OF_PROGRAMS),
    ),
)
