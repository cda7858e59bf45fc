"""pydantic-ai's ``ConversationStore`` over faceplate: its log of entries as paths of messages."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from faceplate.database import Database
from faceplate.errors import NotFound
from faceplate.integrations.pydantic_ai import _entries
from faceplate.integrations.pydantic_ai._entries import SOURCE

__all__ = ["SOURCE", "FaceplateConversationStore"]

MAX_PLACES = 10_000


class FaceplateConversationStore(ConversationStore):
    """The conversations of one user.

    A conversation is one of faceplate's, with its branches, and the record is its body; an entry is
    a message, and pydantic-ai's message is its body. A fork copies the path that it begins with: a
    deletion of its source leaves it whole. What another program appends belongs to the history, and
    a save of what was loaded before raises ConversationConflict.

    Beside pydantic-ai's errors, each method raises those of `Database.run`.
    """

    def __init__(self, db: Database, user_id: UUID) -> None:
        self._db = db
        self._user_id = user_id
        self._places: dict[str, UUID] = {}
        """The conversations of entries: a history is asked for by an entry alone."""

    def conversation_id(self, conversation_id: str) -> UUID:
        """Return the id of the conversation that pydantic-ai calls so, for faceplate's units."""
        return _entries.id_of(self._user_id, conversation_id)

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation, or None if there is none."""
        record = await self._db.run(self._user_id, _entries.get, conversation_id)
        if record is not None:
            self._note(record)
        return record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """Return the records with the scope, or all, the last saved first; at most ``limit``.

        The call reads all records of the user.
        """
        found = await self._db.run(self._user_id, _entries.list_all)
        chosen = [record for record in found if scope is None or record.scope == scope]
        chosen.sort(key=lambda record: record.updated_at, reverse=True)
        return chosen[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and new entries, both or none.

        Raises ConversationConflict unless the stored revision is the expected one.
        """
        origin = new_entries[0].parent_id if new_entries else record.head_id
        is_fork = expected_revision is None and origin is not None
        place = await self._place(origin) if is_fork and origin else None
        new = _entries.Written(record, new_entries, expected_revision, place)
        await self._db.run(self._user_id, _entries.write, new)
        self._note(record)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a conversation with its entries, those of all branches; forks keep their own.

        Raises ConversationConflict unless the stored revision is the expected one.
        """
        await self._db.run(self._user_id, _entries.delete, conversation_id, expected_revision)

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """Return the entries up to ``head_id``, in order, or the last ``limit`` of them.

        Raises LookupError if there is no such entry.
        """
        if head_id is None or limit == 0:
            return []
        for _ in range(2):
            place = await self._place(head_id)
            if place is None:
                break
            with suppress(NotFound):
                return await self._db.run(self._user_id, _entries.read_path, place, head_id, limit)
            self._places.pop(
                head_id, None
            )  # the conversation was deleted; a fork may have the entry
        raise LookupError("there is no entry with this id")

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry. Raises LookupError if there is none."""
        return (await self.read_history(entry_id, limit=1))[-1]

    async def _place(self, entry_id: str) -> UUID | None:
        """Return a conversation that has an entry."""
        if entry_id not in self._places:
            found = await self._db.run(self._user_id, _entries.find, entry_id)
            if found is None:
                return None
            self._keep(entry_id, found)
        return self._places[entry_id]

    def _note(self, record: ConversationRecord) -> None:
        for entry_id in (record.head_id, *record.branches):
            if entry_id is not None:
                self._keep(entry_id, self.conversation_id(record.conversation_id))

    def _keep(self, entry_id: str, conversation_id: UUID) -> None:
        if len(self._places) >= MAX_PLACES:
            self._places.clear()
        self._places[entry_id] = conversation_id
