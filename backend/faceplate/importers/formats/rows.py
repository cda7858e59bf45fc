"""What rows of data sets have in common: alternative answers, and media beside the texts."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text, to_text
from faceplate.importers.source import Attachment, Message, SourceChat, Text

MEDIA: Final = {
    "image": "image",
    "images": "image",
    "video": "video",
    "videos": "video",
    "audio": "audio",
    "audios": "audio",
}
"""The keys of media beside a chat, with their kinds, which are the marks in its texts."""


def with_alternatives(
    messages: Sequence[Message], alternatives: Iterable[Sequence[Message]]
) -> SourceChat:
    """Return a chat that goes on in each of several ways, and shows the first.

    An alternative that repeats the messages is the whole chat. Where two begin alike they part at
    their first difference.
    """
    tree: list[Message] = []
    found: dict[tuple[str | None, str], str] = {}
    shown: str | None = None
    opening = [_look(message) for message in messages]
    for alternative in alternatives:
        is_whole = opening == [_look(message) for message in alternative[: len(opening)]]
        parent: str | None = None
        for message in alternative if is_whole else (*messages, *alternative):
            place = parent, _look(message)
            if place not in found:
                found[place] = str(len(tree) + 1)
                tree.append(message._replace(id=found[place], parent=parent))
            parent = found[place]
        shown = shown or parent
    return SourceChat(tree, is_tree=True, current=shown)


def _look(message: Message) -> str:
    return repr((message.role, message.pieces))


def take_media(value: JsonObject) -> list[Attachment]:
    """Return the media that stand beside the texts of a row, in their order."""
    return [
        _medium(kind, each)
        for key, kind in MEDIA.items()
        for each in _flat(value.get(key))
        if each is not None
    ]


def _flat(value: object) -> Iterator[Any]:
    """Yield the media of a key: one, a list, or a list of a video's frames."""
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _medium(kind: str, value: object) -> Attachment:
    fields = as_object(value)
    address = first_text(value, fields.get("path"), fields.get("url"), fields.get("src"))
    is_data = address.startswith("data:")
    name = "" if is_data else address.rstrip("/").rpartition("/")[2]
    reference = f"{address[:60]}… ({len(address):,} characters)" if is_data else address
    return Attachment(kind, name, reference, part=value if fields else None)


def place_media(messages: Sequence[Message], media: Sequence[Attachment]) -> list[Message]:
    """Return the messages with the media at their marks, the others at the user's first message."""
    waiting = {kind: [each for each in media if each.kind == kind] for kind in MEDIA.values()}
    placed = [list(message.pieces) for message in messages]
    for pieces in placed:
        text = "".join(piece.text for piece in pieces if isinstance(piece, Text))
        for kind, listed in waiting.items():
            count = text.count(f"<{kind}>")
            pieces.extend(listed[:count])
            del listed[:count]
    users = (number for number, message in enumerate(messages) if message.role == "user")
    if placed:
        placed[next(users, 0)] += [each for listed in waiting.values() for each in listed]
    return [
        message._replace(pieces=pieces) for message, pieces in zip(messages, placed, strict=True)
    ]


def texts_of(value: object) -> list[str]:
    """Return the texts of a value that is one, or a list of some."""
    return [to_text(each) for each in (as_list(value) or [value]) if each is not None]
