"""Streamed replies, saved while they arrive, with a status at the end.

::

    async with drafts.open(db, user_id, conversation_id) as draft:
        async for chunk in model:
            await draft.write(chunk)
            yield chunk
    message = draft.message

With `Draft.keep` the text is saved before it is shown. A reload then shows at least what the reader
has seen, even if the process is killed::

    async with drafts.open(db, user_id, conversation_id, save_every_s=0.1) as draft:
        async for text in draft.keep(model):
            yield text

Entering appends an empty assistant message with the status streaming. While the model writes, no
transaction is open and no connection is held. The message ends as

- complete, if the block ends without an error;
- interrupted, with the text so far, if the block is cancelled or its generator is closed, as web
  frameworks do when the client disconnects, or if the text gets too long for a message;
- failed, with the text so far, if the block raises any other error.

Closing the `Database` waits for drafts as it does for units. A draft that does not end in time ends
as interrupted, and the next write to it raises ShuttingDown.

The drafts of a killed process stay streaming until `faceplate sweep` closes them.
"""

from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.drafts._draft import HEARTBEAT_S, SAVE_EVERY_S, Draft
from faceplate.errors import InvalidInput

__all__ = ["SAVE_EVERY_S", "Draft", "open"]


def open(  # noqa: A001 - `drafts.open` reads as what it does
    db: Database,
    user_id: UUID,
    conversation_id: UUID,
    *,
    metadata: JsonObject | None = None,
    model: str | None = None,
    after: int | None = None,
    branch: bool = False,
    save_every_s: float = SAVE_EVERY_S,
) -> "Draft":
    """Return a draft. Enter it with ``async with``, which appends its message.

    ``after`` is the position of the message that the reply answers. If the path does not end there,
    entering raises Conflict, or with ``branch`` begins a branch there. ``model`` is the model's
    name.

    New text is saved at most every ``save_every_s`` (up to 30) seconds, in a task beside the
    stream: a slow or lost database does not delay the stream. The last save is shielded from
    cancellation and stays within the time limits of `Database.run`.

    Entering raises the errors of `faceplate.services.messages.append_draft`. If the block raised
    nothing, leaving it raises the error of a failed save: NotFound if the message was removed
    meanwhile, Conflict if a sweep has closed it. If the block raised an error, that error is
    raised, and a failed save is logged. A draft that is cancelled while it ends as complete raises
    a CancelledError for which `was_committed` is true.
    """
    if not 0 < save_every_s <= HEARTBEAT_S:
        raise InvalidInput("save_every_s", f"must be more than 0 and at most {HEARTBEAT_S:g}")
    return Draft(
        db,
        user_id,
        conversation_id,
        metadata=metadata,
        model=model,
        after=after,
        branch=branch,
        save_every_s=save_every_s,
    )
