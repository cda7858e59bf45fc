"""The tree of a chat's messages, repaired and in the order of its branches.

Exports keep a chat as a tree: editing a question, or asking for another answer, adds a sibling, and
the user sees the path to one leaf. A tree may be broken: a parent may be missing, a node may be its
own ancestor, the visible leaf may not exist. Each node is in the repaired tree nevertheless.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

_LAST: Final = float("inf")


class Node(NamedTuple):
    """A node as its source has it.

    ``children`` may be incomplete, and ``parent`` may not exist.
    """

    parent: str | None
    children: Sequence[str] = ()
    moment: float | None = None
    """When it was written, in seconds; it only orders siblings that nothing else orders."""


class Arrangement(NamedTuple):
    """The messages of a repaired tree in which something is shown."""

    nodes: Sequence[str]
    """Each before its children, and the oldest child's subtree first."""
    parents: Mapping[str, str | None]
    visible: str | None
    """The last node of the visible path, as `Tree.find_visible` finds it."""


def arrange(
    nodes: Mapping[str, Node], is_shown: Callable[[str], bool], current: object
) -> Arrangement:
    """Return the nodes in the order of their branches; most chats have none."""
    names = list(nodes)
    parents = [None, *names]
    if all(node.parent == before for node, before in zip(nodes.values(), parents, strict=False)):
        return _arrange_chain(names, [is_shown(name) for name in names], current)
    tree = Tree(nodes, is_shown)
    return Arrangement(list(tree.depth_first()), tree.parents, tree.find_visible(current))


def _arrange_chain(names: Sequence[str], are_shown: Sequence[bool], current: object) -> Arrangement:
    """Return the same for nodes each of which follows the one before it."""
    count = max((number for number, shown in enumerate(are_shown, start=1) if shown), default=0)
    kept = names[:count]
    parents: dict[str, str | None] = dict(zip(kept, [None, *kept], strict=False))
    if not kept:
        return Arrangement(kept, parents, None)
    end = names.index(current) + 1 if isinstance(current, str) and current in names else 0
    visible = kept[:end][-1] if any(are_shown[:end]) else kept[-1]
    return Arrangement(kept, parents, visible)


class Tree:
    """The repaired tree: each node has one parent or none, and there is no cycle.

    A subtree in which no node ``is_shown`` is removed; ``kept`` has the remaining nodes.
    """

    def __init__(self, nodes: Mapping[str, Node], is_shown: Callable[[str], bool]) -> None:
        self._nodes = nodes
        self._is_shown = is_shown
        self.parents = _find_parents(nodes)
        self.kept = self._find_kept(is_shown)
        self._children, self._roots = _find_children(nodes, self.parents, self.kept)

    def depth_first(self) -> Iterator[str]:
        """Yield each kept node before its children, and the oldest child's subtree first."""
        waiting = self._roots[::-1]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(self._children[node]))

    def find_visible(self, current: object) -> str | None:
        """Return the last node of the visible path, or None if no node is shown.

        It is ``current``, or its last ancestor that was kept. If there is neither, or if no node on
        the path is shown, it is the newest leaf.
        """
        if not self.kept:
            return None
        if isinstance(current, str) and current in self._nodes:
            path = [node for node in self._path(current) if node in self.kept]
            if any(map(self._is_shown, path)):
                return path[-1]
        leaves = [node for node in self._nodes if node in self.kept and not self._children[node]]
        moments = [self._nodes[leaf].moment or 0 for leaf in leaves]
        newest = max(range(len(leaves)), key=lambda index: (moments[index], index))
        return leaves[newest]

    def _path(self, node: str) -> list[str]:
        """Return the nodes from the root to ``node``."""
        path = []
        step: str | None = node
        while step is not None:
            path.append(step)
            step = self.parents[step]
        path.reverse()
        return path

    def _find_kept(self, is_shown: Callable[[str], bool]) -> set[str]:
        kept: set[str] = set()
        for node in self._nodes:
            step: str | None = node if is_shown(node) else None
            while step is not None and step not in kept:
                kept.add(step)
                step = self.parents[step]
        return kept


def _find_parents(nodes: Mapping[str, Node]) -> dict[str, str | None]:
    """Return each node's parent: the one it names, or that lists it."""
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
    """Return the root of a node's tree, and shorten the links that lead to it."""
    while tops[node] != node:
        tops[node] = tops[tops[node]]
        node = tops[node]
    return node


def _find_children(
    nodes: Mapping[str, Node], parents: Mapping[str, str | None], kept: Container[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the kept children, oldest first, and the kept roots."""
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
