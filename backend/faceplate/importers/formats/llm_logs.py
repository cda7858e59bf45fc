"""The log of the command ``llm``, as ``llm logs --json`` prints it: a row for each answer.

``[{"conversation_id", "datetime_utc", "prompt", "system", "response", ...}]``. The results of tools
are in the row of the answer that follows them.
"""

from collections.abc import Iterator
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_content
from faceplate.importers.fields import as_list, as_object, first_text, to_moments, without
from faceplate.importers.formats.description import Format
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
)

_MARKS: Final = ("conversation_id", "datetime_utc", "prompt", "response")
_FIELDS: Final = (
    *_MARKS,
    *("id", "system", "conversation_name", "model", "input_tokens", "output_tokens"),
    *("reasoning", "tool_calls", "tool_results", "attachments", "prompt_fragments"),
    "system_fragments",
)


def is_row(value: object) -> bool:
    """Return whether a value is a row of the log: a part of a chat, and none by itself."""
    fields = as_object(value)
    return isinstance(fields.get("datetime_utc"), str) and all(key in fields for key in _MARKS)


def fits(value: JsonObject) -> int:
    """Return 4 for a list of rows."""
    rows = as_list(value.get("messages"))
    return 4 if rows and all(map(is_row, rows)) else 0


def joins(value: JsonObject) -> str | None:
    """Return the conversation of a row."""
    return first_text(value["conversation_id"], value.get("id")) if is_row(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the conversation of a value, in the order of time."""
    rows = as_list(value.get("messages"))
    if not all(map(is_row, rows)):
        raise Unreadable("messages must be a list of objects with prompt and response")
    times = to_moments(row["datetime_utc"] for row in rows)
    order = sorted(range(len(rows)), key=times.__getitem__)
    titles = [row.get("conversation_name") for row in rows[:1]]
    yield SourceChat(
        _read_rows(rows[number] for number in order),
        id=first_text(value.get("id"), *(joins(row) for row in rows[:1])),
        title=first_text(value.get("title"), *titles),
        rest=without(value, "messages", "id", "title"),
    )


def _read_rows(rows: Iterator[JsonObject]) -> Iterator[Message]:
    """Yield the messages of the rows; a system prompt only where it is another one."""
    before: list[Piece] = []
    for row in rows:
        system = [
            *read_content(row.get("system") or None),
            *map(_fragment, as_list(row.get("system_fragments"))),
        ]
        if system and system != before:
            yield Message("system", system)
            before = system
        yield from _read_row(row)


def _read_row(row: JsonObject) -> Iterator[Message]:
    time = row["datetime_utc"]
    for result in map(as_object, as_list(row.get("tool_results"))):
        id_, tool = first_text(result.get("tool_call_id")), first_text(result.get("name"))
        output = Result(result.get("output"), id_, tool)
        rest = without(result, "id", "tool_id", "tool_call_id", "name", "output")
        yield Message("tool", [output], created=time, rest=rest, original=result)
    asked: list[Piece] = [
        *read_content(row["prompt"] or None),
        *map(_fragment, as_list(row.get("prompt_fragments"))),
        *map(_file, as_list(row.get("attachments"))),
    ]
    if asked:
        yield Message("user", asked, created=time, original=row["prompt"])
    thoughts = [Aside("reasoning", row["reasoning"])] if row.get("reasoning") else []
    calls = [_call(as_object(each)) for each in as_list(row.get("tool_calls"))]
    yield Message(
        "assistant",
        [*thoughts, *read_content(row["response"]), *calls],
        id=first_text(row.get("id")),
        created=time,
        model=row.get("model"),
        input_tokens=row.get("input_tokens"),
        output_tokens=row.get("output_tokens"),
        rest=without(row, *_FIELDS),
        original=row,
    )


def _call(call: JsonObject) -> Call:
    given = call.get("arguments")
    tool = first_text(call.get("name"), "function")
    return Call(tool, {} if given is None else given, first_text(call.get("tool_call_id")))


def _file(value: object) -> Attachment:
    fields = as_object(value)
    return attachment(fields, first_text(fields.get("type"), "file"))


def _fragment(fragment: object) -> Attachment:
    """Return a text that was given beside the prompt."""
    fields = fragment if isinstance(fragment, dict) else {"content": fragment}
    aliases = as_list(fields.get("aliases"))
    return Attachment(
        "fragment",
        first_text(*aliases),
        first_text(fields.get("hash")),
        first_text(fields.get("content")),
        without(fields, "content"),
    )


FORMAT: Final = Format(
    "llm",
    "log of llm",
    fits,
    read,
    known=("prompt_json", "response_json", "options_json", "schema_json", "tools", "token_details"),
    joins=joins,
)
