"""The import of a file of chats, each chat once, and the look at what it would store."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.importers import faceplate_export
from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.formats import FORMATS, Format
from faceplate.importers.reading import read_chats
from faceplate.importers.versions import import_chats
from faceplate.services.chats import MAX_CHATS

T = TypeVar("T")

_BATCH_CHARS: Final = 1_000_000  # per transaction, unless one chat is longer
_PAUSE_CHARS: Final = 50_000  # read between two pauses for the event loop: some milliseconds
_MESSAGE_CHARS: Final = 500  # added to the length of a message's content


class Report(NamedTuple):
    """The result of an import."""

    imported: int = 0
    """New chats."""
    messages: int = 0
    """Messages stored, in new and in continued chats."""
    skipped: int = 0
    """Chats that were stored already and had nothing new."""
    refused: int = 0
    """Refusals, of chats and of parts of chats."""
    continued: int = 0
    """Chats that were stored already and had new messages."""
    asides: Mapping[str, int] = MappingProxyType({})
    """What the file's chats keep beside their text: how many, by the kind."""


class Preview(NamedTuple):
    """What an import of a file would store where nothing of it is stored already."""

    chats: Mapping[str, int]
    """The chats of each format, by its key."""
    messages: int
    refused: int
    """Refusals, of chats and of parts of chats."""
    asides: Mapping[str, int]
    """What is kept beside the text: how many, by the kind."""


async def import_file(
    db: Database,
    user_id: UUID,
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    on_progress: Callable[[int], None] | None = None,
    on_refusal: Callable[[Refusal], None] | None = None,
    on_stored: Callable[[Report], None] | None = None,
) -> Report:
    """Import the chats of a file in batches, each chat as a whole.

    ``format`` is one of `FORMATS`, or None to recognise each chat's own. A chat that cannot be read
    or stored is refused as a whole, and the import goes on. ``on_refusal`` is called for it, and
    for each part that was left out of a chat or not understood, in the order of the file and after
    the chats before it were stored. ``on_progress`` is called with the number of bytes read, and
    ``on_stored`` after each batch with the report so far.

    Raises InvalidInput for an unknown format, OSError if the file cannot be read, and the errors of
    `Database.run` that are not about one chat. The chats stored before an error stay, and a second
    import goes on from there.

    An export of a user is restored by `faceplate_export.restore`; the report counts conversations.
    """
    if faceplate_export.is_archive(path):
        restored = await faceplate_export.restore(
            db, user_id, path, on_progress=on_progress, on_refusal=on_refusal
        )
        new = restored.rows
        return Report(new["conversations"], new["messages"], restored.skipped, restored.refused)
    storing = _Storing(db, user_id, on_refusal, on_stored)
    fixed = None if format is None else _format(format)
    with closing(read_chats(path, fixed, on_progress)) as items:
        await _one_ahead(_batches(items), storing.store)
    return storing.report


def _format(key: str) -> Format:
    if key not in FORMATS:
        raise InvalidInput("format", f"must be one of {', '.join(FORMATS)}")
    return FORMATS[key]


async def preview_file(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    on_progress: Callable[[int], None] | None = None,
    on_refusal: Callable[[Refusal], None] | None = None,
) -> Preview:
    """Read a file as `import_file` does, and store nothing.

    Raises InvalidInput for an unknown format or an export of a user, OSError if the file cannot be
    read.
    """
    if faceplate_export.is_archive(path):
        raise InvalidInput("path", "must be a file of chats; this one is an export of a user")
    chats: Counter[str] = Counter()
    asides: Counter[str] = Counter()
    messages = refused = 0
    with closing(
        read_chats(path, None if format is None else _format(format), on_progress)
    ) as items:
        for item in items:
            if isinstance(item, Refusal):
                refused += 1
                if on_refusal:
                    on_refusal(item)
            else:
                chats[item.source] += 1
                asides.update(item.asides)
                messages += len(item.messages)
            await asyncio.sleep(0)
    return Preview(chats, messages, refused, asides)


class _Storing:
    """Stores the chats of a file and counts them in a report."""

    def __init__(
        self,
        db: Database,
        user_id: UUID,
        on_refusal: Callable[[Refusal], None] | None,
        on_stored: Callable[[Report], None] | None,
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._on_refusal = on_refusal
        self._on_stored = on_stored
        self._asides: Counter[str] = Counter()
        self.report = Report()

    async def store(self, batch: Sequence[Chat] | Refusal) -> None:
        """Store the chats of a batch that can be stored, and refuse the others."""
        if isinstance(batch, Refusal):
            self._refuse(batch)
            return
        try:
            made = await self._db.run(self._user_id, import_chats, batch)
        except (InvalidInput, Conflict) as error:
            if len(batch) == 1:
                self._refuse(Refusal(batch[0].place, error.message))
                return
            middle = len(batch) // 2
            await self.store(batch[:middle])
            await self.store(batch[middle:])
        else:
            for chat, stored in zip(batch, made, strict=True):
                self._asides.update(chat.asides)
                self.report = self.report._replace(asides=dict(self._asides))
                is_continued = not stored.is_new and stored.messages > 0
                self._count(
                    imported=stored.is_new,
                    messages=stored.messages,
                    skipped=not (stored.is_new or is_continued),
                    continued=is_continued,
                )
            if self._on_stored:
                self._on_stored(self.report)

    def _refuse(self, refusal: Refusal) -> None:
        self._count(refused=1)
        if self._on_refusal:
            self._on_refusal(refusal)

    def _count(self, **more: int) -> None:
        counted = {name: getattr(self.report, name) + count for name, count in more.items()}
        self.report = self.report._replace(**counted)


async def _batches(items: Iterable[Chat | Refusal]) -> AsyncGenerator[list[Chat] | Refusal, None]:
    """Yield lists of chats for one transaction each, and the refusals.

    It lets other tasks run from time to time, such as the transaction of the batch before.
    """
    batch: dict[str, Chat] = {}
    size = size_since_pause = 0
    for item in items:
        is_full = size >= _BATCH_CHARS or len(batch) == MAX_CHATS
        if batch and (is_full or isinstance(item, Refusal) or item.key in batch):
            yield [*batch.values()]
            batch, size = {}, 0
        if isinstance(item, Refusal):
            yield item
            continue
        batch[item.key] = item
        weight = sum(_MESSAGE_CHARS + len(message.content) for message in item.messages)
        size += weight
        size_since_pause += weight
        if size_since_pause >= _PAUSE_CHARS:
            size_since_pause = 0
            await asyncio.sleep(0)
    if batch:
        yield [*batch.values()]


async def _one_ahead(items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[None]]) -> None:
    """Call ``work`` for one item after the other, and read the next item meanwhile."""
    in_flight: asyncio.Task[None] | None = None
    try:
        async with aclosing(items):
            async for item in items:
                if in_flight is not None:
                    await in_flight
                in_flight = asyncio.ensure_future(work(item))
        if in_flight is not None:
            await in_flight
    finally:
        if in_flight is not None and not in_flight.done():
            in_flight.cancel()
            await asyncio.wait({in_flight})
