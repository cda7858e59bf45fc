"""Gemini's chats in Google Takeout: ``My Activity/Gemini Apps/MyActivity.json``.

The file is a log: each record is a prompt with its answers, the newest first. A record names its
chats by addresses in ``details``: the ones before the point where a chat was branched belong to
each of its branches. The prompt is in ``title``, behind "Prompted" in the account's language, and
the answers are HTML.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment
from faceplate.importers.fields import as_list, as_object, first_text, to_seconds, without
from faceplate.importers.formats.description import Format
from faceplate.importers.html_text import to_markdown
from faceplate.importers.source import Attachment, Message, Piece, SourceChat, Text, Unknown

_ADDRESS: Final = "gemini.google.com/app/"
_PRODUCTS: Final = ("gemini", "bard", "ai mode")
_PROMPTED: Final = (
    *("Prompted ", "Asked Gemini: ", "Asked Bard: ", "Searched for ", "Prompt: "),
    *("送信したメッセージ: ", "Has dicho: ", "Hiciste la petición ", "Запит: "),
    "Υποβλήθηκε το ερώτημα ",
)
"""What stands before the words of the user, in the languages that are known."""
_BRANCHED: Final = ("Branched ", "분기된 ")
_ACTIVITIES: Final = (
    *("Created ", "Used ", "Added ", "Selected ", "Gave ", "Cleared ", "Deleted ", "Shared "),
    *("Viewed ", "Edited ", "Pinned ", "Renamed ", "Exported ", "Updated "),
)
"""How titles begin that are no prompt."""
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
    """Return "" for a record: which chats there are is known when all have been read."""
    if not _is_record(value):
        return None
    return "activity" if _is_empty(value) else ""


def _chat_ids(record: JsonObject) -> list[str]:
    details = [as_object(detail) for detail in as_list(record.get("details"))]
    addresses = [first_text(detail.get("url"), detail.get("name")) for detail in details]
    ids = [
        address.partition(_ADDRESS)[2].partition("?")[0].strip("/").removeprefix("c/")
        for address in [*addresses, first_text(record.get("titleUrl"))]
        if _ADDRESS in address
    ]
    return list(dict.fromkeys(id_ for id_ in ids if id_))


def _is_activity(record: JsonObject) -> bool:
    """Return whether a title says what was done, and not what was asked."""
    title: str = record["title"]
    if title.startswith((*_BRANCHED, *_PROMPTED)):
        return False
    header = record.get("header")
    is_named = isinstance(header, str) and header in title and not record.get("safeHtmlItem")
    return title.startswith(_ACTIVITIES) or is_named


def _is_empty(record: JsonObject) -> bool:
    return _is_activity(record) and not record.get("safeHtmlItem") and not record.get("subtitles")


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chats of records; a record that names no chat is a chat of its own."""
    records = value.get("messages")
    if not isinstance(records, list) or not all(map(_is_record, records)):
        raise Unreadable("messages must be records of activity")
    chats: dict[str, list[JsonObject]] = {}
    for record in records:
        if not _is_empty(record):
            for id_ in _chat_ids(record) or [f"record {record['time']}"]:
                chats.setdefault(id_, []).append(record)
    rest = without(value, "messages")
    for id_, its in chats.items():
        yield _read_chat(id_, its, rest)
        rest = {}


def _read_chat(id_: str, records: list[JsonObject], rest: JsonObject) -> SourceChat:
    """Return a chat, oldest record first; several answers to a prompt are branches."""
    records.reverse()
    records.sort(key=lambda record: to_seconds(record["time"]) or 0)
    messages: list[Message] = []
    last: str | None = None
    names: set[str] = set()
    for number, record in enumerate(records, start=1):
        name = record["time"] if record["time"] not in names else f"{record['time']} {number}"
        names.add(name)
        answers = list(_read_answers(record, id_))
        role = "assistant" if _is_activity(record) else "user"
        messages.append(_read_prompt(record)._replace(role=role, id=name, parent=last))
        messages += [
            answer._replace(id=f"{name}.{place}", parent=name)
            for place, answer in enumerate(answers, start=1)
        ]
        last = f"{name}.1" if answers else name
    return SourceChat(messages, id=id_, is_tree=True, current=last, rest=rest)


def _read_prompt(record: JsonObject) -> Message:
    title: str = record["title"]
    files = _files(record)
    named = {file.reference for file in files}
    subtitles = [
        subtitle
        for subtitle in as_list(record.get("subtitles"))
        if first_text(as_object(subtitle).get("url")) not in named
    ]
    made: list[Piece] = []
    if _is_activity(record):  # then they are what was made, such as the text of a canvas
        texts = [as_object(subtitle).get("name") for subtitle in subtitles]
        made = [Text(text) for text in texts if isinstance(text, str)]
        subtitles = [subtitle for subtitle in subtitles if {*as_object(subtitle)} != {"name"}]
    rest = {**without(record, *_RECORD_FIELDS, "subtitles"), "subtitles": subtitles}
    if len(_chat_ids(record)) != 1:
        rest["details"] = record.get("details")
    for beginning in (*_BRANCHED, *_PROMPTED):
        title = title.removeprefix(beginning)
    return Message(
        "user",
        [Text(title), *made, *files],
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
    listed = as_list(record.get("attachedFiles"))
    references = dict.fromkeys([*names, *(each for each in listed if isinstance(each, str))])
    if isinstance(picture, str) and picture:
        references.setdefault(picture)
    return [
        *(
            Attachment("image" if each == picture else "file", names.get(each, each), each)
            for each in references
        ),
        *(attachment(each, "file") for each in listed if isinstance(each, dict)),
    ]


def _read_answers(record: JsonObject, chat: str) -> Iterator[Message]:
    """Yield the answer that a chat shows, then the others; a record has them for all its chats."""
    answers, ids = record.get("safeHtmlItem"), _chat_ids(record)
    listed: list[Any] = answers if isinstance(answers, list) else [answers] if answers else []
    if chat in ids and len(listed) == len(ids):
        own = listed[ids.index(chat)]
        listed = [own, *(answer for answer in listed if answer is not own)]
    for place, answer in enumerate(listed):
        if answer in listed[:place]:
            continue
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
