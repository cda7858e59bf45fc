"""big-AGI's exports: a conversation, or ``{"conversations", "models", "folders"}``.

A message has ``fragments``, each with a ``part`` of a kind ``pt``. Until 2024 it had a ``text``.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, without
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

_CHAT_FIELDS: Final = ("id", "messages", "userTitle", "autoTitle", "created", "updated")
_FIELDS: Final = ("id", "role", "fragments", "text", "created", "generator", "originLLM")
_STOPPED: Final = ("client-abort", "out-of-tokens", "filter")
_ASIDES: Final = {"ma": "reasoning", "annotations": "sources", "ph": "steps"}
_REFERENCES: Final = ("zUuid", "dblobAssetId", "url")


def fits(value: JsonObject) -> int:
    """Return 4 for a conversation whose messages have fragments, or a persona."""
    messages = as_list(value.get("messages"))
    if not messages or not all(map(_is_message, messages)):
        return 0
    has_fragments = any(isinstance(as_object(each).get("fragments"), list) for each in messages)
    return 4 if has_fragments or isinstance(value.get("systemPurposeId"), str) else 0


def _is_message(value: object) -> bool:
    fields = as_object(value)
    is_said = isinstance(fields.get("fragments"), list) or isinstance(fields.get("text"), str)
    return is_said and isinstance(fields.get("role"), str)


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise Unreadable("messages must be a list of objects with role and fragments")
    titles = (value.get("userTitle"), value.get("autoTitle"))
    other = {"autoTitle": titles[1]} if all(titles) and titles[0] != titles[1] else {}
    yield SourceChat(
        map(_read_message, messages),
        id=first_text(value.get("id")),
        title=first_text(*titles),
        created=value.get("created"),
        updated=value.get("updated"),
        rest={**without(value, *_CHAT_FIELDS), **other},
    )


def _read_message(message: JsonObject) -> Message:
    generator = as_object(message.get("generator"))
    metrics, aix = as_object(generator.get("metrics")), as_object(generator.get("aix"))
    tokens = [metrics.get(key) for key in ("TIn", "TCacheRead", "TCacheWrite")]
    counted = [count for count in tokens if isinstance(count, int)]
    pieces: list[Piece] = [Text(text)] if (text := first_text(message.get("text"))) else []
    pieces += [piece for each in as_list(message.get("fragments")) for piece in _read(each)]
    role = first_text(message.get("role"), "unknown")
    stop = generator.get("tokenStopReason")
    has_failed = stop == "issue" or any(_part(each).get("pt") == "error" for each in _all(message))
    return Message(
        role,
        pieces,
        id=first_text(message.get("id")),
        created=message.get("created"),
        model=first_text(aix.get("mId"), generator.get("name"), message.get("originLLM")),
        input_tokens=sum(counted) if counted else None,
        output_tokens=metrics.get("TOut"),
        status="interrupted" if stop in _STOPPED else "failed" if has_failed else None,
        rest={
            **without(message, *_FIELDS),
            **({"generator": generator} if generator else {}),
            **({} if text or not message.get("text") else {"text": message["text"]}),
        },
        original=message,
    )


def _all(message: JsonObject) -> list[Any]:
    return as_list(message.get("fragments"))


def _part(fragment: object) -> JsonObject:
    return as_object(as_object(fragment).get("part"))


def _read(fragment: object) -> Iterator[Piece]:
    """Yield the pieces of a fragment."""
    part = _part(fragment)
    kind = first_text(part.get("pt"))
    said = part.get({"text": "text", "error": "error"}.get(kind, ""))
    if isinstance(said, str):
        yield Text(said)
    elif kind in _ASIDES:
        yield Aside(_ASIDES[kind], without(part, "pt"))
    elif kind == "tool_invocation" and isinstance(part.get("invocation"), dict):
        yield _call(part)
    elif kind == "tool_response" and isinstance(part.get("response"), dict):
        yield _result(part)
    elif kind in ("doc", "image_ref", "reference", "hosted_resource"):
        yield _file(as_object(fragment), part, kind)
    else:
        beside = without(as_object(fragment), "part", "ft", "fId")
        named = {"type": kind, **without(part, "pt"), **beside}
        yield Unknown(named if part else fragment)


def _call(part: JsonObject) -> Call:
    inner = part["invocation"]
    tool = first_text(inner.get("name"), inner.get("type"), "function")
    given = inner.get("args", inner.get("code", ""))
    return Call(tool, {} if given is None else given, first_text(part.get("id")))


def _result(part: JsonObject) -> Result:
    inner, error = part["response"], part.get("error")
    tool = first_text(inner.get("name"), inner.get("type"))
    said = [each for each in (inner.get("result"), error) if each and each is not True]
    content = said[0] if len(said) == 1 else said or ""
    return Result(content, first_text(part.get("id")), tool, is_error=bool(error))


def _file(fragment: JsonObject, part: JsonObject, kind: str) -> Attachment:
    """Return a document with its text, or a picture with its address or id."""
    data, meta = as_object(part.get("data")), as_object(part.get("meta"))
    inner = as_object(part.get("dataRef")) or as_object(part.get("resource"))
    text = first_text(data.get("text"))
    names = (meta.get("srcFileName"), part.get("l1Title"), fragment.get("title"))
    given = {**without(part, "data"), **inner}
    reference = first_text(*(given.get(key) for key in _REFERENCES))
    notes = {key: fragment[key] for key in ("title", "caption") if fragment.get(key)}
    summary = as_object(part.get("zRefSummary")).get("text")
    return Attachment(
        first_text(part.get("assetType"), part.get("vdt"), "image" if "image" in kind else "file"),
        first_text(*names, part.get("altText"), summary),
        reference or attachment(given, "file").reference,
        text,
        {**without(part, *(["data"] if text else [])), **notes},
    )


FORMAT: Final = Format(
    "big-agi",
    "big-AGI export",
    fits,
    read,
    known=("generator", "vendorState", "models", "folders"),
)
