"""What stands before the first message of a chat: its system prompts and its files."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.contents import read_content
from faceplate.importers.source import Message, SourceChat, Text

PROMPTS: Final = frozenset(
    (
        *("system", "system_prompt", "systemPrompt", "system_message", "systemMessage"),
        *("system_instruction", "systemInstruction", "systemRole", "system_role", "instructions"),
        *("additional_instructions", "promptPrefix", "preprompt"),
    )
)
"""The names that formats give to a system prompt beside the messages."""
_ID: Final = "\0prologue "
_SYSTEM_ROLES: Final = ("system", "developer")


def take_prompts(
    fields: JsonObject, names: Collection[str] = PROMPTS, *, inside: Collection[str] = ()
) -> list[Message]:
    """Remove the system prompts from the fields of a chat, and return them as messages.

    The objects ``inside`` some of the fields may have prompts as well.
    """
    prompts: list[Message] = []
    for name in [name for name in fields if name in names]:
        pieces = read_content(fields[name])
        if any(isinstance(piece, Text) and piece.text.strip() for piece in pieces):
            del fields[name]
            prompts.append(Message("system", pieces))
    for key in inside:
        if isinstance(fields.get(key), dict):
            fields[key] = dict(fields[key])
            prompts += take_prompts(fields[key], names)
    return prompts


def with_prologue(source: SourceChat) -> SourceChat:
    """Return a chat with its prologue before its messages.

    A prompt that a message at the begin repeats is left out. In a tree, every message without a
    parent follows the prologue.
    """
    if not source.prologue:
        return source
    messages = iter(source.messages)
    begin = list(_take_begin(messages))
    said = {_text(message) for message in begin if message.role in _SYSTEM_ROLES}
    prologue: list[Message] = []
    for message in source.prologue:
        text = _text(message)
        if message.role == "system" and text in said:
            continue
        said.add(text)
        before = prologue[-1].id if prologue else None
        prologue.append(message._replace(id=f"{_ID}{len(prologue) + 1}", parent=before))
    others: Iterable[Message] = chain(begin, messages)
    if prologue and source.is_tree:
        end = prologue[-1].id
        others = (m if m.parent is not None else m._replace(parent=end) for m in others)
    return source._replace(messages=chain(prologue, others), prologue=())


def _take_begin(messages: Iterator[Message]) -> Iterator[Message]:
    """Yield the messages up to the first that is no system's."""
    for message in messages:
        yield message
        if message.role and message.role not in _SYSTEM_ROLES:
            return


def is_of_prologue(name: str) -> bool:
    """Return whether a message stands before the messages of the chat."""
    return name.startswith(_ID)


def _text(message: Message) -> str:
    texts = (piece.text for piece in message.pieces if isinstance(piece, Text))
    return "\n".join(texts).strip()
