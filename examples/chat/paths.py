"""Units of the example's own: a page of a conversation's path, and following another branch."""

from typing import NamedTuple
from uuid import UUID

from faceplate import Message, Scope
from faceplate.pagination import DEFAULT_LIMIT
from faceplate.services import conversations, messages


class Shown(NamedTuple):
    """What a page shows of a conversation."""

    items: list[Message]
    has_earlier: bool
    alternatives: dict[int, list[int]]
    """The positions at the place of an item, its own among them, by its position."""


async def show(
    scope: Scope, conversation_id: UUID, *, before: int | None = None, limit: int = DEFAULT_LIMIT
) -> Shown:
    """Return the last messages of the path, or the last ones before position ``before``.

    Raises NotFound, InvalidInput.
    """
    if before is None:
        found = await messages.history(scope, conversation_id, limit=limit + 1)
    else:
        found = await messages.before(scope, conversation_id, before, limit=limit + 1)
    items = found[-limit:]
    positions = [message.position for message in items]
    branches = await messages.branches_at(scope, conversation_id, positions)
    alternatives = {at: [branch.position for branch in branches[at]] for at in branches}
    return Shown(items, len(found) > limit, alternatives)


async def follow(scope: Scope, conversation_id: UUID, position: int) -> Shown:
    """Have the path go through the message at ``position`` to the newest one below it.

    Return the end of that path. Raises NotFound, InvalidInput.
    """
    await conversations.lock(scope, conversation_id)  # so that no append makes the leaf an old one
    found = await messages.branches(scope, conversation_id, position)
    (leaf,) = [branch.leaf for branch in found if branch.position == position]
    await conversations.switch(scope, conversation_id, leaf)
    return await show(scope, conversation_id)
