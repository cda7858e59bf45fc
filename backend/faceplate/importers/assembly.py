"""The conversion of a chat's turns into messages that follow faceplate's rules.

A call or result that has no counterpart is kept as an assistant's text, and its metadata say what
it was. (As a system message, the text of a web page would get the authority of a prompt.) Turns
that the source did not show go into the metadata of the message after them.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text, fit, split_text
from faceplate.importers.missed import count_missed
from faceplate.importers.pairing import Answers, find_answers, is_id_of
from faceplate.importers.shelf import Shelf, ShelfFile
from faceplate.importers.source import Attachment
from faceplate.importers.turns import MAX_TOOL_CHARS, Step, Turn, code_block, name_of, text_of
from faceplate.importers.unread import count_asides, count_text, find_text
from faceplate.services.messages import NewMessage

ATTACHED: Final = '{"attachments": '
"""How the body of a message with attachments begins."""
_SPEAKERS: Final = ("user", "assistant", "system", "developer")


class Assembly(NamedTuple):
    """The messages of a chat, and what is not in them."""

    messages: Shelf[NewMessage]
    names: list[str]
    """A name of each message, which is the same in each export of the chat."""
    parents: list[int | None]
    """The position that each message follows, as in `NewChat`."""
    ends: list[int]
    """The position of the last message up to each step; 0 if there is none."""
    hidden: list[object]
    """The hidden turns after the last message."""
    problems: list[tuple[int, str]]
    """The position of a message, and what was left out or not understood in it."""
    asides: Counter[str]
    """What is kept beside the text, by its kind."""


class Rules(NamedTuple):
    """What the assembly has to know about a chat and its format."""

    created_at: datetime | None
    """The time of messages that have none before them."""
    keeps_open_calls: bool
    """Whether a call at the end of the only path stays a call."""
    uses_tools: bool
    """Whether it has calls or results at all."""
    known: Collection[str]
    """The keys whose text is known to be no part of what was said."""


def assemble(steps: Sequence[Step], rules: Rules, file: ShelfFile) -> Assembly:
    """Return the messages of a chat, whose steps are in depth-first order; they are in ``file``.

    Each child follows its parent, and no subtree is without a shown turn: so what is hidden belongs
    to the next message.
    """
    answers = Answers({}, {})
    if rules.uses_tools:
        answers = find_answers(steps, keeps_open_calls=rules.keeps_open_calls)
    result = Assembly(Shelf(file=file), [], [], [], [], [], Counter())
    times: list[datetime | None] = []
    for index, (turn, parent) in enumerate(steps):
        end, time = (
            (0, rules.created_at) if parent is None else (result.ends[parent], times[parent])
        )
        call_id = answers.calls.get(index)
        if turn is not None and call_id is None and not turn.is_shown:
            hide(result, turn, rules.known)
        elif turn is not None:
            time = turn.created_at or time
            places = [(index, place) for place in range(len(turn.calls))] if turn.calls else ()
            kept = [answers.kept.get(place) for place in places]
            messages = _messages(turn, kept, call_id, result.hidden, time)
            result.hidden.clear()
            if messages[0].metadata or messages[0].body or turn.asides:
                _explain(result, turn, messages[0], rules.known)
            for number, message in enumerate(messages, start=1):
                position = len(result.messages) + 1
                result.messages.append(message)
                result.names.append(f"{number}:{turn.id}")
                result.parents.append(None if end == position - 1 else end or position)
                end = position
        result.ends.append(end)
        times.append(time)
    return result


def hide(result: Assembly, turn: Turn, known: Collection[str]) -> None:
    """Keep a turn of which the source shows nothing for the message after it."""
    if turn.original:
        result.hidden.append(turn.original)
        result.asides.update([aside.kind for aside in turn.asides] or ["hidden messages"])
    if not turn.is_hidden:
        _explain_rest(result, turn, known)


def _explain(result: Assembly, turn: Turn, message: NewMessage, known: Collection[str]) -> None:
    """Count what is kept beside the message to be, and say what was not understood in it."""
    position = len(result.messages) + 1
    for aside in turn.asides:
        result.asides[aside.kind] += 1
    if turn.attachments:
        result.asides["attachments"] += len(turn.attachments)
        chars = sum(count_missed(file, known) for file in turn.attachments)
        if chars:
            problem = f"its files were not understood, with {chars:,} characters of text"
            result.problems.append((position, problem))
    if replaced_chars := (message.metadata or {}).get("replaced_chars"):
        result.asides["replaced characters"] += replaced_chars
    for part in turn.unknown:
        chars = count_text(part["part"], known)
        if chars:
            problem = f"part {part['index'] + 1} was not understood, with {chars:,} characters"
            result.problems.append((position, problem))
        else:
            result.asides["unknown parts without text"] += 1
    if turn.rest:
        _explain_rest(result, turn, known)
    if left_out_chars := sum(piece["chars"] for piece in _left_out(message)):
        problem = f"{left_out_chars:,} characters of metadata left out"
        result.problems.append((position, problem))


def _left_out(message: NewMessage) -> list[JsonObject]:
    """Return the records of what is neither in the metadata of a message nor in its body."""
    kept: JsonObject = json.loads(message.body) if message.body else {}
    return [*(message.metadata or {}).get("left_out", ()), *kept.get("left_out", ())]


def _explain_rest(result: Assembly, turn: Turn, known: Collection[str]) -> None:
    """Count the known fields that have text, and say which other ones have some."""
    for key in count_asides(turn.rest, known):
        result.asides[key] += 1
    for key, chars in find_text(turn.rest, known):
        problem = f"{key} was not understood, with {chars:,} characters of text"
        result.problems.append((len(result.messages) + 1, problem))


def _messages(
    turn: Turn,
    kept: Sequence[str | None],
    call_id: str | None,
    hidden: Sequence[object],
    time: datetime | None,
) -> list[NewMessage]:
    """Return the messages of a turn: one, or more if its content is too long.

    ``kept`` has the id of each of its calls, None for a call that stays none.
    """
    calls: list[JsonObject] = []
    lone_calls: list[JsonObject] = []
    for call, id_ in zip(turn.calls, kept, strict=True):
        if id_ is None:
            lone_calls.append(call)
        else:
            calls.append({**call, "id": id_})
    role = "tool" if call_id else turn.role if turn.role in _SPEAKERS else "assistant"
    content = turn.content
    if lone_calls or turn.attachments:
        content = "\n\n".join(_blocks(turn, calls, lone_calls))
    content, replaced_chars = clean_text(content)
    first, *others = split_text(content, MAX_TOOL_CHARS if call_id else MAX_CONTENT_CHARS)
    about = _about(turn, role, lone_calls)
    if turn.call_id and not (call_id and is_id_of(call_id, turn.call_id)):
        about["tool_call_id"] = turn.call_id
    if replaced_chars:
        about["replaced_chars"] = replaced_chars
    if others:
        about["pieces"] = len(others) + 1
    if hidden:
        about["hidden"] = list(hidden)
    message = NewMessage(
        role=role,
        content=first,
        tool_calls=calls or None,
        tool_results=[{"tool_call_id": call_id, "content": first}] if call_id else None,
        metadata=fit(about)[0],
        body=_body(turn.attachments),
        model=turn.model,
        input_tokens=turn.input_tokens,
        output_tokens=turn.output_tokens,
        created_at=time,
    )
    if not others:
        return [message]
    # A call has one result, so the rest of a long result is an assistant's text.
    more = NewMessage("assistant" if call_id else role, model=turn.model, created_at=time)
    about = {"role": turn.role} if turn.role != more.role else {}
    pieces = [
        more._replace(content=text, metadata={**about, "piece": number})
        for number, text in enumerate(others, start=2)
    ]
    return [message, *pieces]


def _about(turn: Turn, role: str, lone_calls: Sequence[JsonObject]) -> JsonObject:
    """Return what the metadata of a message say about its turn."""
    about: JsonObject = {}
    if turn.status:
        about["status"] = turn.status
    if turn.role != role:
        about["role"] = turn.role
    if turn.tool:
        about["tool"] = turn.tool
    if lone_calls:
        named = [{"id": call["id"], "name": name_of(call)} for call in lone_calls]
        about["lone_tool_calls"] = named
    if turn.unknown:
        about["content_parts"] = list(turn.unknown)
    if turn.asides:
        about["asides"] = _by_kind(turn)
    if turn.rest:
        about["source"] = turn.rest
    return about


def _blocks(
    turn: Turn, calls: Sequence[JsonObject], lone_calls: Sequence[JsonObject]
) -> Iterator[str]:
    """Yield the blocks of a content: text, the calls that stay none, and the attachments."""
    is_alone = not (turn.content.strip() or calls or lone_calls)
    if turn.content:
        yield turn.content
    for call in lone_calls:
        yield f"[{name_of(call)}]\n{code_block(text_of(call))}"
    yield from _describe(turn.attachments, is_alone=is_alone)


def _describe(attachments: Sequence[Attachment], *, is_alone: bool) -> Iterator[str]:
    """Yield what a reader sees of attachments: their text, and their names if they are alone."""
    for attachment in attachments:
        title = f"[{attachment.name or attachment.kind}]"
        if attachment.text:
            yield f"{title}\n{code_block(attachment.text)}"
        elif is_alone:
            yield title


def _body(attachments: Sequence[Attachment]) -> str | None:
    """Return the JSON of a message's attachments, or None without any."""
    if not attachments:
        return None
    listed, _ = fit({"attachments": [_listed(attachment) for attachment in attachments]})
    return json.dumps(listed, ensure_ascii=False)


def _listed(attachment: Attachment) -> JsonObject:
    fields: JsonObject = attachment._asdict()
    del fields["text"]  # it is in the content
    return {name: value for name, value in fields.items() if value}


def _by_kind(turn: Turn) -> dict[str, list[Any]]:
    kinds: dict[str, list[Any]] = {}
    for aside in turn.asides:
        kinds.setdefault(aside.kind, []).append(aside.value)
    return kinds
