"""Chats from files into a user's conversations, each once, however often a file is imported."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid5

from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.importers import archive, openai
from faceplate.importers.chats import Chat, Refusal
from faceplate.scope import Scope
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

__all__ = ["Chat", "Refusal", "Report", "import_chat", "import_file"]


class Report(NamedTuple):
    """What became of a file: chats imported and their messages, chats skipped and refused."""

    imported: int = 0
    messages: int = 0
    skipped: int = 0
    refused: int = 0


async def import_chat(scope: Scope, chat: Chat) -> bool:
    """Store a chat as a conversation with all its messages; False if it was there already.

    The ids follow from the user, the chat's id and each message's place in it, so that two
    imports of one chat meet in the same rows, whichever way they race. Raises InvalidInput where
    a value breaks a rule of its column, and Conflict where another import has just stored it.
    """
    conversation_id = uuid5(scope.user_id, f"conversation:{chat.id}")
    try:
        await conversations.get(scope, conversation_id)
    except NotFound:
        pass
    else:
        return False
    conversation = await conversations.create(
        scope, id=conversation_id, title=chat.title, metadata=chat.metadata
    )
    if conversation.message_count:
        return False  # another import has stored it since we looked
    numbered = (
        message._replace(id=uuid5(conversation_id, str(index)))
        for index, message in enumerate(chat.messages)
    )
    for batch in _batches(numbered):
        await messages.append_many(scope, conversation_id, batch)
    return True


async def import_file(
    db: Database,
    user_id: UUID,
    path: Path,
    *,
    on_progress: Callable[[int], None] | None = None,
    on_refusal: Callable[[Refusal], None] | None = None,
) -> Report:
    """Import the chats of a file (see `openai.read`), one transaction and one chat at a time.

    A chat that cannot be read or stored is refused as a whole and handed to ``on_refusal``; the
    rest goes on. ``on_progress`` is told how many bytes of the file were read. Raises OSError
    where the file cannot be read, and whatever `Database.run` raises that is not about one chat;
    what was imported until then stays, and importing again goes on from there.

    A user's archive is restored, see `archive.restore`, and reported by its conversations.
    """
    if archive.is_archive(path):
        restored = await archive.restore(
            db, user_id, path, on_progress=on_progress, on_refusal=on_refusal
        )
        return Report(restored.conversations, restored.messages, restored.skipped, restored.refused)
    imported = message_count = skipped = refused = 0

    def refuse(refusal: Refusal) -> None:
        nonlocal refused
        refused += 1
        if on_refusal:
            on_refusal(refusal)

    with closing(openai.read(path, on_progress)) as items:
        for item in items:
            if isinstance(item, Refusal):
                refuse(item)
                continue
            try:
                is_new = await _store(db, user_id, item)
            except (InvalidInput, Conflict) as error:
                refuse(Refusal(item.place, error.message))
                continue
            if is_new:
                imported += 1
                message_count += len(item.messages)
            else:
                skipped += 1
    return Report(imported, message_count, skipped, refused)


async def _store(db: Database, user_id: UUID, chat: Chat) -> bool:
    try:
        return await db.run(user_id, import_chat, chat)
    except Conflict:
        # Another import has stored this id with another title: now it is there to be found.
        return await db.run(user_id, import_chat, chat)


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
