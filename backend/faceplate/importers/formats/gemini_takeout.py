"""Gemini's chats in Google Takeout: ``My Activity/Gemini Apps/MyActivity.json``.

The file is a log: each record is a prompt with its answers, the newest first. A record names its
chat by an address in ``details``. The prompt is in ``title``, behind "Prompted", and the answers
are HTML.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import as_list, as_object, first_text, to_seconds, without
from faceplate.importers.formats.description import Format
from faceplate.importers.html_text import to_markdown
from faceplate.importers.source import Attachment, Message, Piece, SourceChat, Text, Unknown

_ADDRESS: Final = "gemini.google.com/app/"
_PRODUCTS: Final = ("gemini", "bard")
_PROMPTED: Final = "Prompted "
_ACTIVITIES: Final = ("Created ", "Used ", "Selected ", "Gave ", "Cleared ", "Deleted ")
"""How titles begin that are no prompt, if the record has no answer."""
_FILE_MARK: Final = "-  "
_RECORD_FIELDS: Final = ("title", "time", "safeHtmlItem", "imageFile", "attachedFiles", "details")


def fits(value: JsonObject) -> int:
    """Return 3 for records that were joined."""
    records = as_list(value.get("messages"))
    return 3 if records and all(map(_is_record, records)) else 0


def _is_record(value: object) -> bool:
    fields = as_object(value)
    named = [fields.get("header"), *as_list(fields.get("products"))]
    names = " ".join(name for name in named if isinstance(name, str)).lower()
    has_fields = isinstance(fields.get("title"), str) and isinstance(fields.get("time"), str)
    return has_fields and any(product in names for product in _PRODUCTS)


def joins(value: JsonObject) -> str | None:
    """Return the chat that a record names; one that names none or several is a chat of its own."""
    if not _is_record(value):
        return None
    if _is_activity(value):
        return "activity"
    ids = _chat_ids(value)
    return ids.pop() if len(ids) == 1 else f"record {value['time']}"


def _chat_ids(record: JsonObject) -> set[str]:
    details = [as_object(detail) for detail in as_list(record.get("details"))]
    addresses = [first_text(detail.get("url"), detail.get("name")) for detail in details]
    return {
        address.partition(_ADDRESS)[2].partition("?")[0].strip("/")
        for address in addresses
        if _ADDRESS in address
    } - {""}


def _is_activity(record: JsonObject) -> bool:
    """Return whether a record is about a chat, and neither a prompt nor an answer."""
    return not record.get("safeHtmlItem") and record["title"].startswith(_ACTIVITIES)


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of joined records, oldest first; several answers to a prompt are branches."""
    records = value.get("messages")
    if not isinstance(records, list) or not all(map(_is_record, records)):
        raise Unreadable("messages must be records of activity")
    prompts = [record for record in records[::-1] if not _is_activity(record)]
    prompts.sort(key=lambda record: to_seconds(record["time"]) or 0)
    messages: list[Message] = []
    last: str | None = None
    names: set[str] = set()
    for number, record in enumerate(prompts, start=1):
        name = record["time"] if record["time"] not in names else f"{record['time']} {number}"
        names.add(name)
        asked = _read_prompt(record)._replace(id=name, parent=last)
        answers = [
            answer._replace(id=f"{name}.{place}", parent=name)
            for place, answer in enumerate(_read_answers(record), start=1)
        ]
        messages += [asked, *answers]
        last = answers[0].id if answers else name
    if messages:
        yield SourceChat(
            messages,
            id=first_text(value.get("id")),
            is_tree=True,
            current=last,
            rest=without(value, "id", "messages"),
        )


def _read_prompt(record: JsonObject) -> Message:
    title: str = record["title"]
    files = _files(record)
    named = {file.reference for file in files}
    subtitles = [
        subtitle
        for subtitle in as_list(record.get("subtitles"))
        if first_text(as_object(subtitle).get("url")) not in named
    ]
    rest = {**without(record, *_RECORD_FIELDS, "subtitles"), "subtitles": subtitles}
    if len(_chat_ids(record)) != 1:
        rest["details"] = record.get("details")
    return Message(
        "user",
        [Text(title.removeprefix(_PROMPTED)), *files],
        created=record["time"],
        rest={name: field for name, field in rest.items() if field},
        original=record,
    )


def _files(record: JsonObject) -> list[Attachment]:
    """Return the files of a prompt; names stand in its subtitles."""
    names = {
        first_text(fields.get("url"), name): name.removeprefix(_FILE_MARK).strip()
        for fields in map(as_object, as_list(record.get("subtitles")))
        if (name := first_text(fields.get("name"))).startswith(_FILE_MARK)
    }
    picture = record.get("imageFile")
    listed = [each for each in as_list(record.get("attachedFiles")) if isinstance(each, str)]
    references = dict.fromkeys([*names, *listed])
    if isinstance(picture, str) and picture:
        references.setdefault(picture)
    return [
        Attachment("image" if each == picture else "file", names.get(each, each), each)
        for each in references
    ]


def _read_answers(record: JsonObject) -> Iterator[Message]:
    answers = record.get("safeHtmlItem")
    listed: list[Any] = answers if isinstance(answers, list) else [answers] if answers else []
    for answer in listed:
        fields = as_object(answer)
        html = fields.get("html")
        if isinstance(html, str):
            pieces: list[Piece] = [Text(to_markdown(html))]
            rest = without(fields, "html")
        else:
            pieces, rest = [Unknown(answer)], {}
        yield Message("assistant", pieces, created=record["time"], rest=rest, original=answer)


FORMAT: Final = Format(
    "gemini-takeout",
    "Gemini activity of Google Takeout",
    fits,
    read,
    known=("html", "safeHtmlItem", "locationInfos", "activityControls"),
    joins=joins,
)
