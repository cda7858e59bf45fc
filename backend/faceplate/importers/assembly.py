"""The conversion of a source's turns into messages that follow faceplate's rules.

A call or result that has no counterpart is kept as an assistant's text, and its metadata say what
it was. (As a system message, the text of a web page would get the authority of a prompt.) Turns
that the source did not show go into the metadata of the message after them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.fitting import MAX_CONTENT_CHARS, clean_text, fit, split_text
from faceplate.importers.pairing import call_at, find_answers
from faceplate.importers.turns import MAX_TOOL_CHARS, Step, Turn, code_block, name_of, text_of
from faceplate.services.messages import NewMessage

_SPEAKERS: Final = ("user", "assistant", "system", "developer")


class Assembly(NamedTuple):
    """The messages of a chat, and what is not in them."""

    messages: list[NewMessage]
    names: list[str]
    """A name of each message, which is the same in each export of the chat."""
    parents: list[int | None]
    """The position that each message follows, as in `NewChat`."""
    ends: list[int]
    """The position of the last message up to each step; 0 if there is none."""
    hidden: list[JsonObject]
    """The hidden turns after the last message."""
    problems: list[tuple[int, str]]
    """The position of a message, and what was left out of it."""


def assemble(steps: Sequence[Step], created_at: datetime | None) -> Assembly:
    """Return the messages of a chat, whose steps are in depth-first order.

    Each child follows its parent, and no subtree is without a shown turn: so what is hidden belongs
    to the next message. ``created_at`` is the time of messages that have none before them.
    """
    answers = find_answers(steps)
    answered = set(answers.values())
    result = Assembly([], [], [], [], [], [])
    times: list[datetime | None] = []
    for index, (turn, parent) in enumerate(steps):
        end, time = (0, created_at) if parent is None else (result.ends[parent], times[parent])
        answer = answers.get(index)
        if turn is not None and answer is None and not turn.is_shown:
            result.hidden.append(turn.original or {})
        elif turn is not None:
            time = turn.created_at or time
            calls = [(index, place) in answered for place in range(len(turn.calls))]
            call_id = call_at(steps, answer)["id"] if answer else None
            pieces = _messages(turn, calls, call_id, result.hidden)
            for number, (message, left_out_chars) in enumerate(pieces, start=1):
                position = len(result.messages) + 1
                result.messages.append(message._replace(created_at=time))
                result.names.append(f"{number}:{turn.id}")
                result.parents.append(None if end == position - 1 else end or position)
                end = position
                if left_out_chars:
                    problem = f"{left_out_chars:,} characters of metadata left out"
                    result.problems.append((position, problem))
            result.hidden.clear()
        result.ends.append(end)
        times.append(time)
    return result


def _messages(
    turn: Turn, answered: Sequence[bool], call_id: str | None, hidden: Sequence[JsonObject]
) -> list[tuple[NewMessage, int]]:
    """Return the messages of a turn, and the characters left out of each."""
    calls = [call for call, is_answered in zip(turn.calls, answered, strict=True) if is_answered]
    lone_calls = [c for c, is_answered in zip(turn.calls, answered, strict=True) if not is_answered]
    role = "tool" if call_id else turn.role if turn.role in _SPEAKERS else "assistant"
    blocks = [turn.content] if turn.content else []
    blocks += [code_block(text_of(call)) for call in lone_calls]
    content, replaced_chars = clean_text("\n\n".join(blocks))
    first, *others = split_text(content, MAX_TOOL_CHARS if call_id else MAX_CONTENT_CHARS)
    about = {
        "status": turn.status,
        "role": None if role == turn.role else turn.role,
        "tool": turn.tool,
        "lone_tool_calls": [{"id": call["id"], "name": name_of(call)} for call in lone_calls],
        "replaced_chars": replaced_chars,
        "pieces": len(others) + 1 if others else None,
        "content_parts": turn.parts,
        "hidden": list(hidden),
        "source": turn.source,
    }
    metadata, left_out_chars = fit({key: value for key, value in about.items() if value})
    message = NewMessage(
        role=role,
        content=first,
        tool_calls=calls or None,
        tool_results=[{"tool_call_id": call_id, "content": first}] if call_id else None,
        metadata=metadata,
        model=turn.model,
    )
    # A call has one result, so the rest of a long result is an assistant's text.
    more = NewMessage("assistant" if call_id else role, model=turn.model)
    about = {"role": turn.role} if turn.role != more.role else {}
    pieces = [
        more._replace(content=text, metadata={**about, "piece": number})
        for number, text in enumerate(others, start=2)
    ]
    return [(message, left_out_chars), *((piece, 0) for piece in pieces)]
