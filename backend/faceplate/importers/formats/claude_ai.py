"""Claude.ai data exports.

A file is ``conversations.json``, alone or in its zip archive, or one chat as its web interface
answers with. A chat is a tree: each message names its parent in ``parent_message_uuid``. A message
of the assistant holds its calls, their results and the text between them, as blocks.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
    Unknown,
)
from faceplate.importers.unread import find_text

_ROLES: Final = {"human": "user"}
_PLACEHOLDER: Final = "This block is not supported on your current device yet."
_FENCED_PLACEHOLDER: Final = f"```\n{_PLACEHOLDER}\n```"
_CUT_SHORT: Final = {"user_canceled", "max_tokens"}
_TIMES: Final = ("start_timestamp", "stop_timestamp")
_NOTES: Final = {"token_budget", "flag", "injected_prompt_block"}
_CALL_FIELDS: Final = ("type", "id", "name", "input", *_TIMES)
_RESULT_FIELDS: Final = ("type", "tool_use_id", "name", "content", *_TIMES)
_DETAILS: Final = frozenset(
    (
        *("message", "display_content", "structured_content", "meta", "context", "flags"),
        *("integration_name", "integration_icon_url", "icon_name", "mcp_server_url"),
        *("is_error", "is_mcp_app", "approval_key", "approval_options"),
        "alternative_display_type",
    )
)
_MESSAGE_FIELDS: Final = (
    *("uuid", "sender", "text", "content", "created_at", "attachments", "files"),
    *("parent_message_uuid", "model"),
)
_CHAT_FIELDS: Final = (
    *("uuid", "name", "chat_messages", "created_at", "updated_at"),
    "current_leaf_message_uuid",
)


_NO_PARENT: Final = "00000000-0000-4000-8000-000000000000"


def fits(value: JsonObject) -> int:
    """Return 3 for messages that each have a sender, 2 for a chat with none or with others."""
    messages = value.get("chat_messages")
    if not isinstance(messages, list):
        return 0
    sent = [isinstance(as_object(message).get("sender"), str) for message in messages]
    if not messages:
        return 2 if "uuid" in value and "name" in value else 0
    return 3 if all(sent) else 2 if any(sent) else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    listed = value.get("chat_messages")
    if not isinstance(listed, list):
        raise Unreadable("chat_messages must be a list of messages")
    ids = {first_text(as_object(message).get("uuid")) for message in listed} - {""}
    yield SourceChat(
        _read_messages(listed, ids, value.get("model")),
        id=first_text(value.get("uuid")) or ("" if len(ids) == len(listed) else digest(value)),
        title=value.get("name"),
        created=value.get("created_at"),
        updated=value.get("updated_at"),
        is_tree=True,
        current=value.get("current_leaf_message_uuid"),
        rest=without(value, *_CHAT_FIELDS),
    )


def _read_messages(listed: list[Any], ids: Collection[str], model: object) -> Iterator[Message]:
    """Yield the messages; the parent of the first one is that of each first question."""
    before: str | None = None
    roots = {_NO_PARENT, *map(_parent, listed[:1])} - {""} if ids else set[str]()
    for number, fields in enumerate(listed, start=1):
        message = _read_message(fields, ids, roots, before)
        before = message.id or f"message {number}"
        yield message._replace(id=before, model=message.model or model)


def _parent(message: object) -> str:
    return first_text(as_object(message).get("parent_message_uuid"))


def _read_message(
    fields: object, ids: Collection[str], roots: Collection[str], before: str | None
) -> Message:
    """Return a message; one whose parent is not there follows the message ``before`` it."""
    message = fields if isinstance(fields, dict) else {"content": fields}
    parent, sender = _parent(message), first_text(message.get("sender"))
    beside: JsonObject = {}
    pieces = _read_text(message, beside)
    pieces += [_read_attachment(each) for each in map(_file, as_list(message.get("attachments")))]
    pieces += [
        attachment(each, first_text(each.get("file_kind"), "file"))
        for each in map(_file, as_list(message.get("files")))
    ]
    is_cut = first_text(message.get("stop_reason")) in _CUT_SHORT
    return Message(
        _ROLES.get(sender.lower(), sender.lower() or "unknown"),
        pieces,
        id=first_text(message.get("uuid")),
        parent=parent if parent in ids else None if parent in roots else before,
        created=message.get("created_at"),
        model=message.get("model"),
        status="interrupted" if is_cut else None,
        rest={**without(message, *_MESSAGE_FIELDS), **beside},
        original=fields,
    )


def _file(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {"name": value}


def _read_attachment(file: JsonObject) -> Attachment:
    """Return an attachment; its text is no part of what is said about it."""
    texts = ("extracted_content", "extractedContent")
    return attachment(without(file, *texts), "file")._replace(
        text=first_text(first_of(file, *texts))
    )


def _read_text(message: JsonObject, beside: JsonObject) -> list[Piece]:
    """Return the pieces of the blocks; without text in them, also of the text beside them.

    That text repeats the blocks, and has a placeholder for each block without text.
    """
    pieces = [
        piece for block in _blocks(message.get("content")) for piece in _read_block(block, beside)
    ]
    flat = message.get("text")
    if not isinstance(flat, str):
        return [*pieces, *([] if flat is None else [Unknown({"text": flat})])]
    if _PLACEHOLDER in flat:
        beside["placeholder"] = _PLACEHOLDER
    if any(isinstance(piece, Text) and piece.text.strip() for piece in pieces):
        return pieces
    own = flat.replace(_FENCED_PLACEHOLDER, "").strip() if pieces else flat
    return [Text(own), *pieces] if own else pieces


def _blocks(content: object) -> list[Any]:
    """Return the blocks of a message; some exports have them as JSON text."""
    if isinstance(content, str) and content.startswith("["):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            return [content]
    return content if isinstance(content, list) else [] if content is None else [content]


def _read_block(block: object, beside: JsonObject) -> list[Piece]:
    """Return the pieces of a block, and put what is no part of the text ``beside`` it."""
    fields = as_object(block)
    kind = first_text(fields.get("type"))
    times = [fields.get(name) for name in _TIMES]
    if any(times):
        beside.setdefault("block_times", []).append(times)
    if kind == "tool_use":
        call = Call(_tool(fields) or "function", _given(fields), first_text(fields.get("id")))
        return [call, *_keep(without(fields, *_CALL_FIELDS), beside)]
    if kind == "tool_result":
        parts = [_result_part(part, beside) for part in as_list(fields.get("content"))]
        content = parts or fields.get("content")
        result = Result(content, first_text(fields.get("tool_use_id")), _tool(fields))
        return [result, *_keep(without(fields, *_RESULT_FIELDS), beside)]
    if kind == "thinking":
        return [Aside("reasoning", _plain(fields))]
    if kind == "voice_note":
        return read_part({**_plain(fields), "type": "text"})
    if kind in _NOTES:
        beside.setdefault("platform_notes", []).append(without(fields, *_TIMES))
        return []
    return read_part(_plain(fields) if fields else block)


def _tool(fields: JsonObject) -> str:
    return first_text(fields.get("name"), fields.get("integration_name"))


def _given(fields: JsonObject) -> object:
    given = fields.get("input")
    return {} if given is None else given


def _plain(block: JsonObject) -> JsonObject:
    """Return a block without its times and its empty fields."""
    return {name: item for name, item in block.items() if name not in _TIMES and item}


def _result_part(part: object, beside: JsonObject) -> object:
    """Return a part of a result; a web page becomes its title, its address and its text."""
    fields = as_object(part)
    if fields.get("type") not in ("text", "knowledge"):
        return part
    lines = [fields.get(name) for name in ("title", "url", "text")]
    if not all(line is None or isinstance(line, str) for line in lines):
        return part
    if rest := _plain(without(fields, "type", "title", "url", "text", "uuid")):
        beside.setdefault("tool_details", []).append(rest)
    return {"type": "text", "text": "\n".join(line for line in lines if line)}


def _keep(rest: JsonObject, beside: JsonObject) -> list[Piece]:
    """Keep the details of a call or result, and return its unknown fields with text."""
    if details := {name: item for name, item in rest.items() if item and name in _DETAILS}:
        beside.setdefault("tool_details", []).append(details)
    others = {name: item for name, item in rest.items() if item and name not in _DETAILS}
    if others and not any(find_text(others)):
        beside.setdefault("tool_details", []).append(others)
        return []
    return [Unknown(others)] if others else []


FORMAT: Final = Format(
    "claude",
    "Claude.ai export",
    fits,
    read,
    known=("tool_details", "platform_notes", "compaction_summary", "citations"),
)
