"""Rows of instruction and preference data sets: a question, and an answer or several.

The columns have many names. Alpaca's are ``instruction``, ``input`` and ``output``; TRL's are
``prompt``, and ``completion`` or ``chosen`` and ``rejected``, each a text or a list of messages.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, first_of, first_text, to_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.llm_logs import is_row
from faceplate.importers.formats.rows import MEDIA, place_media, take_media, with_alternatives
from faceplate.importers.formats.sharegpt import is_turn, read_turns
from faceplate.importers.source import Aside, Message, SourceChat, Text

_SYSTEMS: Final = ("system", "system_prompt")
_CONTEXTS: Final = ("context", "article")
_QUESTIONS: Final = (
    *("instruction", "INSTRUCTION", "prompt", "question", "query", "message_1", "inputs"),
)
_ANSWERS: Final = (
    *("output", "response", "RESPONSE", "completion", "completions", "generation", "answer"),
    *("message_2", "targets"),
)
_CHOICES: Final = (
    ("chosen", "rejected"),
    ("chosen_messages", "rejected_messages"),
    ("conversation_a", "conversation_b"),
)
_MODELS: Final = ("model_a", "model_b")
_OWN: Final = ("instruction", "INSTRUCTION", "message_1")
"""The columns that hardly anything else has."""
_THOUGHTS: Final = ("thinking", "reasoning", "reasoning_content")
_LISTS: Final = ("conversations", "conversation", "messages", "items")
_TRANSCRIPT_ROLES: Final = {"Human": "user", "Assistant": "assistant"}
_TRANSCRIPT_MARKS: Final = tuple(f"\n\n{name}:" for name in _TRANSCRIPT_ROLES)
_MIN_ID_CHARS: Final = 8  # a shorter one numbers the rows of its data set


def fits(value: JsonObject) -> int:
    """Return 2 for a question and its answer, 3 if their columns have names of their own."""
    if is_row(value):
        return 0
    question, answers = _key(value, _QUESTIONS), _answer_keys(value)
    listed = any(isinstance(value.get(key), list) for key in _LISTS)
    if len(answers) > 1:
        return 0 if listed and not isinstance(value[answers[0]], list) else 3
    if listed:
        return 0
    if question is None:
        is_plain = isinstance(value.get("input"), str) and isinstance(value.get("output"), str)
        return int(is_plain)
    return 0 if not answers else 3 if question in _OWN else 2


def _key(value: JsonObject, keys: Sequence[str]) -> str | None:
    """Return the first of the keys that has a text or messages; empty text is the last."""
    said = [key for key in keys if _is_said(value.get(key))]
    return next((key for key in said if value[key] != ""), next(iter(said), None))


def _is_said(value: object) -> bool:
    if isinstance(value, list):
        are_texts = all(isinstance(each, str) for each in value)
        return bool(value) and (are_texts or all(map(is_turn, value)))
    return isinstance(value, str) or is_turn(value)


def _answer_keys(value: JsonObject) -> list[str]:
    """Return the column of the answer, or those of the answers to choose from."""
    for choices in _CHOICES:
        if all(_is_said(value.get(key)) for key in choices):
            return [*choices]
    key = _key(value, _ANSWERS)
    return [key] if key else []


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a row."""
    columns = dict(value)
    choices = _answer_keys(value)
    if not choices:
        raise Unreadable("a row needs a question and an answer")
    asked = [*_take_system(columns), *_history(columns.pop("history", None))]
    asked = place_media([*asked, *_take_question(columns)], take_media(value))
    thoughts = [Aside("reasoning", columns.pop(key)) for key in _THOUGHTS if columns.get(key)]
    replies = [list(_reply(columns.pop(key), thoughts)) for key in choices]
    if len(choices) > 1:
        replies = [
            [message._replace(model=columns.get(model)) for message in reply]
            for reply, model in zip(replies, _MODELS, strict=True)
        ]
    if columns.get("messages") == value[choices[0]]:
        del columns["messages"]
    chat = with_alternatives(asked, replies)
    yield chat._replace(
        id=_read_id(value) or digest(value),
        title=columns.pop("title", None),
        created=first_of(columns, "created_at", "tstamp"),
        rest=without(columns, *MEDIA, "created_at", "tstamp"),
    )


def _take_system(columns: JsonObject) -> Iterator[Message]:
    for key in _SYSTEMS:
        if first_text(columns.get(key)).strip():
            yield Message("system", [Text(columns.pop(key))])


def _take_question(columns: JsonObject) -> Iterator[Message]:
    key = _key(columns, _QUESTIONS)
    if key and not isinstance(columns[key], str):
        listed = columns.pop(key)
        yield from read_turns(listed if isinstance(listed, list) else [listed])
        return
    used = [each for each in (*_CONTEXTS, key, "input") if each and first_text(columns.get(each))]
    if used:
        yield Message("user", [Text("\n".join(columns.pop(each) for each in used))])


def _history(history: object) -> Iterator[Message]:
    """Yield the messages of the rounds before, which are pairs or turns."""
    for each in as_list(history):
        if isinstance(each, list):
            yield from read_turns(
                [text if isinstance(text, str) else to_text(text) for text in each]
            )
        else:
            yield from read_turns([each])


def _reply(value: object, thoughts: Sequence[Aside]) -> Iterator[Message]:
    """Yield the messages of an answer; steps of a solution are one."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        yield Message("assistant", [*thoughts, *map(Text, value)])
    elif isinstance(value, str) and value.startswith(_TRANSCRIPT_MARKS):
        yield from _transcript(value)
    elif isinstance(value, str):
        yield Message("assistant", [*thoughts, Text(value)])
    else:
        yield from read_turns(value if isinstance(value, list) else [value])


def _transcript(text: str) -> Iterator[Message]:
    """Yield the messages of a text in which they follow their speakers' names."""
    role, said = "", ""
    for paragraph in text.removeprefix("\n\n").split("\n\n"):
        speaker, colon, after = paragraph.partition(":")
        if colon and speaker in _TRANSCRIPT_ROLES:
            if role:
                yield Message(role, [Text(said.strip())])
            role, said = _TRANSCRIPT_ROLES[speaker], after
        else:
            said += f"\n\n{paragraph}"
    yield Message(role, [Text(said.strip())])


def _read_id(value: JsonObject) -> str:
    id_ = first_text(*(value.get(key) for key in ("id", "prompt_id", "question_id")))
    return id_ if len(id_) >= _MIN_ID_CHARS else ""


FORMAT: Final = Format(
    "instructions",
    "rows of questions and answers",
    fits,
    read,
    known=("text",),
)
