"""The conversion of a source's chat into a chat for each of its threads."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Chat, Fork, Place, Refusal, derive_title, shorten
from faceplate.importers.fitting import clean_text, digest, fit
from faceplate.importers.threads import Node, Thread, Tree
from faceplate.importers.turns import Assembly, Turn, assemble, to_moment

_MAX_TITLE_CHARS: Final = 255
_ID_KEYS: Final = ("id", "conversation_id")


class Header(NamedTuple):
    """The fields of a source's chat, without its messages."""

    place: Place
    format: str
    id: str
    """If it is empty, the chat gets the id of its first message."""
    title: object
    created: object
    updated: object
    source: JsonObject
    """The other fields, without the ones that the metadata hold."""


class TurnTree(NamedTuple):
    """The turns of a chat by their ids, as a tree."""

    turns: Mapping[str, Turn]
    nodes: Mapping[str, Node]
    current: object
    """The id of the last message that is visible."""


def make_chats(header: Header, turn_tree: TurnTree) -> Iterator[Chat | Refusal]:
    """Yield the visible thread as a chat, then each other branch.

    A branch is a chat with all its messages. Each chat is followed by a Refusal for each of its
    messages that lost a part.
    """
    turns = turn_tree.turns
    tree = Tree(turn_tree.nodes, lambda node: node in turns and turns[node].is_shown)
    opening = tree.opening()
    fallback = digest(header.source) if opening is None else f"message:{opening}"
    header = header._replace(id=header.id or fallback)
    threads = tree.threads(turn_tree.current)
    visible = next(threads, Thread(None, [], is_visible=True))
    assembly = assemble(turns[id_] for id_ in visible.path if id_ in turns)
    assembly.hidden.extend(t.original or {} for id_, t in turns.items() if id_ not in tree.kept)
    chat_id = _chat_id(header, visible)
    yield _make_chat(header, chat_id, assembly)
    yield from _explain(header.place, assembly)

    seen = set(visible.path)
    for number, thread in enumerate(threads, start=2):
        assembly = assemble(turns[id_] for id_ in thread.path if id_ in turns)
        shared = sum(id_ in seen for id_ in assembly.turn_ids)
        fork = Fork(chat_id, shared, clean_text(assembly.turn_ids[shared])[0])
        yield _make_chat(header, _chat_id(header, thread), assembly, fork, number)
        yield from _explain(header.place, assembly, after=shared)


def make_chat(header: Header, turns: list[Turn]) -> Iterator[Chat | Refusal]:
    """Yield a chat without branches, and its refusals as `make_chats` does."""
    assembly = assemble(turns)
    yield _make_chat(header, clean_text(header.id)[0], assembly)
    yield from _explain(header.place, assembly)


def _make_chat(
    header: Header, chat_id: str, assembly: Assembly, fork: Fork | None = None, number: int = 1
) -> Chat:
    given = clean_text(header.title)[0].strip() if isinstance(header.title, str) else ""
    known = [(key, header.id) for key in _ID_KEYS] + [("title", header.title)]
    source = {key: value for key, value in header.source.items() if (key, value) not in known}
    title = given or derive_title(assembly.messages)
    suffix = f" (branch {number})" if fork else ""
    about = {
        "format": header.format,
        "id": header.id,
        "created_at": to_moment(header.created),
        "updated_at": to_moment(header.updated),
        "title": given if len(given) > _MAX_TITLE_CHARS else None,
        "hidden": assembly.hidden,
        "source": None if fork else source,
    }
    metadata, left_out_chars = fit({key: value for key, value in about.items() if value})
    if left_out_chars:
        assembly.problems.insert(0, (0, f"{left_out_chars:,} characters of metadata left out"))
    return Chat(
        place=header.place,
        id=chat_id,
        title=shorten(title, _MAX_TITLE_CHARS - len(suffix)) + suffix,
        messages=assembly.messages,
        metadata=metadata,
        fork=fork,
    )


def _explain(place: Place, assembly: Assembly, after: int = 0) -> Iterator[Refusal]:
    for number, problem in assembly.problems:
        if number == 0:
            yield Refusal(place, f"imported, but {problem}")
        elif number > after:
            yield Refusal(place, f"imported, but message {number}: {problem}")


def _chat_id(header: Header, thread: Thread) -> str:
    chat_id = header.id if thread.name is None else f"{header.id}#{thread.name}"
    return clean_text(chat_id)[0]
