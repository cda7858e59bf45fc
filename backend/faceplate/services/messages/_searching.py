"""Search what the messages of all conversations say."""

from faceplate import records
from faceplate.column_types import Count
from faceplate.pagination import (
    DEFAULT_LIMIT,
    LATEST,
    Page,
    check_limit,
    moment_key,
    page_of,
    read_moment,
    unseal,
)
from faceplate.scope import Scope, read_only
from faceplate.services import message_statements as sql
from faceplate.services._arguments import check_kind


@read_only
async def search(
    scope: Scope, text: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[records.FoundMessage]:
    """Return up to ``limit`` messages (1 to 200) whose content has ``text``, in any case.

    ``text`` has 1 to 255 characters and is not blank. The messages are of all conversations and
    branches: the conversation with the newest activity comes first, and of each the newest message.
    The search reads the conversations in this order until it has found enough. ``cursor`` is the
    ``next_cursor`` of the page before, of the same text.

    Raises InvalidInput for an invalid text, limit or cursor.
    """
    check_kind("text", text, str)
    listing = f"messages with {text}"
    (after_time, after_id), after_position = LATEST, Count.MAXIMUM
    if cursor is not None:
        moment, _, position = unseal(scope, listing, cursor).rpartition(" ")
        (after_time, after_id), after_position = read_moment(moment), int(position)
    rows = await scope.all(
        sql.SEARCH,
        text=text,
        after_time=after_time,
        after_id=after_id,
        after_position=after_position,
        limit=check_limit(limit) + 1,
    )
    return page_of(scope, listing, rows, limit, _key)


def _key(row: records.FoundMessage) -> str:
    return f"{moment_key(row.conversation_updated_at, row.conversation_id)} {row.position}"
