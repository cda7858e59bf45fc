"""Gemini CLI's files: ``chats/session-….json`` or ``.jsonl``, and ``logs.json``.

A session is an object with messages, or lines: what is said about the session, messages, a
``$set`` of fields or of all messages, and a ``$rewindTo``, a step back to a message. A later line
of the same message replaces it. ``logs.json`` has only the prompts of all sessions.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_content
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.formats.description import Format
from faceplate.importers.shelf import Shelf, ShelfFile
from faceplate.importers.source import Aside, Call, Message, Piece, Result, SourceChat, Text

_NOTES: Final = ("info", "warning", "error")
_ROLES: Final = {"user": "user", "gemini": "assistant", **dict.fromkeys(_NOTES, "program")}
_ABOUT: Final = ("sessionId", "projectHash")
_CHAT_FIELDS: Final = ("sessionId", "summary", "startTime", "lastUpdated", "messages")
_FIELDS: Final = ("id", "timestamp", "type", "content", "toolCalls", "thoughts", "tokens", "model")
_CALL_FIELDS: Final = ("id", "name", "args", "result")
_FAILED: Final = ("error", "cancelled")


def fits(value: JsonObject) -> int:
    """Return 4 for a session, for the lines of one, or for a log of prompts."""
    messages = as_list(value.get("messages"))
    if not messages:
        return 4 if _is_about(value) and "messages" in value else 0
    if _is_about(value):
        return 4 if all(map(_is_message, messages)) else 0
    has_own = any(_is_about(each) or as_object(each).get("type") == "gemini" for each in messages)
    return 4 if all(map(_is_prompt, messages)) or (has_own and all(map(_is_line, messages))) else 0


def _is_about(value: object) -> bool:
    return all(isinstance(as_object(value).get(key), str) for key in _ABOUT)


def _is_message(value: object) -> bool:
    fields = as_object(value)
    is_named = all(isinstance(fields.get(key), str) for key in ("id", "timestamp"))
    return is_named and first_text(fields.get("type")) in _ROLES and "content" in fields


def _is_line(value: object) -> bool:
    fields = as_object(value)
    is_change = isinstance(fields.get("$set"), dict) or isinstance(fields.get("$rewindTo"), str)
    return is_change or _is_about(value) or _is_message(value)


def _is_prompt(value: object) -> bool:
    fields = as_object(value)
    texts = (fields.get("sessionId"), fields.get("timestamp"), fields.get("message"))
    return all(isinstance(text, str) for text in texts) and isinstance(fields.get("messageId"), int)


def joins(value: JsonObject) -> str | None:
    """Return "" for a line of a session, and the session of a prompt in a log."""
    if _is_prompt(value):
        return first_text(value.get("sessionId"))
    return "" if "messages" not in value and _is_line(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the sessions of a value, with the messages that were taken back as branches."""
    listed = value.get("messages", [])
    if not isinstance(listed, list):
        raise Unreadable("messages must be a list")
    if listed and all(map(_is_prompt, listed)):
        yield from _read_prompts(listed)
        return
    session = _Session()
    for line in [value] if _is_about(value) else listed:
        if _is_about(line) and session.about:
            yield session.chat()
            session = _Session()
        session.take(as_object(line) or {"content": line})
    yield session.chat()


class _Session:
    """The messages of a session as a tree."""

    def __init__(self) -> None:
        self.about: JsonObject = {}
        self._versions = Shelf[Message]()
        self._places: dict[str, int] = {}
        """Where the message of each name is; a version that it has replaced stays unread."""
        self._names: dict[str, str] = {}
        """The newest version of each message; an older one has another text, or another place."""
        self._current: str | None = None

    def take(self, line: JsonObject) -> None:
        """Add what a line says."""
        back, fields = line.get("$rewindTo"), line.get("$set")
        if isinstance(back, str):
            name = self._names.get(back)
            self._current = None if name is None else self._message(name).parent
            self._add_rest(without(line, "$rewindTo"))
        elif isinstance(fields, dict):
            self._take_about(fields)
            self._add_rest(without(line, "$set"))
        elif _is_about(line):
            self._take_about(line)
        else:
            message = _read_message(line)
            name = self._names.get(message.id)
            if name is None or (name == self._current and not self._extends(message, name)):
                self._current = self._current if name is None else self._message(name).parent
                self._follow(message)
            else:
                self._put(name, message, self._message(name).parent)

    def _take_about(self, fields: JsonObject) -> None:
        self.about.update(without(fields, "messages"))
        messages = fields.get("messages")
        if isinstance(messages, list):  # all of them
            self._current = None
            for message in messages:
                self._follow(_read_message(as_object(message) or {"content": message}))
        elif messages:
            self._add_rest({"messages": messages})

    def _add_rest(self, rest: JsonObject) -> None:
        if rest:
            self.about.setdefault("lines", []).append(rest)

    def _follow(self, message: Message) -> None:
        """Add a message after the current one, unless it stands there already."""
        name = self._names.get(message.id)
        is_there = name is not None and self._message(name).parent == self._current
        if name is None or not is_there or not self._extends(message, name):
            name = message.id or f"message {len(self._places) + 1}"
            while name in self._places:
                name += "'"
        self._put(name, message, self._current)
        self._names[message.id or name] = self._current = name

    def _put(self, name: str, message: Message, parent: str | None) -> None:
        """Set a message, with what only the version that it replaces has beside its text."""
        if name in self._places:
            lost = _only_in(self._message(name), message)
            message = message._replace(pieces=[*message.pieces, *lost])
        self._places[name] = len(self._versions)
        self._versions.append(message._replace(id=name, parent=parent))

    def _message(self, name: str) -> Message:
        return self._versions[self._places[name]]

    def _extends(self, message: Message, name: str) -> bool:
        """Return whether a message has what its version of this name has said."""
        return _said(message).startswith(_said(self._message(name)))

    def chat(self) -> SourceChat:
        """Return the session; of one without messages only what no field of a session says."""
        about = without(self.about, *_CHAT_FIELDS)
        return SourceChat(
            (self._versions[place] for place in self._places.values()),
            id=first_text(self.about.get("sessionId")),
            title=self.about.get("summary"),
            created=self.about.get("startTime"),
            updated=self.about.get("lastUpdated"),
            is_tree=True,
            current=self._current,
            rest=about if self._places else {key: about[key] for key in about if key == "lines"},
        )


