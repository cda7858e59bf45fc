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
from faceplate.services import messages

PAGE: Final = 100


async def read(
    db: Database, user_id: UUID, conversation_id: UUID, *, after: int = 0
) -> AsyncGenerator[records.Message, None]:
    """Yield every message after the position ``after``, in order.

    At most 100 are in memory. Each page is a call of `Database.run`, with its retries. Between two
    messages no transaction is open and no connection is held, so the caller may wait for a client,
    a model or a pager. Messages that are appended meanwhile are read as well; messages that are
    removed are not.

    Raises NotFound if the conversation does not exist or is deleted meanwhile, InvalidInput, and
    the errors of `Database.run`.
    """
    while page := await db.run(user_id, messages.after, conversation_id, after, limit=PAGE):
        for message in page:
            yield message
        after = page[-1].position
