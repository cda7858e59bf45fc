"""The lines of Claude Code's logs: the threads that they belong to, and the line that each follows.

A line names the one before it (``parentUuid``), but these links are no tree of branches: the result
of a call and the next call of the same answer both follow the call, and the log of a compacted
session begins anew. A branch begins only where a user's question follows a line that another
question follows already: the user went back there.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text
from faceplate.importers.shelf import Shelf, ShelfFile

SPEAKERS: Final = ("user", "assistant")
TYPES: Final = frozenset(
    (
        *("user", "assistant", "system", "attachment", "progress", "queue-operation", "result"),
        *("summary", "ai-title", "custom-title", "agent-name", "agent-setting", "pr-link", "tag"),
        *("file-history-snapshot", "mode", "permission-mode", "last-prompt"),
    )
)
"""The types of lines. What is no message has no words of its own, but for titles and prompts."""
_MARKS: Final = ("sessionId", "session_id", "uuid", "parentUuid", "leafUuid", "messageId")
PROGRAM_TEXTS: Final = (
    *("<local-command-", "<bash-stdout>", "<bash-stderr>", "<task-notification>"),
    "[Request interrupted by user",
)
"""How texts begin that the program writes in the user's name."""


class Line(NamedTuple):
    """A line that becomes a message."""

    id: str
    fields: JsonObject
    parent: str | None
    """The id of the line that it follows."""


class Thread(NamedTuple):
    """The lines of a session, or of an agent that a session started."""

    session: str
    agent: str
    lines: Shelf[JsonObject]


def is_line(value: JsonObject) -> bool:
    """Return whether a value is a line of a log."""
    kind = value.get("type")
    if kind in SPEAKERS:
        return isinstance(value.get("message"), dict)
    is_known = isinstance(kind, str) and kind in TYPES
    return (is_known and any(mark in value for mark in _MARKS)) or (
        isinstance(kind, str) and isinstance(value.get("sessionId"), str)
    )


def is_spoken(line: JsonObject) -> bool:
    """Return whether a line has a message of the user or the assistant."""
    return line.get("type") in SPEAKERS and "content" in as_object(line.get("message"))


def is_other(line: JsonObject) -> bool:
    """Return whether a line is of an unknown type."""
    return first_text(line.get("type")) not in TYPES


def opening(line: JsonObject) -> str:
    """Return how the text of a message begins, or empty text if it is a result or has no text."""
    content = as_object(line.get("message")).get("content")
    parts = content if isinstance(content, list) else [content]
    if any(as_object(part).get("type") == "tool_result" for part in parts):
        return ""
    texts = (part if isinstance(part, str) else as_object(part).get("text") for part in parts)
    return first_text(*texts, "?" if as_list(content) else "").lstrip()


def threads(lines: Iterable[object]) -> list[Thread]:
    """Return the threads of a log, each with its lines in their order and without repeated ones."""
    file = ShelfFile()
    found: dict[tuple[str, str], Thread] = {}
    roots: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    session = ""
    for value in lines:
        line = _inner(value) if isinstance(value, dict) else {}
        session = first_text(line.get("sessionId"), line.get("session_id"), session)
        uuid = first_text(line.get("uuid"))
        if uuid and (session, uuid) in seen:
            continue
        seen.add((session, uuid))
        is_agents = line.get("isSidechain") is True or line.get("parent_tool_use_id")
        agent = _agent(line, roots) if is_agents else ""
        thread = found.setdefault((session, agent), Thread(session, agent, Shelf(file=file)))
        file.put(thread.lines, line)
    return list(found.values())


def _inner(line: JsonObject) -> JsonObject:
    """Return the line of an agent that a line about its progress quotes, or the line itself."""
    data = as_object(line.get("data"))
    message = data.get("message")
    if line.get("type") != "progress" or not isinstance(message, dict) or not is_spoken(message):
        return line
    agent = first_text(data.get("agentId"), line.get("parentToolUseID"), "agent")
    return {**message, "isSidechain": True, "agentId": agent, "sessionId": line.get("sessionId")}