def _read_prompts(listed: list[Any]) -> Iterator[SourceChat]:
    """Yield a chat for each session of a log; it is not the one that has the answers."""
    file = ShelfFile()
    sessions: dict[str, Shelf[Message]] = {}
    for fields in listed:
        message = Message(
            "user",
            [Text(fields["message"])],
            created=fields["timestamp"],
            rest=without(fields, "sessionId", "messageId", "timestamp", "type", "message"),
            original=fields,
        )
        file.put(sessions.setdefault(fields["sessionId"], Shelf(file=file)), message)
    for id_, messages in sessions.items():
        yield SourceChat(messages, id=f"prompts of {id_}")


def _read_message(fields: JsonObject) -> Message:
    kind = first_text(fields.get("type"), "unknown")
    calls, thoughts = fields.get("toolCalls"), fields.get("thoughts")
    usage = as_object(fields.get("tokens"))
    beside: JsonObject = {"type": kind} if kind in _NOTES else {}
    if notes := [
        note for call in as_list(calls) if (note := without(as_object(call), *_CALL_FIELDS))
    ]:
        beside["toolCalls"] = notes
    for key, value in (("calls", calls), ("thoughts", thoughts)):
        if value and not isinstance(value, list):
            beside[key] = {"text": value}
    return Message(
        _ROLES.get(kind, kind),
        [
            *(Aside("reasoning", thought) for thought in as_list(thoughts)),
            *read_content(fields.get("content")),
            *(piece for call in as_list(calls) for piece in _read_call(call)),
        ],
        id=first_text(fields.get("id")),
        created=fields.get("timestamp"),
        model=fields.get("model"),
        input_tokens=usage.get("input"),
        output_tokens=usage.get("output"),
        rest={**without(fields, *_FIELDS), **beside},
        original=fields,
    )


def _said(message: Message) -> str:
    return "".join(piece.text for piece in message.pieces if isinstance(piece, Text))


def _only_in(earlier: Message, later: Message) -> Iterator[Aside]:
    """Yield the pieces that only the earlier version of a message has.

    The program replaces a long output by a remark when the output becomes old.
    """
    for piece in earlier.pieces:
        is_said = isinstance(piece, Text) and piece.text in _said(later)
        if isinstance(piece, Aside) and piece not in later.pieces:
            yield piece
        elif not is_said and piece not in later.pieces:
            yield Aside("earlier versions", piece._asdict())


def _read_call(call: object) -> Iterator[Piece]:
    fields = as_object(call)
    tool, id_ = first_text(fields.get("name"), "function"), first_text(fields.get("id"))
    yield Call(tool, fields.get("args", {}) if fields else call, id_)
    result = fields.get("result")
    if result is not None:
        parts = result if isinstance(result, list) else [result]
        outputs = [_output(part) for part in parts]
        failed = fields.get("status") in _FAILED
        yield Result(outputs[0] if len(outputs) == 1 else outputs, id_, tool, is_error=failed)


def _output(part: Any) -> Any:
    """Return what a tool has returned, without the frames of Gemini's interface."""
    inner = as_object(as_object(part).get("functionResponse"))
    is_plain = bool(inner) and len(part) == 1 and inner.keys() <= {"id", "name", "response"}
    value = inner.get("response") if is_plain else part
    fields = as_object(value)
    is_text = len(fields) == 1 and fields.keys() <= {"output", "error", "text"}
    return next(iter(fields.values())) if is_text else value


FORMAT: Final = Format(
    "gemini-cli",
    "Gemini CLI session",
    fits,
    read,
    known=("toolCalls", "displayContent", "memoryScratchpad", "directories"),
    joins=joins,
)
