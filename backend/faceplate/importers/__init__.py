"""Chats from files into a user's conversations, each once, however often a file is imported."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.formats import FORMATS, get_format, recognise
from faceplate.importers.versions import Stored, import_chat

__all__ = [
    "FORMATS",
    "Chat",
    "Refusal",
    "Report",
    "Stored",
    "get_format",
    "import_chat",
    "import_file",
    "recognise",
]


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
    """Import the chats of a file, one transaction and one chat at a time.

    ``format`` is one of `FORMATS`, or None to recognise it by the first chat. A chat that cannot
    be read or stored is refused as a whole and handed to ``on_refusal``, and so is what had to be
    left out of one; the rest goes on. ``on_progress`` is told how many bytes of the file were
    read. Raises InvalidInput for an unknown format, OSError where the file cannot be read, and
    whatever `Database.run` raises that is not about one chat; what was imported until then stays,
    and importing again goes on from there.
    """
    read = get_format(format or recognise(path)).read
    imported = continued = message_count = skipped = refused = 0

    def refuse(refusal: Refusal) -> None:
        nonlocal refused
        refused += 1
        if on_refusal:
            on_refusal(refusal)

    with closing(read(path, on_progress)) as items:
        for item in items:
            if isinstance(item, Refusal):
                refuse(item)
                continue
            try:
                stored = await _store(db, user_id, item)
            except (InvalidInput, Conflict) as error:
                refuse(Refusal(item.place, error.message))
                continue
            message_count += stored.messages
            if stored.is_new:
                imported += 1
            elif stored.messages:
                continued += 1
            else:
                skipped += 1
    return Report(imported, message_count, skipped, refused, continued)


async def _store(db: Database, user_id: UUID, chat: Chat) -> Stored:
    try:
        return await db.run(user_id, import_chat, chat)
    except Conflict:
        # Another import has stored this id otherwise: now it is there to be found.
        return await db.run(user_id, import_chat, chat)
