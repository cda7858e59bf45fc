"""The tree of a chat's messages, repaired and in the order of its branches.

Exports keep a chat as a tree: editing a question, or asking for another answer, adds a sibling, and
the user sees the path to one leaf. A tree may be broken: a parent may be missing, a node may be its
own ancestor, the visible leaf may not exist. Each node is in the repaired tree nevertheless.

A node is the number at which it was added, and arrays say what is known of all nodes: a chat may
have some hundred thousand.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

_NONE: Final = -1
_NEVER: Final = float("inf")


class Arrangement(NamedTuple):
    """The nodes of a repaired tree, without the subtrees in which nothing is shown."""

    nodes: Sequence[int]
    """Each before its children, and the oldest child's subtree first."""
    parents: Sequence[int]
    """Where in ``nodes`` the parent of each of them is; -1 for none."""
    removed: Sequence[int]
    """The other nodes."""
    visible: int | None
    """Where in ``nodes`` the visible path ends.

    It ends at the current node, or its last ancestor that was kept. If there is neither, or if no
    node on the path is shown, it ends at the newest leaf.
    """


class Tree:
    """The messages of a chat; most are one node, others are several that follow each other."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        """The first node of each message."""
        self._last_nodes: dict[int, int] = {}
        """The last node of each message that has several, by the first one."""
        self._parents = array("i")
        self._waiting: dict[int, str] = {}
        """The parents that were not there when their children were added."""
        self._listed: dict[int, Sequence[str]] = {}
        """The children that a node names, unless the only one has named it as well."""
        self._are_only = bytearray()
        """Whether a node is such an only child."""
        self._are_shown = bytearray()
        self._moments = array("d")
        self._is_chain = True
        self.trunk: str | None = None
        """The message that all later ones without a parent follow."""

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def add(
        self,
        name: str,
        parent: str | None,
        are_shown: Sequence[bool],
        children: Sequence[str] = (),
        moment: float | None = None,
    ) -> None:
        """Add a message with a node for each of ``are_shown``.

        ``parent`` may be added later or never, and ``children`` may be incomplete. The moment only
        orders siblings that nothing else orders.
        """
        first = len(self._parents)
        above = _NONE if parent is None else self._find(parent)
        if above == _NONE and parent is not None:
            self._waiting[first] = parent
        self._numbers[name] = first
        self._is_chain = self._is_chain and above == first - 1
        listed = self._listed.get(above, ())
        is_only = len(listed) == 1 and listed[0] == name
        if is_only:
            del self._listed[above]
        for node, is_shown in enumerate(are_shown, start=first):
            self._parents.append(above)
            self._are_only.append(is_only)
            self._are_shown.append(is_shown)
            self._moments.append(_NEVER if moment is None else moment)
            above = node
        if children:
            self._listed[above] = children
        if above != first:
            self._last_nodes[first] = above

    def _find(self, name: str) -> int:
        """Return the last node of a message, -1 if it was not added."""
        number = self._numbers.get(name, _NONE)
        return self._last_nodes.get(number, number)

    def make_chain(self) -> None:
        """Let each node follow the one before it, whatever the messages name as their parents."""
        self._parents = array("i", range(-1, len(self._parents) - 1))
        self._waiting.clear()
        self._listed.clear()
        self._is_chain = True

    def arrange(self, current: object) -> Arrangement:
        """Return the nodes in the order of their branches; most chats have none."""
        end = self._find(current) if isinstance(current, str) else _NONE
        if self._is_chain:
            return self._arrange_chain(end)
        self._repair()
        kept = self._find_kept()
        roots, children = self._find_children(kept)
        nodes = array("i", children.depth_first(roots))
        places = array("i", [_NONE]) * len(kept)
        for place, node in enumerate(nodes):
            places[node] = place
        above = (self._parents[node] for node in nodes)
        parents = array("i", (places[parent] if parent != _NONE else _NONE for parent in above))
        removed = array("i", (node for node, is_kept in enumerate(kept) if not is_kept))
        visible = places[self._find_visible(end, kept, children)] if nodes else None
        return Arrangement(nodes, parents, removed, visible)

    def _arrange_chain(self, end: int) -> Arrangement:
        """Return the same for nodes each of which follows the one before it."""
        count = self._are_shown.rfind(1) + 1
        is_shown = self._are_shown.find(1, 0, end + 1) >= 0
        last = min(end, count - 1) if is_shown else count - 1
        nodes, removed = range(count), range(count, len(self._parents))
        return Arrangement(nodes, range(-1, count - 1), removed, last if count else None)

    def _repair(self) -> None:
        """Give each node its parent: the one that it names, or else that lists it."""
        parents = self._parents
        for node, name in self._waiting.items():
            parents[node] = self._find(name)
        for node in _break_cycles(parents):
            self._waiting[node] = ""
            self._are_only[node] = False
        tops = array("i")
        for node, names in self._listed.items():
            for child in (self._numbers.get(name, _NONE) for name in names):
                if child == _NONE or parents[child] != _NONE:
                    continue
                tops = tops or array(
                    "i", (n if parent == _NONE else parent for n, parent in enumerate(parents))
                )
                if _find_top(tops, node) != child:
                    parents[child] = tops[child] = node
        if self.trunk is not None:
            end = self._find(self.trunk)
            for node in range(end + 1, len(parents)):
                if parents[node] == _NONE:
                    parents[node] = end

    def _find_kept(self) -> bytearray:
        kept = bytearray(len(self._parents))
        for node, is_shown in enumerate(self._are_shown):
            step = node if is_shown else _NONE
            while step != _NONE and not kept[step]:
                kept[step] = True
                step = self._parents[step]
        return kept

    def _find_children(self, kept: bytearray) -> tuple[list[int], "_Children"]:
        """Return the kept roots, and the kept children of each node, oldest first."""
        children = _Children(len(kept))
        roots: list[int] = []
        for node in range(len(kept) - 1, -1, -1):
            if kept[node] and self._parents[node] == _NONE:
                roots.append(node)
            elif kept[node]:
                children.put_first(self._parents[node], node)
        for node, below in children.forks():
            listed = {name: at for at, name in enumerate(self._listed.get(node, ()))}
            places = {self._numbers.get(name): at for name, at in listed.items()}
            below.sort(key=lambda child: self._age(child, places))
            children.put_all(node, below)
        roots.sort(key=lambda root: (root in self._waiting, root))
        return roots, children

    def _age(self, node: int, places: Mapping[int | None, int]) -> tuple[float, float]:
        """Return where a node is among its siblings, whose ``places`` their parent has named."""
        place = 0 if self._are_only[node] else places.get(node, _NEVER)
        return place, self._moments[node]

    def _find_visible(self, end: int, kept: bytearray, children: "_Children") -> int:
        last, step = _NONE, end
        while step != _NONE:
            if kept[step] and last == _NONE:
                last = step
            if self._are_shown[step]:
                return last
            step = self._parents[step]
        leaves = (node for node, is_kept in enumerate(kept) if is_kept and children.is_leaf(node))
        return max(leaves, key=lambda leaf: (self._moment(leaf), leaf))

    def _moment(self, node: int) -> float:
        moment = self._moments[node]
        return 0 if moment == _NEVER else moment


class _Children:
    """The children of each node: its first one, and for each the one that follows it."""

    def __init__(self, count: int) -> None:
        self._first = array("i", [_NONE]) * count
        self._next = array("i", [_NONE]) * count

    def put_first(self, parent: int, child: int) -> None:
        self._next[child] = self._first[parent]
        self._first[parent] = child

    def put_all(self, parent: int, children: Sequence[int]) -> None:
        self._first[parent] = _NONE
        for child in reversed(children):
            self.put_first(parent, child)

    def is_leaf(self, node: int) -> bool:
        return self._first[node] == _NONE

    def of(self, node: int) -> list[int]:
        found = []
        child = self._first[node]
        while child != _NONE:
            found.append(child)
            child = self._next[child]
        return found

    def forks(self) -> Iterator[tuple[int, list[int]]]:
        """Yield each node that has several children, with these."""
        for node, first in enumerate(self._first):
            if first != _NONE and self._next[first] != _NONE:
                yield node, self.of(node)

    def depth_first(self, roots: Sequence[int]) -> Iterator[int]:
        """Yield each node before its children, and the first child's subtree first."""
        waiting = [*reversed(roots)]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(self.of(node)))


def _break_cycles(parents: "array[int]") -> list[int]:
    """Make the first node of each cycle a root, and return these."""
    broken: list[int] = []
    are_seen = bytearray(len(parents))
    for start in range(len(parents)):
        path: dict[int, None] = {}
        step = start
        while step != _NONE and not are_seen[step]:
            are_seen[step] = True
            path[step] = None
            step = parents[step]
        if step in path:
            nodes = list(path)
            first = min(nodes[nodes.index(step) :])
            parents[first] = _NONE
            broken.append(first)
    return broken


def _find_top(tops: "array[int]", node: int) -> int:
    """Return the root of a node's tree, and shorten the links that lead to it."""
    while tops[node] != node:
        tops[node] = tops[tops[node]]
        node = tops[node]
    return node
