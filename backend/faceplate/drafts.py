"""A streamed reply that is kept as it arrives: however the stream ends, the message says how.

::

    async with drafts.open(db, user_id, conversation_id) as draft:
        async for chunk in model:
            await draft.write(chunk)
            yield chunk
    message = draft.message

With `Draft.keep` the text is saved before it is shown, so that no reader has seen what a reload
would not show, even if the process is killed::

    async with drafts.open(db, user_id, conversation_id, save_every_s=0.1) as draft:
        async for text in draft.keep(model):
            yield text

Entering appends an empty assistant message with the status streaming. While the model writes, no
transaction is open and no connection is held. The message ends as

- complete, when the block does;
- interrupted, with what had arrived, when the block is cancelled or its generator is closed, as
  web frameworks do when the client disconnects; also where the text got too long for a message;
- failed, with what had arrived, when the block raises anything else.

Closing the `Database` waits for drafts as it does for units. One that is not done in time ends as
interrupted, and what writes to it next gets ShuttingDown.

What a killed process leaves behind stays streaming until `faceplate sweep` closes it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast
from uuid import UUID

from uuid6 import uuid7

from faceplate import records
from faceplate._json import text_problem
from faceplate._runner.calls import Task, part_of_older
from faceplate.column_types import JsonObject, Text
from faceplate.database import Database
from faceplate.errors import (
    CancelledAfterCommit,
    Conflict,
    FaceplateError,
    InvalidInput,
    NotFound,
    ShuttingDown,
    UsageError,
    was_committed,
)
from faceplate.models import Message
from faceplate.services import messages

logger = logging.getLogger("faceplate")

SAVE_EVERY_S = 2.0
HEARTBEAT_S = 30.0
"""A draft is saved this often even when nothing has arrived, so that no sweep takes it for dead."""

CUT_OFF = "the draft has ended as interrupted, since the database is being closed"

_CONTENT = cast("Text", Message.__table__.c.content.type)


def open(  # noqa: A001 - `drafts.open` reads as what it does
    db: Database,
    user_id: UUID,
    conversation_id: UUID,
    *,
    metadata: JsonObject | None = None,
    after: int | None = None,
    save_every_s: float = SAVE_EVERY_S,
) -> "Draft":
    """Return a draft to be entered with ``async with``, which appends its message.

    ``after`` is the position of the message that is answered: where another one follows it
    already, entering raises Conflict.

    What has arrived is saved at most every ``save_every_s`` (up to 30) seconds, beside the stream:
    a slow or lost database does not hold it up. How it ended is saved under a shield, however often
    the block is cancelled, within the time limits of `Database.run`.

    Entering raises as `faceplate.services.messages.append_draft` does. Leaving a block that did not
    raise raises what kept the message from being saved: NotFound where it was removed meanwhile,
    Conflict where a sweep has closed it. Where the block did raise, that error leaves, and such a
    failure is logged. Cancelled while it ended as complete, it raises a CancelledError of which
    `was_committed` is true.
    """
    if not 0 < save_every_s <= HEARTBEAT_S:
        raise InvalidInput("save_every_s", f"must be more than 0 and at most {HEARTBEAT_S:g}")
    return Draft(
        db, user_id, conversation_id, metadata=metadata, after=after, save_every_s=save_every_s
    )


class Draft:
    """A message that is being written. Not to be made but by `open`."""

    message: records.Message
    """The message as it was stored last."""
    unit = "draft"

    def __init__(
        self,
        db: Database,
        user_id: UUID,
        conversation_id: UUID,
        *,
        metadata: JsonObject | None,
        after: int | None,
        save_every_s: float,
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._conversation_id = conversation_id
        self._id = uuid7()
        self._metadata = metadata
        self._after = after
        self._save_every_s = save_every_s
        self._chunks: list[str] = []
        self._chars = self._saved_chars = 0
        self._saved_at_s = 0.0
        self._is_too_long = self._has_ended = False
        self._turn = asyncio.Lock()  # who saves has it, so that no save overtakes another one
        self._saving: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_cut_off = False

    async def __aenter__(self) -> Self:
        if self._saving is not None:
            raise UsageError("a draft can be entered once: open another one for another reply")
        try:
            self.message = await self._db.run(
                self._user_id,
                messages.append_draft,
                self._conversation_id,
                metadata=self._metadata,
                id=self._id,
                after=self._after,
            )
        except asyncio.CancelledError as error:
            if was_committed(error):
                self._join()
                await self._end("interrupted")
            raise
        self._saved_at_s = time.monotonic()
        self._saving = asyncio.create_task(self._keep_saving())
        self._join()
        return self

    def _join(self) -> None:
        with part_of_older():  # as the unit was that has just ended
            self._db.in_flight.begin(self)

    def cut_off(self, _task: Task) -> None:
        """Save it as interrupted, beside the block, whose next `write` will fail."""
        if self._ending is None:
            self._is_cut_off = True
            self._begin_ending("interrupted")

    @property
    def tasks(self) -> list[Task]:
        """Those that save it, beside the block."""
        found = (self._saving, self._writing, self._ending)
        return [task for task in found if task is not None]

    async def write(self, chunk: str) -> None:
        """Add to the text, in memory.

        Raises InvalidInput for what no message can hold. Where the text gets too long, what fits
        is kept and the message will end as interrupted; any other such chunk is left out. Raises
        ShuttingDown where the database was closed meanwhile.
        """
        if self._is_cut_off:
            raise ShuttingDown(CUT_OFF)
        if self._saving is None or self._has_ended:
            raise UsageError("a draft is written within its `async with` block")
        if not isinstance(chunk, str):
            raise InvalidInput(_CONTENT.field, f"must be text, not {type(chunk).__name__}")
        if (problem := text_problem(chunk)) is not None:
            raise InvalidInput(_CONTENT.field, problem)
        fitting = chunk[: _CONTENT.max_chars - self._chars]
        self._chunks.append(fitting)
        self._chars += len(fitting)
        if len(fitting) < len(chunk):
            self._is_too_long = True
            raise InvalidInput(_CONTENT.field, f"at most {_CONTENT.max_chars:,} characters")

    async def save(self) -> None:
        """Save what was written, now. Raises as `Database.run` does, NotFound and Conflict too."""
        async with self._turn:
            if self._chars > self._saved_chars:
                await self._save("streaming")

    async def keep(self, pieces: AsyncGenerator[str, None]) -> AsyncIterator[str]:
        """Write ``pieces`` as they come, and yield their text again once it is saved.

        So whatever its reader was shown is there, even after a SIGKILL. The text arrives in other
        pieces, every ``save_every_s`` or a little later. Raises what ``pieces`` raises, when all
        that came before it is saved; raises as `write` and `save` do. ``pieces`` are closed when
        the block is left, at the latest.
        """
        if self._writing is not None:
            raise UsageError("a draft keeps one stream: join them before")
        kept = self._chars
        writing = self._writing = asyncio.create_task(self._write_all(pieces))
        while not writing.done() or self._chars > kept:
            await asyncio.wait({writing}, timeout=self._save_every_s)
            await self.save()
            if text := self.message.content[kept:]:
                kept += len(text)
                yield text
        await writing

    async def _write_all(self, pieces: AsyncGenerator[str, None]) -> None:
        async with aclosing(pieces):
            async for piece in pieces:
                await self.write(piece)

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _tb: TracebackType | None,
    ) -> None:
        status = "complete" if error is None else "failed"
        if self._is_too_long or isinstance(error, asyncio.CancelledError | GeneratorExit):
            status = "interrupted"
        try:
            cancelled = await self._end(status)
        except (FaceplateError, asyncio.CancelledError) as failure:
            if error is None:
                raise
            logger.error("draft %s was not saved as %s: %s", self._id, status, failure)  # noqa: TRY400 - its cause may quote the server
            return
        if error is not None:
            return
        if cancelled:
            raise cancelled from CancelledAfterCommit()
        if self._is_cut_off:
            raise ShuttingDown(CUT_OFF)

    async def _end(self, status: str) -> asyncio.CancelledError | None:
        """Save for the last time. Return the first cancellation meanwhile, if there was one."""
        ending = self._ending or self._begin_ending(status)
        cancelled: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.wait({ending})
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
        ending.result()
        return cancelled

    def _begin_ending(self, status: str) -> asyncio.Task[None]:
        self._has_ended = True
        self._ending = asyncio.create_task(self._save_last(status))
        self._ending.add_done_callback(self._leave)
        return self._ending

    def _leave(self, ending: asyncio.Task[None]) -> None:
        self._db.in_flight.end(self)
        if not ending.cancelled():
            ending.exception()  # the end of the block tells of it, if that is still to come

    async def _save_last(self, status: str) -> None:
        for task in (self._writing, self._saving):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)  # `keep` has raised its error
        await self._save(status)

    async def _keep_saving(self) -> None:
        while not self._has_ended:  # a cancelled COMMIT may end as an error and not as cancelled
            await asyncio.sleep(self._save_every_s)
            is_recent = time.monotonic() - self._saved_at_s < HEARTBEAT_S
            if self._chars == self._saved_chars and is_recent:
                continue
            try:
                async with self._turn:
                    await self._save("streaming")
            except (NotFound, Conflict):
                return  # removed or closed; the end of the block will say so
            except FaceplateError as error:
                logger.warning("draft %s is not saved yet: %s", self._id, error)

    async def _save(self, status: str) -> None:
        content = "".join(self._chunks)
        self._chunks = [content]
        with part_of_older():
            self.message = await self._db.run(
                self._user_id,
                messages.save_draft,
                self._conversation_id,
                self._id,
                content=content,
                status=status,
            )
        self._saved_chars, self._saved_at_s = len(content), time.monotonic()
