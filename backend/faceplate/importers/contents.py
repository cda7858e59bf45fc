"""The parts of a message's content, in the words that formats share.

OpenAI, Anthropic, Gemini, the Vercel SDK and others write content as text or as a list of parts.
Their kinds of parts have different names, and few of them mean different things, so one table knows
them all. A part that it does not know becomes `Unknown`, whose text the import reports.
"""

from collections.abc import Callable
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.call_parts import read_call, read_call_result
from faceplate.importers.fields import first_text, to_text, without
from faceplate.importers.source import Aside, Attachment, Piece, Text, Unknown
from faceplate.importers.unread import find_text

_MAX_REFERENCE_CHARS: Final = 2_000

TEXT_KEYS: Final = ("text", "content", "value", "output_text", "refusal", "logs")


def read_content(content: object) -> list[Piece]:
    """Return the pieces of a content: text, a part, or a list of both."""
    if content is None:
        return []
    if isinstance(content, list):
        return [piece for part in content for piece in read_part(part)]
    return list(read_part(content))


def read_part(part: object) -> list[Piece]:
    """Return the pieces of one part."""
    if isinstance(part, str):
        return [Text(part)]
    if isinstance(part, int | float) and not isinstance(part, bool):
        return [Text(to_text(part))]
    if not isinstance(part, dict):
        return [] if part is None else [Unknown(part)]
    kind = part.get("type")
    name = kind.lower().replace("-", "_") if isinstance(kind, str) else ""
    read = _READERS.get(name) or _by_ending(name) or (None if kind else _read_untyped)
    return (read(part) if read else None) or [Unknown(part)]


def read_result(content: object) -> tuple[str, list[Attachment], list[JsonObject]]:
    """Return the text of a tool's result, its attachments, and the parts that are unknown."""
    parts = content if isinstance(content, list) else [content]
    is_value = isinstance(content, str) or (isinstance(content, dict) and "type" not in content)
    if is_value or not _are_parts(parts):
        return "" if content is None else to_text(content), [], []
    pieces = read_content(parts)
    texts = [piece.text for piece in pieces if isinstance(piece, Text)]
    attachments = [piece for piece in pieces if isinstance(piece, Attachment)]
    if len(texts) + len(attachments) < len(pieces):  # with other parts, it is a value like any
        return to_text(content), [], []
    return "\n".join(texts), attachments, []


def _are_parts(content: object) -> bool:
    """Return whether a value is a list of parts of a content."""
    return isinstance(content, list) and all(
        isinstance(part, str)
        or (isinstance(part, dict) and (isinstance(part.get("type"), str) or {*part} == {"text"}))
        for part in content
    )


def attachment(part: JsonObject, kind: str) -> Attachment:
    """Return a file or a picture, by the names that formats give to its fields."""
    inner: JsonObject = next(
        (part[key] for key in _INNER_FILES if isinstance(part.get(key), dict)), {}
    )
    fields: JsonObject = {**part, **inner}
    is_text = inner.get("type") == "text"  # then the data are what the file says
    data = first_text(*(fields.get(key) for key in _FILE_DATA))
    reference = first_text(*(fields.get(key) for key in _REFERENCES), "" if is_text else data)
    if len(reference) > _MAX_REFERENCE_CHARS:
        reference = f"{reference[:60]}… ({len(reference):,} characters)"
    return Attachment(
        kind=first_text(*(fields.get(key) for key in _MEDIA_TYPES), kind),
        name=first_text(*(fields.get(key) for key in _FILE_NAMES)),
        reference=reference,
        text=first_text(
            *(fields.get(key) for key in _FILE_TEXTS),
            data if is_text else "",
            "" if kind in _MEDIA else _said(fields.get("content")),
        ),
        part=part,
    )


def _said(content: object) -> str:
    """Return the text of a file's content: text, or a list of parts."""
    pieces = read_content(content) if isinstance(content, str | list) else []
    return "\n".join(piece.text for piece in pieces if isinstance(piece, Text))


_MEDIA: Final = ("image", "audio", "video")
_INNER_FILES: Final = (
    *("source", "image_url", "file", "input_audio", "inlineData", "inline_data"),
    *("fileData", "audio", "video", "image_file", "data", "image", "imageUrl"),
)
_REFERENCES: Final = (
    *("image_url", "url", "uri", "fileUri", "file_uri", "file_url", "path", "src"),
    *("file_id", "fileId", "asset_pointer", "image_id", "id", "uuid", "file_uuid", "image"),
)
_NAMED_FILES: Final = ("image", "document", "video")  # of Bedrock
_FILE_DATA: Final = ("data", "file_data", "image_data", "bytes")
_MEDIA_TYPES: Final = (
    *("media_type", "mediaType", "mime_type", "mimeType", "contentType", "file_type", "format"),
)
_FILE_NAMES: Final = ("filename", "fileName", "file_name", "name", "title", "displayName")
_FILE_TEXTS: Final = ("extracted_content", "extractedContent", "transcript")


