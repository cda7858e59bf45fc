"""The conversion of a source's chat, with its branches, into a chat to store."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.assembly import Assembly, assemble
from faceplate.importers.chats import Chat, Place, Refusal, derive_title, shorten
from faceplate.importers.fitting import clean_text, digest, fit
from faceplate.importers.trees import Node, Tree
from faceplate.importers.turns import Step, Turn, to_time

_MAX_TITLE_CHARS: Final = 255
_MAX_KEY_CHARS: Final = 2_000
_ID_KEYS: Final = ("id", "conversation_id")


class Header(NamedTuple):
    """The fields of a source's chat, without its messages."""

    place: Place
    format: str
    id: str
    """If it is empty, the chat gets the id of its first message."""
    title: object
    created: object
    source: JsonObject
    """The other fields, without the ones that have a column."""


class TurnTree(NamedTuple):
    """The turns of a chat by their ids, as a tree."""

    turns: Mapping[str, Turn]
    nodes: Mapping[str, Node]
    current: object
    """The id of the last message that is visible."""


def make_tree_chat(header: Header, turn_tree: TurnTree) -> Iterator[Chat | Refusal]:
    """Yield a chat with all its branches, then a Refusal for each message that lost a part.

    Its path ends where the source's visible thread does.
    """
    turns = turn_tree.turns
    tree = Tree(turn_tree.nodes, lambda node: node in turns and turns[node].is_shown)
    nodes = list(tree.depth_first())
    places: dict[str | None, int] = {node: index for index, node in enumerate(nodes)}
    steps = [Step(turns.get(node), places.get(tree.parents[node])) for node in nodes]
    opening = next((node for node in nodes if node in turns and turns[node].is_shown), None)
    fallback = digest(header.source) if opening is None else f"message:{opening}"
    assembly = assemble(steps, to_time(header.created))
    assembly.hidden.extend(t.original or {} for id_, t in turns.items() if id_ not in tree.kept)
    visible = tree.find_visible(turn_tree.current)
    head = None if visible is None else assembly.ends[places[visible]]
    yield _make_chat(header._replace(id=header.id or fallback), assembly, head)
    yield from _explain(header.place, assembly)


def make_chat(header: Header, turns: Sequence[Turn]) -> Iterator[Chat | Refusal]:
    """Yield a chat without branches, and its refusals as `make_tree_chat` does."""
    steps = [Step(turn, index - 1 if index else None) for index, turn in enumerate(turns)]
    assembly = assemble(steps, to_time(header.created))
    yield _make_chat(header, assembly, None)
    yield from _explain(header.place, assembly)


def _make_chat(header: Header, assembly: Assembly, head: int | None) -> Chat:
    given = clean_text(header.title)[0].strip() if isinstance(header.title, str) else ""
    key = clean_text(header.id)[0]
    key = key if len(key) <= _MAX_KEY_CHARS else digest(key)
    known = [(name, key) for name in _ID_KEYS] + [("title", header.title)]
    source = {name: value for name, value in header.source.items() if (name, value) not in known}
    about = {
        "title": given if len(given) > _MAX_TITLE_CHARS else None,
        "hidden": assembly.hidden,
        "source": source,
    }
    metadata, left_out_chars = fit({name: value for name, value in about.items() if value})
    if left_out_chars:
        assembly.problems.insert(0, (0, f"{left_out_chars:,} characters of metadata left out"))
    has_branches = any(parent is not None for parent in assembly.parents)
    times = [message.created_at for message in assembly.messages if message.created_at]
    return Chat(
        place=header.place,
        source=header.format,
        key=key,
        title=shorten(given or derive_title(assembly.messages), _MAX_TITLE_CHARS),
        messages=assembly.messages,
        metadata=metadata,
        created_at=to_time(header.created) or min(times, default=None),
        names=assembly.names,
        parents=assembly.parents if has_branches else None,
        head=head if head != len(assembly.messages) else None,
    )


def _explain(place: Place, assembly: Assembly) -> Iterator[Refusal]:
    for number, problem in assembly.problems:
        which = f"message {number}: " if number else ""
        yield Refusal(place, f"imported, but {which}{problem}")
