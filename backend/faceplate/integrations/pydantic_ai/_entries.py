"""The units of the conversation store: records in bodies, entries as messages of a path."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
)

from faceplate import records
from faceplate.errors import Conflict, NotFound
from faceplate.importers.fields import as_object, first_text
from faceplate.integrations import _tool_links
from faceplate.integrations._response_items import from_json, to_json
from faceplate.integrations._sessions import canonical_uuid, key_of, message_id, opening
from faceplate.integrations.pydantic_ai import _codec, _shown
from faceplate.scope import Scope, read_only
from faceplate.services import _ends, _forking, conversation_statements, conversations, messages
from faceplate.services.messages import MAX_LIMIT, NewMessage

SOURCE: Final = "pydantic-ai"
"""The source of the conversations; their key is pydantic-ai's ``conversation_id``."""
_END: Final = "end_id"
"""The field of a body, beside those of the record: where the path ended when it was written."""
_RECORDS = TypeAdapter(list[ConversationRecord], config=ConfigDict(ser_json_bytes="base64"))


class Written(NamedTuple):
    """What a call of ``write_record`` stores."""

    record: ConversationRecord
    entries: Sequence[ConversationEntry]
    expected_revision: str | None
    origin: UUID | None
    """A conversation that has the entry from which a new one is forked."""


def id_of(user_id: UUID, conversation_id: str) -> UUID:
    """Return the id of the conversation that pydantic-ai calls so."""
    return conversations.id_of(user_id, source=SOURCE, key=key_of(conversation_id))


@read_only
async def get(scope: Scope, conversation_id: str) -> ConversationRecord | None:
    """Return the record of a conversation, or None if there is none."""
    row = await scope.first(_ends.GET, id=id_of(scope.user_id, conversation_id))
    return None if row is None else _record_of(row, conversation_id)


@read_only
async def list_all(scope: Scope) -> list[ConversationRecord]:
    """Return the records of all conversations, in no order."""
    rows = await scope.all(_ends.OF_SOURCE, source=SOURCE)
    return [_record_of(row, row.key or "") for row in rows]


@read_only
async def find(scope: Scope, entry_id: str) -> UUID | None:
    """Return a conversation that has an entry: its own, or a fork."""
    return await scope.first(_ends.FIND, id=message_id(scope.user_id, entry_id))


@read_only
async def read_path(
    scope: Scope, conversation_id: UUID, entry_id: str, limit: int | None
) -> list[ConversationEntry]:
    """Return the entries up to one, in order, or the last ``limit`` of them.

    Raises NotFound if the conversation has no such entry.
    """
    id_ = message_id(scope.user_id, entry_id)
    rows = await _rows(scope, conversation_id, limit, None)
    if not rows or rows[-1].id != id_:
        leaf = (await messages.get(scope, conversation_id, id_)).position
        rows = await _rows(scope, conversation_id, limit, leaf)
    entries: list[ConversationEntry] = []
    parent: str | None = None
    for row, message in _codec.load(rows):
        entries.append(ConversationEntry(id=_entry_id(row), parent_id=parent, message=message))
        parent = entries[-1].id
    return entries if limit is None else entries[-limit:]


async def _rows(
    scope: Scope, conversation_id: UUID, limit: int | None, leaf: int | None
) -> list[records.Message]:
    """Return the rows of a path, or its last ones with the parent of the first."""
    if limit is None or limit >= MAX_LIMIT:
        return await messages.everything(scope, conversation_id, leaf=leaf)
    return await messages.history(scope, conversation_id, limit=limit + 1, leaf=leaf)


