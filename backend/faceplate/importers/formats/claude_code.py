"""Claude Code's logs: JSON lines, one for each block of a message.

A file may hold several sessions, and the threads of the agents that they started; each is a chat.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.contents import read_content
from faceplate.importers.fields import as_list, as_object, first_text, to_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.claude_code_lines import (
    PROGRAM_TEXTS,
    TYPES,
    Line,
    Thread,
    find_last_prompts,
    find_titles,
    has_words,
    is_line,
    is_other,
    is_question,
    is_spoken,
    link,
    opening,
    threads,
)
from faceplate.importers.formats.description import Format
from faceplate.importers.shelf import Shelf
from faceplate.importers.source import Attachment, Message, Piece, SourceChat, Text

_LISTS: Final = ("messages", "loglines")
_INPUT_TOKENS: Final = (
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
)
_LINE_FIELDS: Final = (
    *("type", "message", "attachment", "uuid", "parentUuid", "logicalParentUuid", "timestamp"),
    *("isMeta", "isApiErrorMessage", "isVisibleInTranscriptOnly"),
    *("isCompactSummary", "isSidechain", "operation", "content"),
)
_MAX_COPY_CHARS: Final = 20_000
_MAX_TITLE_CHARS: Final = 80


def joins(value: JsonObject) -> str | None:
    """Return the chat of a line: a file is read as a whole."""
    return "" if is_line(value) else None


def fits(value: JsonObject) -> int:
    """Return 4 for the lines of a log, 2 if nobody says anything in them."""
    if any(is_spoken(line) for line in _lines(value)):
        return 4
    types = {first_text(line.get("type")) for line in _lines(value)}
    return 2 if types & TYPES and all(map(is_line, _lines(value))) else 0


def _lines(value: JsonObject) -> Iterator[JsonObject]:
    for key in _LISTS:
        for line in as_list(value.get(key)):
            if isinstance(line, dict):
                yield line


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of each session and of each agent in a log.

    A log in which nobody says anything, such as one of titles of other sessions, is a chat without
    messages, and with the user's last words if the log repeats them.
    """
    titles = find_titles(_lines(value))
    found = threads(_lines(value))
    spoken = [thread for thread in found if has_words(thread.lines)]
    for thread in spoken or found:
        yield _read_thread(thread, titles)


def _read_thread(thread: Thread, titles: Mapping[str, str]) -> SourceChat:
    common: JsonObject = next((line for line in thread.lines if is_spoken(line)), {})
    lost = _Lost(thread.lines)
    latest = _latest_progress(thread.lines)
    messages = Shelf[Message]()
    answers: list[tuple[str, JsonObject]] = []
    """The id of the answer that each message is a part of, and the usage that its lines tell."""
    current: str | None = None
    lines = link(
        thread.lines,
        lambda number, line: _is_message(line) or lost.has(line) or number in latest,
    )
    ids: dict[str | None, str] = {}
    for group in _groups(lines):
        ids.update((line.id, group[0].id) for line in group)
        message = _read_group(group, ids.get(group[0].parent), common)
        messages.append(message)
        answers.append((_answer_id(group[0].fields), _usage(group[-1].fields)))
        current = current if message.is_hidden else message.id
    ends = {answer: number for number, (answer, _) in enumerate(answers)}
    are_last = [ends[answer] == number for number, (answer, _) in enumerate(answers)]
    others = [line for line in thread.lines if is_other(line)]
    prompts = "" if messages else find_last_prompts(thread.lines)
    return SourceChat(
        (  # the whole answer has one usage
            _with_usage(message, usage) if is_last else message
            for message, (_, usage), is_last in zip(messages, answers, are_last, strict=True)
        ),
        id="/".join(name for name in (thread.session, thread.agent) if name)
        or digest([*thread.lines]),
        title=_title(thread, titles) if messages else prompts.partition("\n")[0],
        is_tree=True,
        current=current,
        rest={
            **without(common, *_LINE_FIELDS, "toolUseResult", "requestId"),
            **({"other_lines": others} if others else {}),
            **({"lastPrompt": {"text": prompts}} if prompts else {}),
        },
    )


