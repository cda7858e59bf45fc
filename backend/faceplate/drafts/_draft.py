"""A message that is being written: its saves beside the stream, and its end."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Self
from uuid import UUID

from uuid6 import uuid7

from faceplate import records
from faceplate._runner.calls import Task, allow_during_shutdown
from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.drafts._text import GrowingText
from faceplate.errors import (
    CancelledAfterCommit,
    Conflict,
    FaceplateError,
    NotFound,
    ShuttingDown,
    UsageError,
    was_committed,
)
from faceplate.services import messages

logger = logging.getLogger("faceplate")

SAVE_EVERY_S = 2.0
HEARTBEAT_S = 30.0
"""A draft is saved this often even if nothing has arrived, so that no sweep closes it."""

CUT_OFF = "the draft has ended as interrupted, since the database is being closed"


class Draft:
    """A message that is being written. `faceplate.drafts.open` returns it."""

    message: records.Message
    """The message as it was last stored."""
    input_tokens: int | None = None
    """Saved with the text: set it when the model says how many tokens it has read."""
    output_tokens: int | None = None
    """Saved with the text: set it when the model says how many tokens it has written."""
    unit = "draft"

    def __init__(
        self,
        db: Database,
        user_id: UUID,
        conversation_id: UUID,
        *,
        metadata: JsonObject | None,
        model: str | None,
        after: int | None,
        branch: bool,
        save_every_s: float,
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._conversation_id = conversation_id
        self._id = uuid7()
        self._metadata = metadata
        self._model = model
        self._after = after
        self._branch = branch
        self._save_every_s = save_every_s
        self._text = GrowingText()
        self._saved_chars = 0
        self._saved_at_s = 0.0
        self._has_ended = False
        self._save_lock = asyncio.Lock()  # keeps the saves in order
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
                model=self._model,
                id=self._id,
                after=self._after,
                branch=self._branch,
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
        with allow_during_shutdown():  # the unit that has just ended was in flight as well
            self._db.in_flight.begin(self)

    def cut_off(self, _task: Task) -> None:
        """Save the message as interrupted, in a task of its own.

        The next `write` of the block fails.
        """
        if self._ending is None:
            self._is_cut_off = True
            self._begin_ending("interrupted")

    @property
    def tasks(self) -> list[Task]:
        """The tasks that save the message beside the block."""
        found = (self._saving, self._writing, self._ending)
        return [task for task in found if task is not None]

    async def write(self, chunk: str) -> None:
        """Add ``chunk`` to the text, in memory.

        Raises InvalidInput for a chunk that no message can hold, which is left out, and for one
        that makes the text too long: then the part that fits is kept, and the message ends as
        interrupted. Raises ShuttingDown if the `Database` was closed meanwhile.
        """
        if self._is_cut_off:
            raise ShuttingDown(CUT_OFF)
        if self._saving is None or self._has_ended:
            raise UsageError("a draft is written within its `async with` block")
        self._text.add(chunk)

    async def save(self) -> None:
        """Save the text now. Raises the errors of `Database.run`, NotFound and Conflict."""
        async with self._save_lock:
            if self._text.chars > self._saved_chars:
                await self._save("streaming")

    async def keep(self, pieces: AsyncGenerator[str, None]) -> AsyncIterator[str]:
        """Write ``pieces`` as they arrive, and yield their text after it was saved.

        All text that a reader has seen is then stored, even after a SIGKILL. The text is divided
        differently from ``pieces``: there is a piece every ``save_every_s``, or a little later. An
        error of ``pieces`` is raised after the text before it was saved. Raises the errors of
        `write` and `save`. ``pieces`` is closed at the latest when the block is left.
        """
        if self._writing is not None:
            raise UsageError("a draft keeps one stream: join several into one before")
        kept = self._text.chars
        writing = self._writing = asyncio.create_task(self._write_all(pieces))
        while not writing.done() or self._text.chars > kept:
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
        if self._text.is_too_long or isinstance(error, asyncio.CancelledError | GeneratorExit):
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
        """Save for the last time. Return the first cancellation during it, or None."""
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
            ending.exception()  # mark it as retrieved; leaving the block raises or logs it

    async def _save_last(self, status: str) -> None:
        for task in (self._writing, self._saving):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)  # `keep` has raised its error
        await self._save(status)

    async def _keep_saving(self) -> None:
        # Not just until cancelled: a cancelled COMMIT may raise an error instead.
        while not self._has_ended:
            await asyncio.sleep(self._save_every_s)  # the interval is the caller's
            is_recent = time.monotonic() - self._saved_at_s < HEARTBEAT_S
            if self._text.chars == self._saved_chars and is_recent:
                continue
            try:
                async with self._save_lock:
                    await self._save("streaming")
            except (NotFound, Conflict):
                return  # removed or closed; leaving the block raises the same error
            except FaceplateError as error:
                logger.warning("draft %s is not saved yet: %s", self._id, error)

    async def _save(self, status: str) -> None:
        content = self._text.joined()
        with allow_during_shutdown():
            self.message = await self._db.run(
                self._user_id,
                messages.save_draft,
                self._conversation_id,
                self._id,
                content=content,
                status=status,
                input_tokens=self.input_tokens,
                output_tokens=self.output_tokens,
            )
        self._saved_chars, self._saved_at_s = len(content), time.monotonic()