def _text(part: JsonObject) -> list[Piece]:
    key = next((key for key in TEXT_KEYS if part.get(key) is not None), "")
    text, notes = part.get(key), without(part, "type", "state", "cache_control", key)
    if isinstance(text, dict):  # of an Assistants' thread
        notes |= without(text, "value")
        text = text.get("value")
    if not isinstance(text, str):
        return []
    asides = {name: notes.pop(name) for name in _NOTES if notes.get(name)}
    if any(find_text(notes)):
        return [Text(text), Aside("notes of texts", asides), Unknown(notes)]
    asides |= {name: note for name, note in notes.items() if note}
    return [Text(text), Aside("notes of texts", asides)] if asides else [Text(text)]


_NOTES: Final = ("annotations", "citations", "logprobs")
"""What sources a text has, in their own words."""


def _reasoning(part: JsonObject) -> list[Piece]:
    return [Aside("reasoning", without(part, "type"))]


def _read_untyped(part: JsonObject) -> list[Piece]:
    """Return the pieces of a part without a type, as Gemini and Bedrock write it."""
    if any(key in part for key in ("functionCall", "function_call", "toolUse")):
        return read_call(part)
    if any(key in part for key in ("functionResponse", "function_response", "toolResult")):
        return read_call_result(part)
    if file := _untyped_file(part):
        return [file]
    if part.get("thought") is True or isinstance(part.get("reasoningContent"), dict):
        return _reasoning(part)
    if isinstance(parts := part.get("parts"), list):
        rest = without(part, "parts")
        return [*read_content(parts), *([Unknown(rest)] if any(find_text(rest)) else [])]
    return _text(part)


def _untyped_file(part: JsonObject) -> Attachment | None:
    if any(key in part for key in ("inlineData", "inline_data", "fileData", "file_data")):
        return attachment(part, "file")
    kind = next(iter(part)) if len(part) == 1 else ""
    is_file = kind in _NAMED_FILES and isinstance(part[kind], dict)
    return attachment(part[kind], kind) if is_file else None


def _files(kind: str) -> Callable[[JsonObject], list[Piece]]:
    return lambda part: [attachment(part, kind)]


def _speech(part: JsonObject) -> list[Piece]:
    """Return what was said, and the sound of it."""
    sound = attachment(part, "audio")
    said: list[Piece] = [Text(sound.text)] if sound.text else []
    return [*said, sound._replace(text="")]


def _aside(kind: str) -> Callable[[JsonObject], list[Piece]]:
    return lambda part: [Aside(kind, part)]


def _by_ending(name: str) -> Callable[[JsonObject], list[Piece]] | None:
    """Return the reader of a kind that begins or ends as calls and results do."""
    if name.endswith(("tool_result", "_call_output", "_call_result", "tool_response")):
        return read_call_result
    if name.startswith("tool_") or name.endswith(("_call", "tool_use", "_tool")):
        return read_call
    return None


_READERS: Final[dict[str, Callable[[JsonObject], list[Piece]]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal"), _text),
    **dict.fromkeys(("summary_text", "markdown", "plain_text", "string", "logs"), _text),
    **dict.fromkeys(("thinking", "redacted_thinking", "reasoning", "think", "thought"), _reasoning),
    **dict.fromkeys(("reasoning_content", "reasoning_text", "redacted_reasoning"), _reasoning),
    **dict.fromkeys(("thoughts", "reasoning_file"), _reasoning),
    **dict.fromkeys(("tool_use", "tool_call", "function_call", "function"), read_call),
    **dict.fromkeys(("tool_invocation", "dynamic_tool", "mcp_call"), read_call),
    **dict.fromkeys(("tool_result", "tool_response", "function_response"), read_call_result),
    **dict.fromkeys(("tool_search_output", "program_output"), read_call_result),
    **dict.fromkeys(("image", "image_url", "input_image", "image_file", "img"), _files("image")),
    **dict.fromkeys(
        ("image_data", "imageurl", "image_file_id", "computer_screenshot"), _files("image")
    ),
    **dict.fromkeys(("file", "input_file", "document", "attachment", "media"), _files("file")),
    **dict.fromkeys(("file_data", "file_url", "file_id", "container_upload"), _files("file")),
    **dict.fromkeys(("search_result",), _files("search result")),
    **dict.fromkeys(("audio", "input_audio", "output_audio", "audio_url"), _speech),
    **dict.fromkeys(("video", "input_video", "video_url"), _files("video")),
    **dict.fromkeys(("source_url", "source_document", "source"), _aside("sources")),
    **dict.fromkeys(("step_start", "step_finish"), _aside("steps")),
}
"""The readers of parts by their types, in lower case and with ``_`` for ``-``."""
