"""The conversion of a source's chat, with its branches, into a chat to store."""

from collections.abc import Collection, Container, Iterator, Sequence
from typing import Any, Final, NamedTuple

from faceplate.importers.assembly import Assembly, Rules, assemble, hide
from faceplate.importers.chats import Chat, Place, Refusal, Unreadable, derive_title, shorten
from faceplate.importers.fields import to_seconds, to_time
from faceplate.importers.fitting import LEFT_OUT, clean_text, digest, fit, leave_out_large
from faceplate.importers.prologue import is_of_prologue, with_prologue
from faceplate.importers.shelf import Shelf, ShelfFile
from faceplate.importers.source import KNOWN_ROLES, SourceChat
from faceplate.importers.trees import Tree
from faceplate.importers.turns import Step, Turn, turns_of
from faceplate.importers.unread import count_asides, find_text

_MAX_TITLE_CHARS: Final = 255
_MAX_KEY_CHARS: Final = 2_000
_MIN_OWN_ID_CHARS: Final = 16  # a shorter id of a message may be a number in its chat


class Origin(NamedTuple):
    """Where a chat was read."""

    place: Place
    format: str
    known: Collection[str]
    """The keys whose text is known to be no part of what was said."""
    value: object
    """What it was read from: it names a chat that has no name."""
    file: ShelfFile
    """Where the messages of its chats are."""


def convert(source: SourceChat, origin: Origin) -> Iterator[Chat | Refusal]:
    """Yield a chat with all its branches, then a Refusal for each message that lost a part.

    Its path ends where the source's visible thread does. Raises Unreadable if the chat has messages
    and none of them has text.
    """
    source = with_prologue(source)
    thread = _thread(source)
    nodes, parents, removed, visible = thread.tree.arrange(thread.current)
    steps = _Steps(thread.turns, nodes, parents)
    begun = to_time(source.created) or thread.oldest
    rules = Rules(begun, source.is_exact, thread.uses_tools, origin.known)
    assembly = assemble(steps, rules, origin.file)
    for turn in (thread.turns[node] for node in removed):
        if turn is not None:
            hide(assembly, turn, origin.known)
    said = (message.content.strip() or message.tool_calls for message in assembly.messages)
    if thread.has_spoken and not any(said):
        count = sum(turn is not None for turn in thread.turns)
        raise Unreadable(f"none of its {count:,} messages has text")
    head = None if visible is None else assembly.ends[visible]
    yield _make_chat(source, _name(source, origin, thread, nodes), origin, assembly, head)
    yield from _explain(origin.place, assembly)


class _Thread:
    """The turns of a chat and its tree, whose nodes are the turns and the places without one."""

    def __init__(self) -> None:
        self.turns = Shelf[Turn | None]()
        self.tree = Tree()
        self.are_named = bytearray()
        """Whether a node has a name of the source, and not a number."""
        self.current: object = None
        self.uses_tools = False
        self.has_calls = False
        self.has_spoken = False
        """Whether there are turns that are not hidden."""
        self.oldest = to_time(None)
        """The time of the oldest turn."""

    def take(self, turn: Turn) -> bool:
        """Take the next turn, and return whether it is shown."""
        self.uses_tools = self.uses_tools or bool(turn.calls) or turn.role == "tool"
        self.has_spoken = self.has_spoken or not turn.is_hidden
        if turn.created_at and (self.oldest is None or turn.created_at < self.oldest):
            self.oldest = turn.created_at
        self.has_calls = self.has_calls or bool(turn.calls)
        may_answer = turn.role == "tool" and self.has_calls  # even without content
        is_shown = turn.is_shown or may_answer
        self.turns.append(turn)
        return is_shown


class _Steps(Sequence[Step]):
    """The steps of a chat, each made when it is read."""

    def __init__(
        self, turns: Shelf[Turn | None], nodes: Sequence[int], parents: Sequence[int]
    ) -> None:
        self._turns = turns
        self._nodes = nodes
        self._parents = parents

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Step]:
        is_in_order = isinstance(self._nodes, range)
        turns = self._turns if is_in_order else (self._turns[node] for node in self._nodes)
        for turn, parent in zip(turns, self._parents, strict=False):
            yield Step(turn, None if parent < 0 else parent)

    def __getitem__(self, index: Any) -> Any:
        parent = self._parents[index]
        return Step(self._turns[self._nodes[index]], None if parent < 0 else parent)


def _thread(source: SourceChat) -> _Thread:
    thread = _Thread()
    tree = thread.tree
    before: str | None = None
    for number, message in enumerate(source.messages, start=1):
        is_name = bool(message.id or source.is_tree) and message.id not in tree
        name = message.id if is_name else _number(number, tree)
        if message.role or message.pieces or message.original:
            turns = turns_of(name, message, is_exact=source.is_exact)
            are_shown = [thread.take(turn) for turn in turns]
        else:
            thread.turns.append(None)
            are_shown = [False]
        thread.are_named.append(is_name and bool(name))
        thread.are_named.extend(bytes(len(are_shown) - 1))
        if source.is_tree:
            moment = to_seconds(message.created)
            tree.add(name, message.parent, are_shown, message.children, moment)
        else:
            tree.add(name, before, are_shown)
        before = name
        if is_of_prologue(name):
            tree.trunk = name
    thread.current = source.current if source.is_tree else before
    return thread


def _number(number: int, taken: Container[str]) -> str:
    name = str(number)
    while name in taken:
        name += "'"
    return name


def _name(source: SourceChat, origin: Origin, thread: _Thread, nodes: Sequence[int]) -> str:
    """Return the name of a chat at its source."""
    if source.id:
        return source.id
    for node in nodes:
        turn = thread.turns[node]
        if turn is not None and turn.is_shown and not is_of_prologue(turn.id):
            return _name_by(turn) if thread.are_named[node] else digest(origin.value)
    return digest(origin.value)


def _name_by(opening: Turn) -> str:
    """Return the name of a chat with this message; other chats may have its id if it is short."""
    is_short = len(opening.id) < _MIN_OWN_ID_CHARS
    said = digest([opening.role, opening.content, str(opening.created_at)]) if is_short else ""
    return f"message:{opening.id} {said}".rstrip()


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
    left_out: list[dict[str, Any]] = []
    about: dict[str, Any] = {
        "title": given if len(given) > _MAX_TITLE_CHARS else None,
        "hidden": assembly.hidden,
        "source": leave_out_large(rest, "source", left_out),
        LEFT_OUT: left_out,
    }
    metadata, _ = fit({name: value for name, value in about.items() if value})
    if left_out_chars := sum(piece["chars"] for piece in metadata.get(LEFT_OUT, ())):
        assembly.problems.insert(0, (0, f"{left_out_chars:,} characters of metadata left out"))
    assembly.asides.update(count_asides(rest, origin.known))
    for field, chars in find_text(source.rest, origin.known):
        problem = f"{field} was not understood, with {chars:,} characters of text"
        assembly.problems.insert(0, (0, problem))
    has_branches = any(parent is not None for parent in assembly.parents)
    times = (message.created_at for message in assembly.messages if message.created_at)
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
