"""The lines of Codex CLI's logs, and the sessions that they belong to."""

from collections.abc import Iterable
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_object, first_text
from faceplate.importers.shelf import Shelf, ShelfFile

LINES: Final = frozenset(
    (
        *("session_meta", "response_item", "event_msg", "turn_context", "compacted"),
        *("world_state", "inter_agent_communication", "inter_agent_communication_metadata"),
    )
)


def is_wrapped(value: JsonObject) -> bool:
    """Return whether a value is a line with a type and a payload."""
    kind = first_text(value.get("type"))
    has_payload = bool(kind) and isinstance(value.get("payload"), dict)
    return has_payload and (kind in LINES or "timestamp" in value)


def is_header(value: JsonObject) -> bool:
    """Return whether a value is the first line of a log without wrapped lines."""
    return {"id", "timestamp", "instructions"} <= value.keys() and "type" not in value


def sessions_of(lines: Iterable[JsonObject]) -> list[Shelf[JsonObject]]:
    """Return the lines of each session; what a session repeats of its parent is its own."""
    file = ShelfFile()
    sessions: list[Shelf[JsonObject]] = []
    known: set[str] = set()
    for line in lines:
        header = as_object(line.get("payload")) if line.get("type") == "session_meta" else line
        begins = header is not line or is_header(line)
        if not sessions or (begins and first_text(header.get("id")) not in known):
            sessions.append(Shelf(file=file))
            known = set()
        if begins:
            source = _find(header.get("source"), "parent_thread_id")
            parents = (header.get(key) for key in ("id", "forked_from_id", "parent_thread_id"))
            known |= {first_text(parent) for parent in (*parents, source)}
        file.put(sessions[-1], line)
    return sessions


def _find(value: object, key: str) -> object:
    """Return the value of a key that may be some levels below."""
    fields = as_object(value)
    if key in fields:
        return fields[key]
    return next((found for each in fields.values() if (found := _find(each, key))), None)
