"""What stands before the first message of a chat: its system prompts and its files."""

from collections.abc import Collection, Sequence
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

    A prompt that a message repeats is left out. In a tree, every message without a parent follows
    the prologue.
    """
    said = {_text(message) for message in source.messages if message.role in _SYSTEM_ROLES}
    prologue: list[Message] = []
    for message in source.prologue:
        text = _text(message)
        if message.role == "system" and text in said:
            continue
        said.add(text)
        before = prologue[-1].id if prologue else None
        prologue.append(message._replace(id=f"{_ID}{len(prologue) + 1}", parent=before))
    if not prologue:
        return source
    messages = _hang(source.messages, prologue[-1].id) if source.is_tree else source.messages
    return source._replace(messages=[*prologue, *messages], prologue=())


def is_of_prologue(name: str) -> bool:
    """Return whether a message stands before those that the chat has."""
    return name.startswith(_ID)


def _text(message: Message) -> str:
    texts = (piece.text for piece in message.pieces if isinstance(piece, Text))
    return "\n".join(texts).strip()


def _hang(messages: Sequence[Message], end: str) -> list[Message]:
    """Return the messages of a tree, whose roots follow the end of the prologue."""
    ids = {message.id for message in messages}
    listed = {child for message in messages for child in message.children}
    return [
        message if message.parent in ids or message.id in listed else message._replace(parent=end)
        for message in messages
    ]
