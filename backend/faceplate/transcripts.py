"""Conversations read from their first message to their last, however long they are.

::

    async for message in transcripts.read(db, user_id, conversation_id):
        await response.write(...)
"""

from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.services import messages

PAGE: Final = 100


async def read(
    db: Database, user_id: UUID, conversation_id: UUID, *, after: int = 0
) -> AsyncGenerator[records.Message, None]:
    """Yield every message after the position ``after``, in order, holding a page of 100.

    Each page is a transaction of its own, retried as `Database.run` retries. Between two messages
    no transaction is open and no connection is held, so the caller may wait for a client, a model
    or a pager. What is appended meanwhile is read as well; what is removed is not read any more.

    Raises NotFound where there is no such conversation or it has been deleted meanwhile,
    InvalidInput, and whatever `Database.run` raises.
    """
    while page := await db.run(user_id, messages.after, conversation_id, after, limit=PAGE):
        for message in page:
            yield message
        after = page[-1].position