async def write(scope: Scope, new: Written) -> None:
    """Store a record and its new entries, if the stored revision is the expected one.

    Raises ConversationConflict.
    """
    record, name = new.record, new.record.conversation_id
    id_ = id_of(scope.user_id, name)
    row = await scope.first(_ends.LOCK, id=id_)
    if (None if row is None else _record_of(row, name).revision) != new.expected_revision:
        raise ConversationConflict(name)
    batch = [_new_message(scope.user_id, entry) for entry in new.entries]
    try:
        end = await _begin(scope, id_, new, batch) if row is None else row.end_id
        for at, until in _runs(new.entries):
            await _append(scope, id_, new.entries[at].parent_id, batch[at:until], end)
            end = batch[until - 1].id
        if record.head_id is not None and message_id(scope.user_id, record.head_id) != end:
            end = message_id(scope.user_id, record.head_id)
            head = await messages.get(scope, id_, end)
            await conversations.switch(scope, id_, head.position)
    except (NotFound, Conflict):
        # An entry was deleted, or another transaction has made the conversation.
        raise ConversationConflict(name) from None
    await conversations.replace_body(scope, id_, _body_of(record, end))


async def _begin(scope: Scope, id_: UUID, new: Written, batch: Sequence[NewMessage]) -> UUID | None:
    """Make a conversation, with a copy of the path from which it is forked; return its end."""
    opens = opening(SOURCE, new.record.conversation_id, batch)
    origin = new.entries[0].parent_id if new.entries else new.record.head_id
    if origin is None:
        if await scope.first(conversation_statements.CREATE, id=id_, **opens.values()) is None:
            raise ConversationConflict(new.record.conversation_id)
        return None
    if new.origin is None:
        raise NotFound(records.Message)
    end = message_id(scope.user_id, origin)
    at = (await messages.get(scope, new.origin, end)).position
    made = await _forking.fork(scope, new.origin, at, None, id_, source=SOURCE, key=opens.key)
    if made is None:
        raise ConversationConflict(new.record.conversation_id)
    return end


def _runs(entries: Sequence[ConversationEntry]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of entries each of which follows the one before it."""
    begin = 0
    for at in range(1, len(entries) + 1):
        if at == len(entries) or entries[at].parent_id != entries[at - 1].id:
            yield begin, at
            begin = at


async def _append(
    scope: Scope,
    id_: UUID,
    parent_id: str | None,
    batch: Sequence[NewMessage],
    end: UUID | None,
) -> None:
    """Append messages after their parent: at the end of the path, or as a branch."""
    parent = None if parent_id is None else message_id(scope.user_id, parent_id)
    after = None
    if parent != end:
        after = 0 if parent is None else (await messages.get(scope, id_, parent)).position
    await _tool_links.append_linked(scope, id_, batch, after=after)


async def delete(scope: Scope, conversation_id: str, expected_revision: str) -> None:
    """Delete a conversation, if its revision is the expected one. Raises ConversationConflict."""
    id_ = id_of(scope.user_id, conversation_id)
    row = await scope.first(_ends.LOCK, id=id_)
    if row is None or _record_of(row, conversation_id).revision != expected_revision:
        raise ConversationConflict(conversation_id)
    await conversations.delete(scope, id_)


def _record_of(row: _ends.AtEnd, name: str) -> ConversationRecord:
    """Return the record in a body.

    Where another program has moved the end of the path, the head is there and the revision is
    another one.
    """
    end = None if row.end_id is None else str(row.end_id)
    body = as_object(from_json(row.body or "null"))
    try:
        # Only as Python's values, strings may hold lone surrogates.
        [record] = _RECORDS.validate_python([body])
    except ValidationError:
        name = first_text(body.get("id")) or name
        record = ConversationRecord(conversation_id=name, head_id=None, revision=str(row.id))
    else:
        if body.get(_END) == end:
            return record
    revision = f"{record.revision} {end}"
    return replace(record, head_id=end, revision=revision, updated_at=row.updated_at)


def _body_of(record: ConversationRecord, end: UUID | None) -> str:
    [value] = _RECORDS.dump_python([record], mode="json")
    return to_json(value | {_END: None if end is None else str(end)})


def _new_message(user_id: UUID, entry: ConversationEntry) -> NewMessage:
    """Return the message of an entry; a name that is no UUID is kept in its metadata."""
    new = _shown.new_message(_codec.dump(entry.message), id=message_id(user_id, entry.id))
    metadata = {} if canonical_uuid(entry.id) else {"entry_id": entry.id}
    return new._replace(metadata=metadata)


def _entry_id(row: records.Message) -> str:
    return str(row.metadata.get("entry_id", row.id))
