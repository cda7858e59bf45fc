"""The alternatives at the place of a message: what else follows the message before it."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from faceplate import records
from faceplate.errors import NotFound
from faceplate.scope import Scope
from faceplate.services import _branch_statements as sql
from faceplate.services import conversations
from faceplate.services._branch_statements import Branching
from faceplate.services._paths import Ranges


async def at(scope: Scope, conversation_id: UUID, position: int) -> list[records.Branch]:
    """Return the alternatives at a message's place, the message itself among them."""
    alternatives = await _read(scope, conversation_id)
    group = alternatives.beside(position) or [position]
    found = await _described(scope, conversation_id, alternatives, [group])
    if position not in found:
        raise NotFound(records.Message)
    return found[position]


async def at_each(
    scope: Scope, conversation_id: UUID, positions: Iterable[int]
) -> dict[int, list[records.Branch]]:
    """Return the alternatives at the places of messages, by position, where there are any."""
    alternatives = await _read(scope, conversation_id)
    asked = {position: alternatives.beside(position) for position in positions}
    groups = {group[0]: group for group in asked.values() if group}
    found = await _described(scope, conversation_id, alternatives, list(groups.values()))
    return {position: found[position] for position in asked if position in found}


class _Alternatives:
    """The alternatives in a conversation, and the newest message below each."""

    def __init__(self, branches: Sequence[Branching], head: int | None) -> None:
        given = [branch for branch in branches if branch.parent is not None]
        self._ranges = Ranges(
            [branch.first for branch in given], [branch.parent or 0 for branch in given]
        )
        end = head or max((branch.last for branch in branches), default=0)
        self._path = self._ranges.path(end)
        self._own_last = {self._ranges.first_of(branch.first): branch.last for branch in branches}
        # The newest message of each range and of what hangs on it, and what hangs on the range.
        self._leaves = dict(self._own_last)
        self._hanging: dict[int, list[Branching]] = {}
        for branch in reversed(given):
            parent = self._ranges.parent_of(branch.first)
            if parent:
                first = self._ranges.first_of(parent)
                leaf = self._leaves[branch.first]
                self._leaves[first] = max(self._leaves[first], leaf)
                self._hanging.setdefault(first, []).append(branch._replace(last=leaf))
        self._groups: dict[int, list[int]] = {}
        for group in _by_parent(branches).values():
            if len(group) > 1:
                self._groups |= dict.fromkeys(group, sorted(group))

    def beside(self, position: int) -> list[int]:
        """Return the alternatives at a message's place, in order; none if there is only one."""
        return self._groups.get(position, [])

    def leaf(self, position: int) -> int:
        """Return the newest message that hangs on the one at ``position``, or is it."""
        first = self._ranges.first_of(position)
        if position == first:
            return self._leaves[first]
        hanging = self._hanging.get(first, ())
        later = (branch.last for branch in hanging if (branch.parent or 0) >= position)
        return max(self._own_last[first], *later, 0)

    def is_on_path(self, position: int) -> bool:
        return any(position in range_ for range_ in self._path)


def _by_parent(branches: Sequence[Branching]) -> dict[int, set[int]]:
    """Return the alternatives by what they follow: 0 for nothing."""
    found: dict[int, set[int]] = {}
    for branch in branches:
        follows_none = branch.parent is None or branch.parent == branch.first
        group = found.setdefault(0 if follows_none else branch.parent or 0, set())
        group.add(branch.first)
        if not follows_none and branch.beside is not None:
            group.add(branch.beside)
    return found


async def _read(scope: Scope, conversation_id: UUID) -> _Alternatives:
    conversation = await conversations.get(scope, conversation_id)
    branches = await scope.all(sql.BRANCHES, conversation_id=conversation_id)
    return _Alternatives(branches, conversation.head)


async def _described(
    scope: Scope,
    conversation_id: UUID,
    alternatives: _Alternatives,
    groups: Sequence[Sequence[int]],
) -> dict[int, list[records.Branch]]:
    """Return each group of alternatives by the positions in it; one that is gone is left out."""
    positions = [position for group in groups for position in group]
    if not positions:
        return {}
    rows = await scope.all(sql.IDS, conversation_id=conversation_id, positions=positions)
    ids = {row.position: row.id for row in rows}
    found: dict[int, list[records.Branch]] = {}
    for group in groups:
        described = [
            records.Branch(
                position,
                ids[position],
                alternatives.leaf(position),
                alternatives.is_on_path(position),
            )
            for position in group
            if position in ids
        ]
        found |= dict.fromkeys((branch.position for branch in described), described)
    return found
