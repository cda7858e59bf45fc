"""The conversion of a source's chat, with its branches, into a chat to store."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from faceplate.importers.assembly import Assembly, Rules, assemble, hide
from faceplate.importers.chats import Chat, Place, Refusal, Unreadable, derive_title, shorten
from faceplate.importers.fields import to_seconds, to_time
from faceplate.importers.fitting import clean_text, digest, fit
from faceplate.importers.prologue import is_of_prologue, with_prologue
from faceplate.importers.source import KNOWN_ROLES, Message, SourceChat
from faceplate.importers.trees import Node, arrange
from faceplate.importers.turns import Step, Turn, turns_of
from faceplate.importers.unread import count_asides, find_text

_MAX_TITLE_CHARS: Final = 255
_MAX_KEY_CHARS: Final = 2_000


class Origin(NamedTuple):
    """Where a chat was read."""

    place: Place
    format: str
    known: Collection[str]
    """The keys whose text is known to be no part of what was said."""
    value: object
    """What it was read from: it names a chat that has no name."""


def convert(source: SourceChat, origin: Origin) -> Iterator[Chat | Refusal]:
    """Yield a chat with all its branches, then a Refusal for each message that lost a part.

    Its path ends where the source's visible thread does. Raises Unreadable if the chat has messages
    and none of them has text.
    """
    source = with_prologue(source)
    thread = _thread(source)
    turns = thread.turns
    nodes, parents, visible = arrange(thread.nodes, thread.is_shown, thread.current)
    places: dict[str | None, int] = {node: index for index, node in enumerate(nodes)}
    steps = [Step(turns.get(node), places.get(parents[node])) for node in nodes]
    rules = Rules(to_time(source.created), source.is_exact, origin.known)
    assembly = assemble(steps, rules)
    for name, turn in turns.items():
        if name not in places:
            hide(assembly, turn, origin.known)
    said = (message.content.strip() or message.tool_calls for message in assembly.messages)
    if not any(said) and any(not turn.is_hidden for turn in turns.values()):
        raise Unreadable(f"none of its {len(turns):,} messages has text")
    shown = (node for node in nodes if thread.is_shown(node) and not is_of_prologue(node))
    opening = next(shown, None)
    head = None if visible is None else assembly.ends[places[visible]]
    name = _name(source, origin, opening if opening in thread.named else None)
    yield _make_chat(source, name, origin, assembly, head)
    yield from _explain(origin.place, assembly)


class _Thread(NamedTuple):
    """The turns of a chat by their names, as a tree."""

    turns: Mapping[str, Turn]
    nodes: Mapping[str, Node]
    named: Collection[str]
    """The turns that have a name of the source, and not a number."""
    current: object

    def is_shown(self, name: str) -> bool:
        turn = self.turns.get(name)
        return turn is not None and (turn.is_shown or self._may_answer(name, turn))

    def _may_answer(self, name: str, turn: Turn) -> bool:
        """Return whether a message without content may be the result of a call before it."""
        before = self.turns.get(self.nodes[name].parent or "")
        return (
            turn.role == "tool"
            and before is not None
            and bool(before.calls or before.role == "tool")
        )


def _thread(source: SourceChat) -> _Thread:
    turns: dict[str, Turn] = {}
    nodes: dict[str, Node] = {}
    named: set[str] = set()
    ends: dict[str, str] = {}  # the last turn of each message
    before: str | None = None
    for number, message in enumerate(source.messages, start=1):
        is_name = message.id not in nodes and bool(message.id or source.is_tree)
        name = message.id if is_name else _number(number, nodes)
        if is_name and name:
            named.add(name)
        made = turns_of(name, message, is_exact=source.is_exact) if _holds_message(message) else []
        parent = message.parent if source.is_tree else before
        moment = to_seconds(message.created) if source.is_tree else None
        names = [turn.id for turn in made] or [name]
        for step in names[:-1]:
            nodes[step] = Node(parent, moment=moment)
            parent = step
        nodes[names[-1]] = Node(parent, message.children, moment)
        turns.update(zip(names, made, strict=False))
        ends[name] = before = names[-1]
    if source.is_tree:  # a child follows the last turn of its parent
        for name in ends:
            parent = nodes[name].parent
            if parent is not None and parent != (end := ends.get(parent, parent)):
                nodes[name] = nodes[name]._replace(parent=end)
    current = source.current if source.is_tree else before
    return _Thread(
        turns, nodes, named, ends.get(current, current) if isinstance(current, str) else current
    )


def _holds_message(message: Message) -> bool:
    return bool(message.role or message.pieces or message.original)


def _number(number: int, taken: Collection[str]) -> str:
    name = str(number)
    while name in taken:
        name += "'"
    return name


def _name(source: SourceChat, origin: Origin, opening: str | None) -> str:
    """Return the name of a chat at its source."""
    if source.id:
        return source.id
    return digest(origin.value) if opening is None else f"message:{opening}"


def _make_chat(
    source: SourceChat, name: str, origin: Origin, assembly: Assembly, head: int | None
) -> Chat:
    given, replaced_chars = clean_text(source.title if isinstance(source.title, str) else "")
    given = given.strip()
    if replaced_chars:
        assembly.asides["replaced characters"] += replaced_chars
    key = clean_text(name)[0]
    rest = source.rest or {}
    if len(key) > _MAX_KEY_CHARS:
        key, rest = digest(key), {**rest, "id": name}
    about: dict[str, Any] = {
        "title": given if len(given) > _MAX_TITLE_CHARS else None,
        "hidden": assembly.hidden,
        "source": rest,
    }
    metadata, left_out_chars = fit({name: value for name, value in about.items() if value})
    if left_out_chars:
        assembly.problems.insert(0, (0, f"{left_out_chars:,} characters of metadata left out"))
    assembly.asides.update(count_asides(rest, origin.known))
    for field, chars in find_text(source.rest, origin.known):
        problem = f"{field} was not understood, with {chars:,} characters of text"
        assembly.problems.insert(0, (0, problem))
    has_branches = any(parent is not None for parent in assembly.parents)
    times = [message.created_at for message in assembly.messages if message.created_at]
    return Chat(
        place=origin.place,
        source=origin.format,
        key=key,
        title=shorten(given or derive_title(assembly.messages), _MAX_TITLE_CHARS),
        messages=assembly.messages,
        metadata=metadata,
        created_at=to_time(source.created) or min(times, default=None),
        updated_at=to_time(source.updated),
        names=assembly.names,
        parents=assembly.parents if has_branches else None,
        head=head if head != len(assembly.messages) else None,
        asides=assembly.asides,
    )


def _explain(place: Place, assembly: Assembly) -> Iterator[Refusal]:
    for number, problem in sorted([*assembly.problems, *_other_roles(assembly)], key=_position):
        which = f"message {number}: " if number else ""
        yield Refusal(place, f"imported, but {which}{problem}")


def _position(problem: tuple[int, str]) -> int:
    return problem[0]


def _other_roles(assembly: Assembly) -> Iterator[tuple[int, str]]:
    """Yield the first message of each role that is none of a chat, and how many have the role."""
    places: dict[str, list[int]] = {}
    for number, message in enumerate(assembly.messages, start=1):
        role = (message.metadata or {}).get("role")
        if role is not None and role not in KNOWN_ROLES and message.role == "assistant":
            places.setdefault(role, []).append(number)
    for numbers in places.values():
        more = f", and {len(numbers) - 1:,} more of this role" if len(numbers) > 1 else ""
        yield numbers[0], f"its role was not understood, and is now the assistant's{more}"