def _groups(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield the lines of each message."""
    group: list[Line] = []
    for line in lines:
        if group and not _continues(group, line):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _title(thread: Thread, titles: Mapping[str, str]) -> str | None:
    """Return the title of a thread: a given one, or the first question that is no command."""
    leaves = [titles[key] for line in thread.lines if (key := f"leaf {line.get('uuid')}") in titles]
    session = f"session {thread.session}"
    if titles.get(session) and not thread.agent:
        return titles[session]
    if leaves:
        return leaves[-1]
    questions = [opening(line) for line in thread.lines if is_question(line)]
    spoken = (question for question in questions if not question.startswith("<command-"))
    is_command = bool(questions) and questions[0].startswith("<command-")
    return next(spoken, "").partition("\n")[0][:_MAX_TITLE_CHARS] or None if is_command else None


def _latest_progress(lines: Iterable[JsonObject]) -> set[int]:
    """Return the number of the last line about the progress of each call: it has all the others."""
    latest = {
        first_text(line.get("toolUseID"), line.get("parentToolUseID")): number
        for number, line in enumerate(lines, start=1)
        if line.get("type") == "progress"
    }
    return {*latest.values()}


class _Lost:
    """The texts that a user wrote while the model worked, and that no message has."""

    def __init__(self, lines: Iterable[JsonObject]) -> None:
        self._said = {
            hash(row.strip())
            for line in lines
            for content in (
                as_object(line.get("message")).get("content"),
                as_object(line.get("attachment")).get("prompt"),
            )
            for row in _text(content).splitlines()
        }
        """The hashes of what messages say."""

    def has(self, line: JsonObject) -> bool:
        """Return whether a line has such a text, the first time it is asked for it."""
        is_queued = line.get("type") == "queue-operation"
        queued = _text(line.get("content")) if is_queued else ""
        rows = {hash(row.strip()) for row in queued.splitlines()}
        is_lost = not rows <= self._said
        self._said |= rows
        return is_lost


def _text(content: object) -> str:
    pieces = read_content(content) if isinstance(content, str | list) else []
    return "\n".join(piece.text for piece in pieces if isinstance(piece, Text))


def _is_message(line: JsonObject) -> bool:
    return is_spoken(line) or line.get("type") in ("system", "attachment")


def _continues(group: Sequence[Line], line: Line) -> bool:
    """Return whether a line is the next block of an answer, or a file of a question."""
    first, last = group[0].fields, group[-1]
    if line.parent != last.id:
        return False
    if _file(line.fields):
        return first.get("type") == "user" and bool(opening(first))
    answer = _answer_id(first)
    return bool(answer) and answer == _answer_id(line.fields)


def _answer_id(line: JsonObject) -> str:
    """Return the id of the answer of which a line is a block, or empty text."""
    is_answer = line.get("type") == "assistant"
    return first_text(as_object(line.get("message")).get("id")) if is_answer else ""


def _read_group(group: Sequence[Line], parent: str | None, common: JsonObject) -> Message:
    first = group[0].fields
    message = Message(id=group[0].id, parent=parent, created=first.get("timestamp"))
    queued = as_object(first.get("attachment")).get("prompt")
    if first.get("type") == "queue-operation":
        queued = first.get("content")
    if not is_spoken(first) and not _file(first) and not queued:
        return message._replace(role="system", is_hidden=True, original=first)
    said = as_object(first.get("message"))
    return message._replace(
        role=_role(first),
        pieces=read_content(queued) if queued else list(_pieces(group)),
        model=None if said.get("model") == "<synthetic>" else said.get("model"),
        status="failed" if first.get("isApiErrorMessage") is True else None,
        is_hidden=first.get("isMeta") is True,
        rest=_rest(group, common),
        original=first,
    )


def _usage(line: JsonObject) -> JsonObject:
    return as_object(as_object(line.get("message")).get("usage"))


def _with_usage(message: Message, usage: JsonObject) -> Message:
    """Return a message with the numbers of tokens that its last line has."""
    counts = [usage[key] for key in _INPUT_TOKENS if isinstance(usage.get(key), int)]
    return message._replace(
        input_tokens=sum(counts) if counts else None, output_tokens=usage.get("output_tokens")
    )


def _role(line: JsonObject) -> str:
    if line.get("type") == "assistant":
        return "assistant"
    if line.get("isCompactSummary") is True:
        return "summary"
    return "program" if opening(line).startswith(PROGRAM_TEXTS) else "user"


def _pieces(group: Sequence[Line]) -> Iterator[Piece]:
    """Yield the pieces of the lines; a block that is written twice only once."""
    written: set[str] = set()
    for line in group:
        if file := _file(line.fields):
            yield file
        content = as_object(line.fields.get("message")).get("content")
        for part in content if isinstance(content, list) else [content]:
            text = json.dumps(part, sort_keys=True)
            if text not in written:
                written.add(text)
                yield from read_content(part)


def _file(line: JsonObject) -> Attachment | None:
    """Return the file that a line attaches to the question before it."""
    part = as_object(line.get("attachment"))
    if part.get("type") != "file":
        return None
    inner = as_object(as_object(part.get("content")).get("file"))
    name = first_text(part.get("displayPath"), part.get("filename"), inner.get("filePath"))
    text = first_text(inner.get("content"), part.get("content"))
    return Attachment("file", name, first_text(part.get("filename"), inner.get("filePath")), text)


def _rest(group: Sequence[Line], common: JsonObject) -> JsonObject:
    """Return the other fields of the lines, where they differ from the chat's."""
    rest: JsonObject = {}
    for line in group:
        rest |= {
            key: field
            for key, field in without(line.fields, *_LINE_FIELDS).items()
            if common.get(key) != field or key in ("toolUseResult", "requestId")
        }
        if about := without(
            as_object(line.fields.get("message")), "role", "content", "model", "type"
        ):
            rest["api"] = about
    copy = rest.pop("toolUseResult", None)  # of the result, which is in the message
    if copy is not None and len(to_text(copy)) <= _MAX_COPY_CHARS:
        rest["toolUseResult"] = copy
    return rest


FORMAT: Final = Format(
    "claude-code",
    "Claude Code's logs",
    fits,
    read,
    known=("toolUseResult", "api", "data", "lastPrompt"),
    joins=joins,
)
