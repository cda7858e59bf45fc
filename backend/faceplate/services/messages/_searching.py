"""Search what the messages of all conversations say."""

from faceplate import records
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
from faceplate.services import search_statements as sql
from faceplate.services._arguments import check_kind


@read_only
async def search(
    scope: Scope, text: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[records.FoundMessage]:
    """Return up to ``limit`` messages (1 to 200) whose content has ``text``, in any case.

    ``text`` has 1 to 255 characters and is not blank. What tool calls and results say is not
    searched. The messages are of all conversations and branches, in the order of
    `conversations.page`, and of each conversation the newest first. The search reads one
    conversation after the other until it has found enough. ``cursor`` is the ``next_cursor`` of the
    page before, of the same text. A conversation with new activity moves to the first page: a later
    page shows what is left of it only where it has begun to.

    Raises InvalidInput for an invalid text, limit or cursor.
    """
    check_kind("text", text, str)
    listing = f"messages with {text}"
    more = check_limit(limit) + 1
    rows: list[records.FoundMessage] = []
    after_time, after_id = LATEST
    if cursor is not None:
        moment, _, position = unseal(scope, listing, cursor).rpartition(" ")
        after_time, after_id = read_moment(moment)
        begun = {"conversation_id": after_id, "position": int(position)}
        rows = await scope.all(sql.SEARCH_REST, text=text, limit=more, **begun)
    if len(rows) < more:
        after = {"after_time": after_time, "after_id": after_id}
        rows += await scope.all(sql.SEARCH, text=text, limit=more - len(rows), **after)

    def key(row: records.FoundMessage) -> str:
        of_page_before = row.conversation_id == after_id
        moment = after_time if of_page_before else row.conversation_updated_at
        return f"{moment_key(moment, row.conversation_id)} {row.position}"

    return page_of(scope, listing, rows, limit, key)