def _agent(line: JsonObject, roots: dict[str, str]) -> str:
    """Return the name of the agent whose line it is: its id, or else its first line's id."""
    uuid = first_text(line.get("uuid"), "agent")
    root = roots.get(first_text(line.get("parentUuid")), uuid)
    roots[uuid] = root
    return first_text(line.get("agentId"), line.get("parent_tool_use_id"), root)


def find_titles(lines: Iterable[JsonObject]) -> dict[str, str]:
    """Return the title of each session, the user's before the program's, and of each leaf."""
    given: dict[str, str] = {}
    found: dict[str, str] = {}
    for line in lines:
        session = f"session {first_text(line.get('sessionId'))}"
        match line:
            case {"type": "custom-title", "customTitle": str() as title}:
                given[session] = title
            case {"type": "ai-title", "aiTitle": str() as title}:
                found[session] = title
            case {"type": "summary", "summary": str() as title}:
                found[f"leaf {line.get('leafUuid')}"] = title
    return found | given


def has_words(lines: Iterable[JsonObject]) -> bool:
    """Return whether anybody says anything in the lines of a thread."""
    return any(is_spoken(line) or find_last_prompts([line]) for line in lines)


def find_last_prompts(lines: Iterable[JsonObject]) -> str:
    """Return what the lines repeat of the user's last words at their times, or empty text."""
    prompts = (first_text(line.get("lastPrompt")).strip() for line in lines)
    return "\n".join(filter(None, dict.fromkeys(prompts)))


def link(
    lines: Iterable[JsonObject], is_message: Callable[[int, JsonObject], bool]
) -> Iterator[Line]:
    """Yield the lines that are messages, each with the one that it follows."""
    links = _Links()
    for number, line in enumerate(lines, start=1):
        uuid = first_text(line.get("uuid"), f"line {number}")
        if is_message(number, line):
            yield from links.follow(uuid, line)
        else:
            links.stands_for[uuid] = links.find_parent(line)


class _Links:
    """The ends of the branches so far, and which message each line stands for."""

    def __init__(self) -> None:
        self.stands_for: dict[str, str | None] = {}
        self._branch_of: dict[str | None, int] = {None: 0}
        self._ends: list[str | None] = [None]
        self._last: str | None = None
        self._are_linked = False
        """Whether any line has named another one."""
        self._asked: set[str | None] = set()
        """The messages that a user's question follows."""
        self._written: dict[tuple[str | None, int], str] = {}
        """The messages, by the message before each and by the hash of its text."""

    def find_parent(self, line: JsonObject) -> str | None:
        """Return the message that a line names as the one before it, or the last one."""
        for key in ("parentUuid", "logicalParentUuid"):
            uuid = line.get(key)
            if isinstance(uuid, str) and uuid in self.stands_for:
                self._are_linked = True
                return self.stands_for[uuid]
        is_root = "parentUuid" in line and line["parentUuid"] is None
        is_new = is_root and self._are_linked and not line.get("logicalParentUuid")
        return None if is_new else self._last

    def follow(self, uuid: str, line: JsonObject) -> Iterator[Line]:
        """Yield the line with the message that it follows, unless it repeats another one."""
        parent = self.find_parent(line)
        text = hash(json.dumps([line.get("timestamp"), line.get("message")], sort_keys=True))
        if "timestamp" in line and (original := self._written.get((parent, text))):
            self.stands_for[uuid] = original  # a compaction writes lines again
            return
        self._written[parent, text] = self.stands_for[uuid] = uuid
        is_asked = is_question(line)
        if is_asked and parent in self._asked:
            self._branch_of[uuid] = len(self._ends)
            self._ends.append(parent)
        else:
            named = self._last if parent is None else parent
            self._branch_of[uuid] = self._branch_of[named]
        if is_asked:
            self._asked.add(parent)
        branch = self._branch_of[uuid]
        yield Line(uuid, line, self._ends[branch])
        self._ends[branch] = self._last = uuid


def is_question(line: JsonObject) -> bool:
    """Return whether a line is what the user asked, and no text of the program."""
    is_users = line.get("type") == "user" and not line.get("isMeta")
    text = opening(line) if is_users and not line.get("isCompactSummary") else ""
    return bool(text) and not text.startswith(PROGRAM_TEXTS)
