"""Conversations of the scope's user."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from faceplate import records
from faceplate.column_types import Ruled
from faceplate.errors import Conflict, NotFound
from faceplate.models import Conversation
from faceplate.pagination import (
    DEFAULT_LIMIT,
    Page,
    after_moment,
    check_limit,
    moment_key,
    page_of,
)
from faceplate.scope import Scope, one_statement, read_only, replayable, shareable
from faceplate.services import _forking, _path_changes
from faceplate.services import conversation_statements as sql
from faceplate.services._arguments import check_kind, checked_position, optional_position
from faceplate.services._bodies import body_errors

LISTING = "conversations"
BODY = "conversations.body"


class NewConversation(NamedTuple):
    """A conversation to make with its first message: ``opens=`` of `messages.append`.

    Its fields are those of `open` where it has a ``source`` and a ``key``, else of `create`.
    """

    source: str | None = None
    key: str | None = None
    title: str = "New Chat"
    metadata: dict[str, Any] | None = None
    body: str | None = None
    created_at: datetime | None = None

    def __repr__(self) -> str:
        return f"NewConversation(source={self.source!r})"

    def values(self) -> dict[str, Any]:
        """Return the values of its columns, without an id."""
        return self._asdict() | {"metadata": {} if self.metadata is None else self.metadata}


def id_of(user_id: UUID, *, source: str, key: str) -> UUID:
    """Return the id of a user's conversation that has the name ``key`` at ``source``.

    It is a UUIDv5 of the user, the source and the key. Raises InvalidInput.
    """
    check_kind("user_id", user_id, UUID)
    for name, value in (("source", source), ("key", key)):
        rule = Conversation.__table__.c[name].type
        if isinstance(rule, Ruled):
            rule.required().check(value)
    # An f-string would give the name of an enumeration's member, and not the text that is stored.
    return uuid5(user_id, "\0".join((source, key)))


@one_statement
async def create(
    scope: Scope,
    *,
    title: str = "New Chat",
    metadata: dict[str, Any] | None = None,
    body: str | None = None,
    created_at: datetime | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> records.Conversation:
    """Create a conversation and return it.

    ``title`` has 1 to 255 characters and is not blank. ``body`` is the JSON of another program, as
    text that is kept to the letter, up to the setting ``max_body_mb``. ``created_at`` is when the
    conversation began, by default now. A caller that gives an ``id`` may retry the call: the retry
    returns what the first call stored.

    Raises Conflict if the id exists with another title, metadata or body; InvalidInput.
    """
    new_id = id or scope.new_id()
    new = NewConversation(title=title, metadata=metadata, body=body, created_at=created_at).values()
    with body_errors(scope, BODY, body):
        created = await scope.first(sql.CREATE, id=new_id, **new)
    if created is not None:
        return created
    stored = await scope.one(sql.GET, id=new_id)
    given = (title, new["metadata"], body)
    if id is not None and (stored.title, stored.metadata, stored.body) != given:
        raise Conflict("a conversation with this id exists already", constraint="pk_conversations")
    return stored


@one_statement
async def open(  # noqa: A001 - `conversations.open` reads as what it does
    scope: Scope,
    *,
    source: str,
    key: str,
    title: str = "New Chat",
    metadata: dict[str, Any] | None = None,
    body: str | None = None,
    created_at: datetime | None = None,
) -> records.Conversation:
    """Return the conversation that has the name ``key`` at ``source``; make it if there is none.

    ``source`` is the program that it is from, 1 to 100 characters, and ``key`` any text up to 2,000
    characters. Its id follows from both: see `id_of`. One that exists is returned as it is; for a
    new one, the other arguments are those of `create`.

    Raises InvalidInput.
    """
    new_id = id_of(scope.user_id, source=source, key=key)
    new = NewConversation(source, key, title, metadata, body, created_at).values()
    with body_errors(scope, BODY, body):
        found = await scope.first(sql.OPEN, id=new_id, **new)
    if found is not None:
        return found
    # Another transaction has made it since the statement began.
    return await scope.one(sql.GET, id=new_id)


@read_only
async def get(scope: Scope, conversation_id: UUID) -> records.Conversation:
    """Return a conversation. Raises NotFound, InvalidInput."""
    return await scope.one(sql.GET, id=conversation_id)


@read_only
@shareable
async def page(
    scope: Scope,
    *,
    source: str | None = None,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[records.Conversation]:
    """Return up to ``limit`` conversations (1 to 200); with a ``source``, only from there.

    The one with the newest activity comes first. ``cursor`` is the ``next_cursor`` of the page
    before, of the same ``source``. A conversation with new activity moves to the first page, so
    later pages no longer show it.

    Raises InvalidInput for an invalid source, limit or cursor.
    """
    listing = LISTING if source is None else f"{LISTING} {source}"
    more = check_limit(limit) + 1
    if source is None and cursor is None:
        rows = await scope.all(sql.FIRST_PAGE, limit=more)
    else:
        after_time, after_id = after_moment(scope, listing, cursor)
        asked = {"after_time": after_time, "after_id": after_id, "limit": more}
        if source is None:
            rows = await scope.all(sql.PAGE, **asked)
        else:
            rows = await scope.all(sql.PAGE_OF_SOURCE, source=source, **asked)
    return page_of(scope, listing, rows, limit, lambda row: moment_key(row.updated_at, row.id))


@read_only
async def search(
    scope: Scope, text: str, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[records.Conversation]:
    """Return up to ``limit`` conversations (1 to 200) whose title has ``text``, in any case.

    ``text`` has 1 to 255 characters and is not blank. The conversations are in the order of `page`,
    which the search reads until it has found enough. ``cursor`` is the ``next_cursor`` of the page
    before, of the same text.

    Raises InvalidInput for an invalid text, limit or cursor.
    """
    check_kind("text", text, str)
    listing = f"{LISTING} with {text}"
    after_time, after_id = after_moment(scope, listing, cursor)
    asked = {"after_time": after_time, "after_id": after_id, "limit": check_limit(limit) + 1}
    rows = await scope.all(sql.SEARCH, text=text, **asked)
    return page_of(scope, listing, rows, limit, lambda row: moment_key(row.updated_at, row.id))


async def lock(scope: Scope, conversation_id: UUID) -> records.Conversation:
    """Return a conversation, which no other transaction can change until this one ends.

    Appends, switches and removals wait meanwhile; `messages.replace` and the saves of a draft do
    not. It serves compare-and-swap: lock, compare, write. Raises NotFound, InvalidInput.
    """
    return await scope.one(sql.LOCK, id=conversation_id)


async def switch(scope: Scope, conversation_id: UUID, position: int) -> records.Conversation:
    """Have the path end at the message at ``position`` from now on; return the conversation.

    The next message follows it. To read on in another branch, switch to the ``leaf`` that
    `messages.branches` gives. Nothing is removed.

    Raises NotFound if the conversation or the message does not exist, InvalidInput.
    """
    position = checked_position("position", position)
    tree = await _path_changes.lock(scope, conversation_id)
    if not await tree.has(position):
        raise NotFound(records.Message)
    return await tree.move_head(position)


@replayable
async def fork(
    scope: Scope,
    conversation_id: UUID,
    *,
    at: int | None = None,
    title: str | None = None,
    id: UUID | None = None,  # noqa: A002 - the column's name
) -> records.Conversation:
    """Copy the path up to ``at``, or all of it, into a conversation of its own; return that one.

    The copy has the title, metadata and body of its source, or ``title``; no source and key. Its
    messages keep ids and times, and have the positions 1, 2, 3 ...; one that is streaming is
    interrupted, and has no numbers of tokens. A caller that gives an ``id`` may retry the call.

    Raises NotFound if the conversation or the message at ``at`` does not exist, Conflict if the id
    is that of another conversation, InvalidInput.
    """
    end = optional_position("at", at)
    new_id = id or scope.new_id()
    made = await _forking.fork(scope, conversation_id, end, title, new_id)
    return await scope.one(sql.GET, id=new_id) if made is None else made


async def replace_body(
    scope: Scope, conversation_id: UUID, body: str | None
) -> records.Conversation:
    """Replace the JSON of another program, or take it away; return the conversation.

    Raises NotFound, InvalidInput.
    """
    with body_errors(scope, BODY, body):
        return await scope.one(sql.REPLACE_BODY, id=conversation_id, body=body)


async def rename(scope: Scope, conversation_id: UUID, title: str) -> records.Conversation:
    """Set the title, 1 to 255 characters and not blank; return the conversation.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(sql.RENAME, id=conversation_id, title=title)


async def replace_metadata(
    scope: Scope, conversation_id: UUID, metadata: dict[str, Any]
) -> records.Conversation:
    """Replace the metadata, a JSON object; return the conversation.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(sql.REPLACE_METADATA, id=conversation_id, metadata=metadata)


async def delete(scope: Scope, conversation_id: UUID) -> None:
    """Delete a conversation with all its messages. Raises NotFound, InvalidInput."""
    if not await scope.execute(sql.DELETE, id=conversation_id):
        raise NotFound(records.Conversation)
