"""The import of a file of chats, each chat once, and the look at what it would store."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.importers import faceplate_export
from faceplate.importers.batches import Batch, read_batches
from faceplate.importers.chats import Chat, Place, Refusal
from faceplate.importers.formats import FORMATS, Format
from faceplate.importers.versions import import_chats, with_longer_key

T = TypeVar("T")

_EMPTY: Final = Refusal(Place("file", 1), "none of its chats has a message")


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
    empty: int = 0
    """The chats of the file that have no message; one without anything else is not stored."""


class Preview(NamedTuple):
    """What an import of a file would store where nothing of it is stored already."""

    chats: Mapping[str, int]
    """The chats of each format, by its key; one that stands in two places counts once."""
    messages: int
    refused: int
    """Refusals, of chats and of parts of chats."""
    asides: Mapping[str, int]
    """What is kept beside the text: how many, by the kind."""
    empty: int = 0
    """The chats that have no message."""


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
    await _one_ahead(read_batches(path, fixed, on_progress), storing.take)
    storing.end()
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
    emptiness = _Emptiness()
    messages = refused = 0
    fixed = None if format is None else _format(format)
    async with aclosing(read_batches(path, fixed, on_progress)) as batches:
        async for batch in batches:
            for chat in batch.chats:
                if emptiness.note(chat):
                    chats[chat.source] += 1
                asides.update(chat.asides)
                messages += len(chat.messages)
            for refusal in batch.refusals:
                refused += 1
                if on_refusal:
                    on_refusal(refusal)
    if emptiness.is_complete():
        refused += 1
        if on_refusal:
            on_refusal(_EMPTY)
    return Preview(chats, messages, refused, asides, emptiness.count())


class _Emptiness:
    """Which chats of a file have no message; a chat may stand in several places."""

    def __init__(self) -> None:
        self._has_messages: dict[int, bool] = {}
        self._seen: set[int] = set()
        """Chats with messages, told apart where they have one short key."""
        self._have_nothing = 0

    def note(self, chat: Chat) -> bool:
        """Remember whether a chat has a message, and return whether the chat is new."""
        if chat.has_nothing:
            self._have_nothing += 1
            return False
        name = hash((chat.source, chat.key))
        before = self._has_messages.get(name)
        self._has_messages[name] = bool(chat.messages or before)
        if not chat.messages:
            return before is None
        told_apart = with_longer_key(chat) or chat
        own_name = hash((chat.source, told_apart.key))
        is_seen = own_name in self._seen
        self._seen.add(own_name)
        return not is_seen and before is not False  # so far it was empty, and has been counted

    def count(self) -> int:
        """Return how many chats are empty."""
        without_messages = sum(not has_messages for has_messages in self._has_messages.values())
        return without_messages + self._have_nothing

    def is_complete(self) -> bool:
        """Return whether there are chats, and all of them are empty."""
        return 0 < len(self._has_messages) + self._have_nothing == self.count()


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
        self._emptiness = _Emptiness()
        self.report = Report()

    async def take(self, batch: Batch) -> None:
        """Store the chats of a batch, and report its refusals."""
        for chat in (chat for chat in batch.chats if chat.has_nothing):
            self._emptiness.note(chat)
        if chats := [chat for chat in batch.chats if not chat.has_nothing]:
            await self._store(chats)
        for refusal in batch.refusals:
            self._refuse(refusal)

    def end(self) -> None:
        """Count the empty chats at the end of the file, and refuse it if there are no others."""
        self._count(empty=self._emptiness.count())
        if self._emptiness.is_complete():
            self._refuse(_EMPTY)

    async def _store(self, chats: Sequence[Chat]) -> None:
        """Store the chats that can be stored, and refuse the others."""
        try:
            made = await self._db.run(self._user_id, import_chats, chats)
        except (InvalidInput, Conflict) as error:
            if len(chats) == 1:
                self._refuse(Refusal(chats[0].place, error.message))
                return
            middle = len(chats) // 2
            await self._store(chats[:middle])
            await self._store(chats[middle:])
        else:
            for chat, stored in zip(chats, made, strict=True):
                self._asides.update(chat.asides)
                self._emptiness.note(chat)
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
