"""Chats from files into a user's conversations, each once, however often a file is imported."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.importers import faceplate_export
from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.formats import FORMATS, get_format, recognise
from faceplate.importers.versions import Stored, import_chat, import_chats
from faceplate.services.chats import MAX_CHATS

__all__ = [
    "FORMATS",
    "Chat",
    "Refusal",
    "Report",
    "Stored",
    "get_format",
    "import_chat",
    "import_chats",
    "import_file",
    "recognise",
]

T = TypeVar("T")

_BATCH_CHARS: Final = 1_000_000  # of a transaction, which makes a batch but for a longer chat
_TURN_CHARS: Final = 50_000  # are read without a pause: some milliseconds
_MESSAGE_CHARS: Final = 500  # what a message counts as beside its content


class Report(NamedTuple):
    """What became of a file.

    Chats that are new, the messages stored, chats skipped since they were there as they are, what
    was refused, and chats that were there but had new messages.
    """

    imported: int = 0
    messages: int = 0
    skipped: int = 0
    refused: int = 0
    continued: int = 0


async def import_file(
    db: Database,
    user_id: UUID,
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    on_progress: Callable[[int], None] | None = None,
    on_refusal: Callable[[Refusal], None] | None = None,
) -> Report:
    """Import the chats of a file, some at a time, each whole or not at all.

    ``format`` is one of `FORMATS`, or None to recognise it by the first chat. A chat that cannot
    be read or stored is refused as a whole and handed to ``on_refusal``, in the order of the file
    and after what stands before it was stored, and so is what had to be left out of one; the rest
    goes on. ``on_progress`` is told how many bytes of the file were read. Raises InvalidInput for
    an unknown format, OSError where the file cannot be read, and whatever `Database.run` raises
    that is not about one chat; what was imported until then stays, and importing again goes on
    from there.

    A user's archive is restored, see `archive.restore`, and reported by its conversations.
    """
    if faceplate_export.is_archive(path):
        restored = await faceplate_export.restore(
            db, user_id, path, on_progress=on_progress, on_refusal=on_refusal
        )
        return Report(restored.conversations, restored.messages, restored.skipped, restored.refused)
    read = get_format(format or recognise(path)).read
    storing = _Storing(db, user_id, on_refusal)
    with closing(read(path, on_progress)) as items:
        await _one_ahead(_batches(items), storing.store)
    return storing.report


class _Storing:
    """Where the items of a file go, and the report of it."""

    def __init__(
        self, db: Database, user_id: UUID, on_refusal: Callable[[Refusal], None] | None
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._on_refusal = on_refusal
        self.report = Report()

    async def store(self, batch: Sequence[Chat] | Refusal) -> None:
        """Store all that can be stored of a batch, and tell what cannot."""
        if isinstance(batch, Refusal):
            self._refuse(batch)
            return
        try:
            made = await self._run(batch)
        except (InvalidInput, Conflict) as error:
            if len(batch) == 1:
                self._refuse(Refusal(batch[0].place, error.message))
                return
            middle = len(batch) // 2
            await self.store(batch[:middle])
            await self.store(batch[middle:])
        else:
            for stored in made:
                is_continued = not stored.is_new and stored.messages > 0
                self._count(
                    imported=stored.is_new,
                    messages=stored.messages,
                    skipped=not (stored.is_new or is_continued),
                    continued=is_continued,
                )

    async def _run(self, batch: Sequence[Chat]) -> list[Stored]:
        try:
            return await self._db.run(self._user_id, import_chats, batch)
        except Conflict:
            # Another import has stored one of them otherwise: now it is there to be found.
            return await self._db.run(self._user_id, import_chats, batch)

    def _refuse(self, refusal: Refusal) -> None:
        self._count(refused=1)
        if self._on_refusal:
            self._on_refusal(refusal)

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self.report, name) + count for name, count in more.items()}
        self.report = self.report._replace(**counted)


async def _batches(items: Iterable[Chat | Refusal]) -> AsyncGenerator[list[Chat] | Refusal, None]:
    """The chats in lists that make a transaction each, and the refusals in between.

    Others get their turn meanwhile, the transaction of the batch before among them.
    """
    batch: dict[str, Chat] = {}
    size = size_since_turn = 0
    for item in items:
        is_full = size >= _BATCH_CHARS or len(batch) == MAX_CHATS
        if batch and (is_full or isinstance(item, Refusal) or item.id in batch):
            yield [*batch.values()]
            batch, size = {}, 0
        if isinstance(item, Refusal):
            yield item
            continue
        batch[item.id] = item
        weight = sum(_MESSAGE_CHARS + len(message.content) for message in item.messages)
        size += weight
        size_since_turn += weight
        if size_since_turn >= _TURN_CHARS:
            size_since_turn = 0
            await asyncio.sleep(0)
    if batch:
        yield [*batch.values()]


async def _one_ahead(items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[None]]) -> None:
    """Do ``work`` on each item, one after the other, while the next item is made."""
    under_way: asyncio.Task[None] | None = None
    try:
        async with aclosing(items):
            async for item in items:
                if under_way is not None:
                    await under_way
                under_way = asyncio.ensure_future(work(item))
        if under_way is not None:
            await under_way
    finally:
        if under_way is not None and not under_way.done():
            under_way.cancel()
            await asyncio.wait({under_way})
