"""Documents of the scope's user: what programs keep beside chats, by kind and key.

A body is JSON text, which is stored and read back to the letter and never looked into. It is not
encrypted: store a token elsewhere, and a reference to it here.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.models import Document
from faceplate.pagination import DEFAULT_LIMIT, Page, check_limit, page_of, unseal
from faceplate.scope import Scope, read_only
from faceplate.services._bodies import body_errors
from faceplate.statement import Statement

BODY = "documents.body"

_KIND: Any = Document.kind.type
_KEY: Any = Document.key.type
_of_kind = Document.kind == bindparam("kind")
_by_key = sa.and_(_of_kind, Document.key == bindparam("key"))
_columns = Document.columns()
_new = insert(Document).values(
    user_id=bindparam("user_id"),
    id=bindparam("id"),
    kind=bindparam("kind"),
    key=bindparam("key"),
    body=bindparam("body"),
)

PUT = Statement(
    int,
    _new.on_conflict_do_update(
        constraint="uq_documents_user_id_kind_key",
        set_={
            "body": _new.excluded.body,
            "version": Document.version + 1,
            "updated_at": _new.excluded.updated_at,
        },
    ).returning(Document.version),
)
CREATE = Statement(
    int,
    _new.on_conflict_do_nothing(constraint="uq_documents_user_id_kind_key").returning(
        Document.version
    ),
)
UPDATE = Statement(
    int,
    sa.update(Document)
    .where(_by_key, Document.version == bindparam("expected"))
    .values(body=bindparam("body"), version=Document.version + 1)
    .returning(Document.version),
)
GET = Statement(records.Document, sa.select(*_columns).where(_by_key))
LOCK = Statement(records.Document, sa.select(*_columns).where(_by_key).with_for_update())
VERSION = Statement(int, sa.select(Document.version).where(_by_key))
PAGE = Statement(
    records.Document,
    sa.select(*_columns)
    .where(
        _of_kind,
        Document.key >= bindparam("first", type_=sa.Text()),
        Document.key <= bindparam("last", type_=sa.Text()),
    )
    .order_by(Document.key)
    .limit(bindparam("limit", type_=sa.Integer())),
)
DELETE = Statement(int, sa.delete(Document).where(_by_key))


async def put(scope: Scope, kind: str, key: str, body: str) -> int:
    """Store a document, or replace the one there; return its version.

    ``kind`` has 1 to 100 characters and is not blank. ``key`` is any text of up to 2,000 bytes in
    UTF-8. ``body`` is JSON text of up to ``max_body_mb``. A new document has version 1, and each
    write adds 1.

    Raises InvalidInput.
    """
    with body_errors(scope, BODY, body):
        return await scope.one(PUT, id=scope.new_id(), kind=kind, key=key, body=body)


@read_only
async def get(scope: Scope, kind: str, key: str) -> records.Document:
    """Return a document. Raises NotFound, InvalidInput."""
    return await scope.one(GET, kind=kind, key=key)


async def lock(scope: Scope, kind: str, key: str) -> records.Document:
    """Return a document, which no other transaction can change until this one ends.

    It serves a change that has to be made in turn with others: lock, compute, `update`. Raises
    NotFound, InvalidInput.
    """
    return await scope.one(LOCK, kind=kind, key=key)


async def update(scope: Scope, kind: str, key: str, body: str, *, version: int) -> int:
    """Replace a document that still has ``version``; return its new version.

    This is compare-and-swap: of the writers that have read the same version, one succeeds. The
    others read the document again. Version 0 creates a document that must not exist yet. The
    versions of a document that was removed and stored again begin at 1 again.

    Raises Conflict if the document has another version, or for version 0 if it exists; NotFound if
    it does not exist; InvalidInput.
    """
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise InvalidInput("version", "must be a whole number, 0 or more")
    with body_errors(scope, BODY, body):
        if version == 0:
            written = await scope.first(CREATE, id=scope.new_id(), kind=kind, key=key, body=body)
        else:
            written = await scope.first(UPDATE, kind=kind, key=key, body=body, expected=version)
    if written is not None:
        return written
    if version > 0 and await scope.first(VERSION, kind=kind, key=key) is None:
        raise NotFound(records.Document)
    if version == 0:
        raise Conflict("a document with this kind and key exists already")
    raise Conflict(f"the document has another version than {version}")


@read_only
async def page(
    scope: Scope,
    kind: str,
    *,
    prefix: str = "",
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[records.Document]:
    """Return up to ``limit`` documents (1 to 200) of a kind, by key.

    Keys are ordered by code point. A ``prefix`` limits the page to keys that begin with it.
    ``cursor`` is the ``next_cursor`` of the page before, for the same ``kind`` and ``prefix``. All
    bodies of a page are in memory at once: ask for fewer where they are large.

    Raises InvalidInput for an invalid kind, prefix, limit or cursor.
    """
    kind, prefix = _KIND.check(kind), _KEY.check(prefix)
    listing = f"documents {(kind, prefix)!r}"
    # No text lies between a key and the same key with U+0001 behind it: PostgreSQL has no NUL.
    first = prefix if cursor is None else unseal(scope, listing, cursor) + "\x01"
    # No key that begins with the prefix is greater: it has no room for more characters.
    last = prefix + "\U0010ffff" * (_KEY.max_bytes // 4)
    rows = await scope.all(PAGE, kind=kind, first=first, last=last, limit=check_limit(limit) + 1)
    return page_of(scope, listing, rows, limit, lambda row: row.key)


async def remove(scope: Scope, kind: str, key: str) -> None:
    """Remove a document. Raises NotFound, InvalidInput."""
    if not await scope.execute(DELETE, kind=kind, key=key):
        raise NotFound(records.Document)
