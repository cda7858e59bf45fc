"""The threads of a tree of messages: one for each leaf, under names that stay as the tree grows.

Exports keep a chat as a tree: editing a question or asking for another answer adds a sibling, and
one leaf is what the person sees. Here each thread is named by where it leaves an older one. The
oldest sibling goes on with the thread of its parent, every other one begins a thread of its own,
named by that node. So a thread that grows keeps its name, and so does one that is no longer the
visible one. A tree may be broken in every way: a parent that is missing, a node that is its own
ancestor, a leaf that is not there. Each node is in some thread all the same.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

_LAST: Final = float("inf")


class Node(NamedTuple):
    """A node as its source has it: ``children`` may be incomplete, ``parent`` may be nowhere."""

    parent: str | None
    children: Sequence[str] = ()
    moment: float | None = None
    """When it was written, in seconds: it decides only what nothing else does."""


class Thread(NamedTuple):
    """A path from a root to a leaf."""

    name: str | None
    """None for the oldest thread; else the id of its first node of its own."""
    path: list[str]
    is_visible: bool


class Tree:
    """The nodes with their doubts settled: each has one parent or none, and there is no cycle.

    A subtree in which no node ``speaks`` is cut away; ``kept`` is what remains.
    """

    def __init__(self, nodes: Mapping[str, Node], speaks: Callable[[str], bool]) -> None:
        self._nodes = nodes
        self._speaks = speaks
        self._parents = _find_parents(nodes)
        self.kept = self._find_kept(speaks)
        self._children, self._roots = _find_children(nodes, self._parents, self.kept)

    def threads(self, current: object) -> Iterator[Thread]:
        """Yield the visible thread, then the others; nothing where no node speaks.

        The visible one ends at ``current`` or at its last ancestor that was kept. Where there is
        neither, or nothing on the way to it speaks, it ends at the newest leaf.
        """
        if not self.kept:
            return
        visible = self._find_visible(current)
        for leaf, name in sorted(self._leaves(visible), key=lambda leaf: leaf[0] != visible):
            yield Thread(name, self.path(leaf), leaf == visible)

    def opening(self) -> str | None:
        """The first node of the oldest thread that speaks, or None where none does."""
        if not self.kept:
            return None
        node = self._roots[0]
        while not self._speaks(node):
            node = self._children[node][0]
        return node

    def path(self, node: str) -> list[str]:
        """The nodes from a root to this one."""
        path = []
        step: str | None = node
        while step is not None:
            path.append(step)
            step = self._parents[step]
        path.reverse()
        return path

    def _find_kept(self, speaks: Callable[[str], bool]) -> set[str]:
        kept: set[str] = set()
        for node in self._nodes:
            step: str | None = node if speaks(node) else None
            while step is not None and step not in kept:
                kept.add(step)
                step = self._parents[step]
        return kept

    def _find_visible(self, current: object) -> str:
        if isinstance(current, str) and current in self._nodes:
            path = [node for node in self.path(current) if node in self.kept]
            if any(map(self._speaks, path)):
                return path[-1]
        leaves = [node for node in self._nodes if node in self.kept and not self._children[node]]
        moments = [self._nodes[leaf].moment or 0 for leaf in leaves]
        newest = max(range(len(leaves)), key=lambda index: (moments[index], index))
        return leaves[newest]

    def _leaves(self, visible: str) -> Iterator[tuple[str, str | None]]:
        """The end and the name of each thread."""
        first, *others = self._roots
        starts: list[tuple[str, str | None]] = [(first, None), *((root, root) for root in others)]
        for start, name in starts:  # which grows meanwhile
            node = start
            while node != visible and (below := self._children[node]):
                starts.extend((child, child) for child in below[1:])
                node = below[0]
            if node == visible:
                starts.extend((child, child) for child in self._children[node])
            yield node, name


def _find_parents(nodes: Mapping[str, Node]) -> dict[str, str | None]:
    """The parent of each node: the one it names, else the first one that names it as a child."""
    parents = {id_: node.parent if node.parent in nodes else None for id_, node in nodes.items()}
    _break_cycles(parents)
    tops = {id_: id_ if parent is None else parent for id_, parent in parents.items()}
    for id_, node in nodes.items():
        for child in node.children:
            if child in nodes and parents[child] is None and _find_top(tops, id_) != child:
                parents[child] = tops[child] = id_
    return parents


def _break_cycles(parents: dict[str, str | None]) -> None:
    """Make the first node of each cycle a root."""
    places = {id_: place for place, id_ in enumerate(parents)}
    done: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        step: str | None = start
        while step is not None and step not in done and step not in path:
            path[step] = None
            step = parents[step]
        if step in path:
            ids = list(path)
            parents[min(ids[ids.index(step) :], key=places.__getitem__)] = None
        done.update(path)


def _find_top(tops: dict[str, str], node: str) -> str:
    """The root of a node's tree, by links that grow shorter as they are followed."""
    while tops[node] != node:
        tops[node] = tops[tops[node]]
        node = tops[node]
    return node


def _find_children(
    nodes: Mapping[str, Node], parents: Mapping[str, str | None], kept: Container[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """The kept children of each node, the oldest first, and the kept roots, the true ones first."""
    children: dict[str, list[str]] = {id_: [] for id_ in nodes}
    roots: list[str] = []
    for id_, parent in parents.items():
        if id_ in kept:
            (roots if parent is None else children[parent]).append(id_)
    for id_, below in children.items():
        if len(below) > 1:
            listed = {child: place for place, child in enumerate(nodes[id_].children)}
            ages = {child: (listed.get(child, _LAST), _moment(nodes[child])) for child in below}
            below.sort(key=ages.__getitem__)
    roots.sort(key=lambda root: nodes[root].parent is not None)
    return children, roots


def _moment(node: Node) -> float:
    return _LAST if node.moment is None else node.moment
