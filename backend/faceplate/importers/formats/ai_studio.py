"""Prompt files of Google AI Studio, as Google Drive keeps them.

A file is one chat: ``{"runSettings", "systemInstruction", "chunkedPrompt": {"chunks": [...]}}``. A
question and its files, an answer, its thoughts and the code in it are chunks of their own.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.gemini import model_name, read_instruction, read_part
from faceplate.importers.source import Aside, Attachment, Message, Piece, SourceChat, Text, Unknown

_ROLES: Final = {"model": "assistant"}
_FILES: Final = {
    "driveDocument": "document",
    "driveImage": "image",
    "driveVideo": "video",
    "driveAudio": "audio",
    "youtubeVideo": "video",
    "inlineFile": "file",
    "inlineImage": "image",
}
_PARTS: Final = ("executableCode", "codeExecutionResult", "functionCall", "functionResponse")
_TEXT_FIELDS: Final = frozenset(("text", "thought", "thoughtSignature"))
_CHUNK_FIELDS: Final = (
    *("role", "text", "parts", "isThought", "createTime", "tokenCount", "errorMessage"),
    *(*_FILES, *_PARTS),
)
_CHAT_FIELDS: Final = ("chunkedPrompt", "systemInstruction")


def fits(value: JsonObject) -> int:
    """Return 3 for chunks with roles, 2 for a prompt without."""
    chunks = as_object(value.get("chunkedPrompt")).get("chunks")
    if not isinstance(chunks, list):
        return 0
    return 3 if chunks and all("role" in as_object(chunk) for chunk in chunks) else 2


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    prompt = as_object(value.get("chunkedPrompt"))
    chunks = prompt.get("chunks")
    if not isinstance(chunks, list):
        raise Unreadable("chunkedPrompt.chunks must be a list")
    settings = as_object(value.get("runSettings"))
    instruction = read_instruction(value.get("systemInstruction"))
    messages = [Message("system", instruction)] if instruction else []
    messages += _merge([_read_chunk(chunk) for chunk in chunks])
    unsent = as_list(prompt.get("pendingInputs"))
    messages += [_read_chunk(chunk)._replace(is_hidden=True) for chunk in unsent if _is_said(chunk)]
    left = {} if isinstance(prompt.get("pendingInputs"), list) else prompt
    beside = without(left or without(prompt, "pendingInputs"), "chunks")
    model = model_name(settings.get("model"))
    yield SourceChat(
        [message._replace(model=model) for message in messages],
        title=value.get("title"),
        rest={**without(value, *_CHAT_FIELDS), **beside},
    )


def _is_said(chunk: object) -> bool:
    """Return whether an input that was not sent has anything in it."""
    fields = as_object(chunk)
    return any(fields.get(name) for name in ("text", "parts", *_FILES)) or not fields


def _read_chunk(chunk: Any) -> Message:
    """Return the message that a chunk is, or a part of it."""
    fields = as_object(chunk) or {"text": chunk}
    role, error = first_text(fields.get("role"), "unknown"), first_text(fields.get("errorMessage"))
    pieces = _read_text(fields)
    if error and not pieces:
        pieces = [Text(error)]
    return Message(
        _ROLES.get(role, role),
        pieces,
        created=fields.get("createTime"),
        output_tokens=_tokens(fields) or None if role == "model" else None,
        status="failed" if error else None,
        rest={
            **without(fields, *_CHUNK_FIELDS),
            **({"tokenCount": fields["tokenCount"]} if role != "model" and _tokens(fields) else {}),
            **({} if isinstance(fields.get("role"), str) else {"speaker": fields.get("role")}),
            **({"failure": error} if error and pieces != [Text(error)] else {}),
        },
        original=chunk,
    )


def _tokens(fields: JsonObject) -> int:
    count = fields.get("tokenCount")
    return count if isinstance(count, int) and not isinstance(count, bool) else 0


def _read_text(fields: JsonObject) -> list[Piece]:
    """Return the pieces of a chunk; its parts may repeat its text in pieces."""
    text, parts = fields.get("text"), fields.get("parts")
    pieces: list[Piece] = []
    for key, kind in _FILES.items():
        if fields.get(key) is not None:
            pieces.append(_file(fields[key], kind))
    pieces += [piece for key in _PARTS if key in fields for piece in read_part({key: fields[key]})]
    if fields.get("isThought") is True:
        is_all = isinstance(text, str) and all(map(_is_plain_text, as_list(parts)))
        said = text if is_all and _repeats(parts, str(text)) else {"text": text, "parts": parts}
        return [*pieces, Aside("reasoning", said)]
    if isinstance(text, str) and text:
        pieces.append(Text(text))
    elif text:
        pieces.append(Unknown(text))
    listed = parts if isinstance(parts, list) else [] if parts is None else [parts]
    if isinstance(text, str) and text and _repeats(parts, text):
        listed = [part for part in listed if not _is_plain_text(part)]
    return [*pieces, *(piece for part in listed for piece in read_part(part))]


def _repeats(parts: object, text: str) -> bool:
    """Return whether the texts of the parts are this text."""
    texts = [part["text"] for part in as_list(parts) if _is_plain_text(part)]
    return "".join(texts) == text if texts else not parts


def _is_plain_text(part: object) -> bool:
    fields = as_object(part)
    return isinstance(fields.get("text"), str) and _TEXT_FIELDS.issuperset(fields)


def _file(value: object, kind: str) -> Attachment:
    return attachment(value if isinstance(value, dict) else {"id": value}, kind)


def _merge(messages: list[Message]) -> list[Message]:
    """Return the messages, each with the chunks before it that have no text of their own."""
    merged: list[Message] = []
    for message in messages:
        before = merged[-1] if merged else None
        if before is None or before.role != message.role or _has_text(before):
            merged.append(message)
            continue
        tokens = [each.output_tokens for each in (before, message)]
        counts = [count for count in tokens if isinstance(count, int)]
        rests = [each.rest for each in (before, message) if each.rest]
        merged[-1] = message._replace(
            pieces=[*before.pieces, *message.pieces],
            created=before.created or message.created,
            output_tokens=sum(counts) if counts else None,
            status=message.status or before.status,
            rest=rests[0] if len(rests) == 1 else {"chunks": rests} if rests else None,
            original=[before.original, message.original],
        )
    return merged


def _has_text(message: Message) -> bool:
    return any(isinstance(piece, Text) for piece in message.pieces)


FORMAT: Final = Format(
    "ai-studio",
    "Google AI Studio prompt",
    fits,
    read,
    known=(
        *("runSettings", "citations", "applets", "grounding", "safetyRatings", "parts"),
        *("branchParent", "branchChildren", "thoughtSignatures", "outcome"),
    ),
)
