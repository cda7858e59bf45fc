"""How a message is appended and the history that ends with it is read, in one statement.

One statement is enough where one is enough for the append. It does nothing if another append or a
removal came between: then the unit is run again, in a transaction.
"""

from uuid import UUID

from faceplate import records
from faceplate.column_types import Count
from faceplate.scope import Scope
from faceplate.services import _appending, _path_reading
from faceplate.services import append_statements as sql
from faceplate.services._new_messages import NewMessage, check_shape
from faceplate.services.conversations import NewConversation

_ASKING = {sql.APPEND: sql.ASK, sql.APPEND_ALONE: sql.ASK_ALONE}
"""The statement that asks, by the one that appends the same."""


async def ask_one(
    scope: Scope,
    conversation_id: UUID,
    message: NewMessage,
    *,
    after: int | None,
    branch: bool,
    opens: NewConversation | None,
    limit: int,
) -> list[records.Message]:
    """Append a message, which has an id.

    Return the last ``limit`` messages of the path that ends with it, in no order.
    """
    check_shape(message)
    _appending.check_opens(scope, conversation_id, opens)
    if scope.is_on_citus:  # what reads beside a statement that writes would see its result there
        may_commit = scope.begin_with_next()
        stored = await _appending.append_one(
            scope, conversation_id, message, after=after, branch=branch, opens=opens
        )
        if may_commit:
            scope.commit_with_next()
        return await _path_reading.up_to(scope, conversation_id, stored.position, limit)
    if not (message.uses_tools or branch):
        rows = await _ask_at_end(scope, conversation_id, message, after, limit)
        if rows:
            return rows
    [stored] = await _appending.append_placed(
        scope, conversation_id, [message], after=after, branch=branch, opens=opens
    )
    return await _path_reading.up_to(scope, conversation_id, stored.position, limit)


async def _ask_at_end(
    scope: Scope, conversation_id: UUID, message: NewMessage, after: int | None, limit: int
) -> list[records.Message]:
    """Append a message to the end and return the path, or nothing if nothing was done.

    The second statement runs in a transaction. If the first one had to wait, it has locked the
    conversation there, so the second one sees all of it.
    """
    earlier = limit - 1
    on_path = _appending.values_without_tools(message) | {"after": after, "limit": earlier}
    if _path_reading.has_branched(scope, conversation_id):
        rows = await _appending.insert(scope, sql.ASK_ON_PATH, conversation_id, **on_path)
    else:
        appending, values = _appending.at_end(scope, message, after)
        rows = await _appending.insert(
            scope,
            _ASKING.get(appending, sql.ASK_WHOLE),
            conversation_id,
            limit=earlier,
            upto=Count.MAXIMUM,
            **values,
        )
    if rows:
        return rows
    rows = await _appending.insert(scope, sql.ASK_ON_PATH, conversation_id, **on_path)
    if rows:
        _path_reading.remember(scope, conversation_id)
    return rows
