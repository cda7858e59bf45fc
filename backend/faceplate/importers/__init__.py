"""Chats from files into a user's conversations, each once, however often a file is imported."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.formats import FORMATS, get_format, recognise
from faceplate.importers.versions import derive_conversation_id, find_target
from faceplate.scope import Scope
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

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

    Chats imported and continued, the messages of both, chats skipped since they were there as they
    are, and what was refused.
    """

    imported: int = 0
    continued: int = 0
    messages: int = 0
    skipped: int = 0
    refused: int = 0


class Stored(NamedTuple):
    """What an import made of a chat."""

    is_new: bool
    messages: int


async def import_chat(scope: Scope, chat: Chat) -> Stored:
    """Store what is not there yet of a chat: a conversation, or the messages that came since.

    The ids follow from the user, the chat's id and each message's place in it, so that two
    imports of one chat meet in the same rows, whichever way they race. A chat that is not the
    continuation of what is stored becomes a conversation of its own (see `importers.versions`).
    Raises InvalidInput where a value breaks a rule of its column, and Conflict where another
    import has just stored it.
    """
    target = await find_target(scope, chat)
    conversation_id, stored = target.conversation_id, target.stored
    if stored is None:
        metadata = _describe(scope.user_id, chat, target.changed_from)
        conversation = await conversations.create(
            scope, id=conversation_id, title=chat.title, metadata=metadata
        )
        if conversation.message_count:
            return await import_chat(scope, chat)  # another import has stored it meanwhile
    numbered = (
        message._replace(id=uuid5(conversation_id, str(index)))
        for index, message in enumerate(chat.messages)
        if index >= (stored or 0)
    )
    for batch in _batches(numbered):
        await messages.append_many(scope, conversation_id, batch)
    return Stored(is_new=stored is None, messages=len(chat.messages) - (stored or 0))


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
    return Report(imported, continued, message_count, skipped, refused)


async def _store(db: Database, user_id: UUID, chat: Chat) -> Stored:
    try:
        return await db.run(user_id, import_chat, chat)
    except Conflict:
        # Another import has stored this id otherwise: now it is there to be found.
        return await db.run(user_id, import_chat, chat)


def _describe(user_id: UUID, chat: Chat, changed_from: dict[str, Any] | None) -> dict[str, Any]:
    """A chat's metadata, with links to the conversations it branched from."""
    metadata = dict(chat.metadata)
    if chat.fork:
        metadata["forked_from"] = {
            "conversation_id": str(derive_conversation_id(user_id, chat.fork.chat_id)),
            "position": chat.fork.position,
            "message_id": chat.fork.message_id,
        }
    if changed_from:
        metadata["changed_from"] = changed_from
    return metadata


def _batches(items: Iterable[NewMessage]) -> Iterator[list[NewMessage]]:
    """The messages in lists that `messages.append_many` takes."""
    batch: list[NewMessage] = []
    chars = 0
    for item in items:
        chars += len(item.content)
        if batch and (len(batch) == messages.MAX_BATCH or chars > messages.MAX_BATCH_CHARS):
            yield batch
            batch, chars = [], len(item.content)
        batch.append(item)
    if batch:
        yield batch
