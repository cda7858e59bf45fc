"""The units of a session of the OpenAI Agents SDK: what its methods read, remove and replace."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from faceplate.errors import NotFound
from faceplate.integrations._response_items import (
    item_in_body,
    items_of_bodies,
    items_of_message,
)
from faceplate.integrations._tool_links import append_linked
from faceplate.records import Message, MessageBody
from faceplate.scope import Scope, read_only
from faceplate.services import _body_texts, _path_changes, conversations, messages
from faceplate.services._path_changes import Tree
from faceplate.services._paths import Range
from faceplate.services.messages import MAX_LIMIT, NewMessage


class Snapshot(NamedTuple):
    """The last items of a session, as the SDK's compaction reads them."""

    items: list[Any]
    complete: bool
    """Whether the session has no other items."""
    replace_suffix: Callable[[int, list[Any]], Awaitable[bool]]
    """Replaces the items from an index on, unless they have changed; returns whether it did."""


@read_only
async def bodies(
    scope: Scope, conversation_id: UUID, limit: int | None
) -> tuple[list[str] | None, list[MessageBody]]:
    """Return the bodies as texts, or None and the rows where these have to be read."""
    texts = await _body_texts.read(scope, conversation_id, limit)
    if texts is not None:
        return texts, []
    with suppress(NotFound):
        return None, await messages.bodies(scope, conversation_id, limit=limit)
    return None, []


@read_only
async def whole(scope: Scope, conversation_id: UUID) -> list[Message]:
    try:
        return await messages.everything(scope, conversation_id)
    except NotFound:
        return []


async def pop(scope: Scope, conversation_id: UUID) -> Any:
    try:
        await conversations.lock(scope, conversation_id)
    except NotFound:
        return None
    rows = await messages.history(scope, conversation_id, limit=1)
    if not all(row.body and items_of_bodies([row]) for row in rows):
        # What has no item as its body may be several of them, or none, as a draft is.
        rows = await messages.everything(scope, conversation_id)
    custom: set[str] = set()
    said = [(row, items) for row in rows if (items := items_of_message(row, custom))]
    if not said:
        return None
    row, [*others, last] = said[-1]
    if not others:
        await messages.remove_one(scope, conversation_id, row.id)
        return last
    # The last item is the last call or the last result; no message has both.
    await messages.replace(
        scope,
        conversation_id,
        row.id,
        role=row.role,
        content=row.content,
        tool_calls=(row.tool_calls or [])[:-1] or None,
        tool_results=(row.tool_results or [])[:-1] or None,
        metadata=row.metadata,
    )
    return last


async def clear(scope: Scope, conversation_id: UUID) -> None:
    with suppress(NotFound):
        while await messages.remove_after(scope, conversation_id, 0):
            pass  # what begins anew beside the first message


@read_only
async def tail(scope: Scope, conversation_id: UUID, limit: int) -> list[Message]:
    """Return the last ``limit`` messages of the path, in order."""
    try:
        if limit > MAX_LIMIT:
            return (await messages.everything(scope, conversation_id))[-limit:]
        return await messages.history(scope, conversation_id, limit=limit)
    except NotFound:
        return []


def item_of_each(rows: Sequence[Message]) -> list[Any] | None:
    """Return the item of each message, or None if one is several items or none.

    None is returned as well where a message answers a call that is not among these and has no item
    as its body: only the call says which kind of output that is.
    """
    custom: set[str] = set()
    items: list[Any] = []
    called: set[str] = set()
    for row in rows:
        found = items_of_message(row, custom)
        answered = {result["tool_call_id"] for result in row.tool_results or ()}
        if len(found) != 1 or not (answered <= called or item_in_body(row)):
            return None
        called.update(call["id"] for call in row.tool_calls or ())
        items += found
    return items


async def replace_tail(
    scope: Scope,
    conversation_id: UUID,
    expected: Sequence[Message],
    batch: Sequence[NewMessage],
    is_expired: Callable[[Any], bool] | None,
) -> bool:
    """Replace the last messages of the path, unless they have changed; return whether it did.

    The oldest messages whose items are expired are removed as well. Nothing is removed that another
    branch goes on from.
    """
    try:
        tree = await _path_changes.lock(scope, conversation_id)
    except NotFound:
        return False
    current = await tail(scope, conversation_id, len(expected)) if expected else []
    if not current or list(map(_version, current)) != list(map(_version, expected)):
        return False
    if _are_shared(tree, current[0].position):
        return False
    if is_expired is not None:
        await _prune(scope, tree, conversation_id, current[0].position, is_expired)
    # In this order the path never loses its end, which would put the batch on another branch.
    await append_linked(scope, conversation_id, batch)
    for row in current:
        await messages.remove_one(scope, conversation_id, row.id)
    return True


def _version(row: Message) -> tuple[Any, ...]:
    return row.id, row.body, row.role, row.content, row.tool_calls, row.tool_results


def _are_shared(tree: Tree, first: int) -> bool:
    """Return whether another branch may go on from a message of the path at ``first`` or later."""
    path = [Range(max(begin, first), end) for begin, end in _path(tree) if end >= first]
    *others, (begin, end) = tree.ranges.subtree(first)
    return [*others, Range(begin, min(end, tree.newest))] != path


def _path(tree: Tree) -> list[Range]:
    return tree.ranges.path(tree.end)


async def _prune(
    scope: Scope,
    tree: Tree,
    conversation_id: UUID,
    until: int,
    is_expired: Callable[[Any], bool],
) -> None:
    """Remove the messages at the beginning of the path whose items are expired."""
    while not _are_shared(tree, _path(tree)[0].first):
        rows = await messages.after(scope, conversation_id, 0, limit=MAX_LIMIT)
        for row in rows:
            items = items_of_message(row, set())
            if row.position >= until or len(items) != 1 or not is_expired(items[0]):
                return
            await messages.remove_one(scope, conversation_id, row.id)
