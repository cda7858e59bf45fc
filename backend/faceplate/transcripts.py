"""The reading of whole conversations, from the first message to the last.

::

    async for message in transcripts.read(db, user_id, conversation_id):
        await response.write(...)
"""

from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.errors import NotFound
from faceplate.scope import Scope, read_only
from faceplate.services import messages

PAGE: Final = 100


async def read(
    db: Database, user_id: UUID, conversation_id: UUID, *, after: int = 0
) -> AsyncGenerator[records.Message, None]:
    """Yield every message after the position ``after``, in order.

    At most 100 are in memory. Each page is a call of `Database.run`, with its retries. Between two
    messages no transaction is open and no connection is held, so the caller may wait for a client,
    a model or a pager. Messages that are appended meanwhile are read as well; messages that are
    removed are not. If the path is switched meanwhile and no longer has the messages read so far,
    their own branch is read to its end.

    Raises NotFound if the conversation does not exist or is deleted meanwhile, InvalidInput, and
    the errors of `Database.run`.
    """
    page = await db.run(user_id, messages.after, conversation_id, after, limit=PAGE)
    while page:
        for message in page:
            yield message
        page = await db.run(user_id, _following, conversation_id, page[-1].position)


@read_only
async def _following(scope: Scope, conversation_id: UUID, position: int) -> list[records.Message]:
    """Return the next messages after the one at ``position``, of its own branch."""
    page = await messages.after(scope, conversation_id, position, limit=PAGE)
    if page:
        is_next = page[0].parent_position in {None, position}
    else:
        last = await messages.history(scope, conversation_id, limit=1)
        is_next = not last or last[0].position == position
    if is_next:
        return page
    try:
        branches = await messages.branches(scope, conversation_id, position)
    except NotFound:  # it was removed
        return page
    [leaf] = (branch.leaf for branch in branches if branch.position == position)
    return await messages.after(scope, conversation_id, position, limit=PAGE, leaf=leaf)
