"""The units of drafts, which `faceplate.drafts` calls for a streamed reply."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from faceplate import records
from faceplate.column_types import Count, JsonObject
from faceplate.errors import Conflict, InvalidInput
from faceplate.scope import Scope, SystemScope, one_statement
from faceplate.services import _appending
from faceplate.services import message_statements as sql
from faceplate.services._arguments import check_kind, checked_after
from faceplate.services._new_messages import NewMessage

MAX_SWEPT: Final = 1_000


@one_statement
async def append_draft(
    scope: Scope,
    conversation_id: UUID,
    *,
    metadata: JsonObject | None = None,
    model: str | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
    after: int | None = None,
    branch: bool = False,
) -> records.Message:
    """Append an empty assistant message whose status is streaming, and return it.

    `faceplate.drafts` calls this unit and `save_draft` for a streamed reply. A caller that gives an
    ``id`` may retry the call, as with `append`. ``after`` is the position of the message that the
    reply answers: of two replies to it, only the first is begun, unless the second is to ``branch``
    off there.

    Raises NotFound if the conversation or the message at ``after`` does not exist; Conflict if the
    id exists already, or if the path does not end at ``after``; InvalidInput.
    """
    draft = NewMessage("assistant", metadata=metadata, model=model, id=id)
    draft = draft.completed(id or scope.new_id())
    after = checked_after(after, branch=branch)
    return await _appending.append_one(
        scope,
        conversation_id,
        draft,
        after=after,
        branch=branch,
        opens=None,
        status="streaming",
    )


@one_statement
async def save_draft(
    scope: Scope,
    conversation_id: UUID,
    message_id: UUID,
    *,
    content: str,
    status: str,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> records.Message:
    """Set the ``content`` and the ``status`` of a draft; return the message.

    ``content`` is all of it so far. A draft stays open while its status is streaming; complete,
    interrupted and failed are final. ``content`` has up to 1,000,000 characters. Numbers of tokens
    that are None are left as they are. Saving the same content and status again is no error.

    Raises NotFound if the message does not exist, Conflict if it is no longer a draft,
    InvalidInput.
    """
    key = {"conversation_id": conversation_id, "id": message_id}
    saved = await scope.first(
        sql.SAVE_DRAFT,
        content=content,
        new_status=status,
        new_input_tokens=input_tokens,
        new_output_tokens=output_tokens,
        **key,
    )
    if saved is None:
        saved = await scope.one(sql.GET, **key)
        if (saved.content, saved.status) != (content, status):
            raise Conflict(f"the message is no longer a draft: its status is {saved.status}")
    return saved


async def sweep_drafts(scope: SystemScope, *, older_than: timedelta, limit: int = MAX_SWEPT) -> int:
    """Close up to ``limit`` drafts of dead processes; return how many.

    They become interrupted and keep the text that was saved. ``older_than`` is the time since the
    last save; a live draft is saved every 30 seconds. Run it with ``run_system``.
    """
    check_kind("older_than", older_than, timedelta)
    if older_than < timedelta(0):
        raise InvalidInput("older_than", "must not be negative")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= Count.MAXIMUM:
        raise InvalidInput("limit", "must be a whole number, 1 or more")
    ids = await scope.all(sql.STALE_DRAFTS, older_than=older_than, limit=limit)
    return await scope.execute(sql.CLOSE_DRAFTS, ids=ids, older_than=older_than)
