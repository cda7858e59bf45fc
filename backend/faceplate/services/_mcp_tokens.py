"""OAuth tokens for MCP servers, encrypted, as documents of a kind of their own.

Each server has two documents: the tokens, and the registration of the client. A write of one
leaves the other alone. The key is a digest of the server's URL, which may hold a secret itself.
"""

import json
from hashlib import sha256
from typing import Any, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func

from faceplate import encryption
from faceplate.column_types import JsonObject
from faceplate.config import Settings
from faceplate.errors import DatabaseError, InvalidInput
from faceplate.models import Document
from faceplate.pagination import check_limit
from faceplate.scope import Scope, SystemScope
from faceplate.services import documents
from faceplate.services._arguments import check_kind
from faceplate.statement import Statement

KIND = "faceplate.mcp-tokens"
MAX_URL_CHARS = 65_536
START = (UUID(int=0), "")

Part = Literal["tokens", "client"]
Place = tuple[UUID, str]
"""The user and the key of a document."""

_of_kind = Document.kind == bindparam("kind")


class _Stored(NamedTuple):
    id: UUID
    user_id: UUID
    key: str
    version: int
    body: str


_columns = (Document.id, Document.user_id, Document.key, Document.version, Document.body)
_of_key = sa.and_(_of_kind, Document.key == bindparam("key"))
_is_of_user = Document.user_id == bindparam("of_user", type_=Document.user_id.type)

BODY = Statement(str, sa.select(Document.body).where(_of_key))
DELETE = Statement(
    int,
    sa.delete(Document).where(
        _of_kind, Document.key.in_([bindparam("tokens_key"), bindparam("client_key")])
    ),
)
COUNT = Statement(int, sa.select(func.count()).select_from(Document).where(_of_kind))
NEXT = Statement(
    _Stored,
    sa.select(*_columns)
    .where(
        _of_kind,
        sa.tuple_(Document.user_id, Document.kind, Document.key)
        > sa.tuple_(
            bindparam("after_user", type_=Document.user_id.type),
            bindparam("kind", type_=Document.kind.type),
            bindparam("after_key", type_=sa.Text()),
        ),
    )
    .order_by(Document.user_id, Document.kind, Document.key)
    .limit(bindparam("limit", type_=sa.Integer())),
)
FIND = Statement(_Stored, sa.select(*_columns).where(_is_of_user, _of_key))
REPLACE = Statement(
    int,
    sa.update(Document)
    .where(_is_of_user, Document.id == bindparam("id"), Document.version == bindparam("expected"))
    .values(body=bindparam("body"), version=Document.version + 1, updated_at=Document.updated_at),
)


async def get(scope: Scope, server_url: str, part: Part) -> JsonObject | None:
    """Return a part of what is stored for a server, None if there is none.

    Raises InvalidInput; ConfigurationError without an encryption key; DatabaseError if none of the
    keys fits.
    """
    key = _key(server_url, part)
    body = await scope.first(BODY, kind=KIND, key=key)
    return None if body is None else _decrypted(scope.settings, scope.user_id, key, body)


async def put(scope: Scope, server_url: str, part: Part, value: JsonObject) -> None:
    """Store a part for a server, or replace the one there.

    Raises InvalidInput; ConfigurationError without an encryption key.
    """
    key = _key(server_url, part)
    body = _encrypted(scope.settings, scope.user_id, key, value)
    await documents.put(scope, KIND, key, body)


async def remove(scope: Scope, server_url: str) -> None:
    """Remove both parts of a server, if they are there. Raises InvalidInput."""
    tokens, client = _key(server_url, "tokens"), _key(server_url, "client")
    await scope.execute(DELETE, kind=KIND, tokens_key=tokens, client_key=client)


async def count(scope: SystemScope) -> int:
    """Return how many parts all users have. Run it with ``run_system``."""
    return await scope.one(COUNT, kind=KIND)


async def rotate(scope: SystemScope, after: Place = START, *, limit: int = 100) -> list[Place]:
    """Re-encrypt up to ``limit`` parts with the first key, across users.

    Return the place of each, in order. Pass the last one as ``after`` to the next call; an empty
    list means that all are done. Run it with ``run_system``.

    Raises ConfigurationError without a key; DatabaseError, which names the document, if none of the
    keys fits. The call has then changed nothing.
    """
    done: list[Place] = []
    after_user, after_key = after
    batch: list[Any] = await scope.all(
        NEXT, kind=KIND, after_user=after_user, after_key=after_key, limit=check_limit(limit)
    )
    for found in batch:
        row: _Stored | None = found
        # A program may store new tokens meanwhile; then those are re-encrypted. If it removed the
        # old ones first, the new row may have the same version, but not the same id.
        while row is not None:
            body = _reencrypted(scope.settings, row)
            read = {"of_user": row.user_id, "id": row.id, "expected": row.version}
            if await scope.execute(REPLACE, **read, body=body):
                break
            row = await scope.first(FIND, of_user=found.user_id, kind=KIND, key=found.key)
        done.append((found.user_id, found.key))
    return done


def _key(server_url: str, part: Part) -> str:
    check_kind("server_url", server_url, str)
    if not server_url.strip() or len(server_url) > MAX_URL_CHARS:
        raise InvalidInput("server_url", f"must have 1 to {MAX_URL_CHARS:,} characters")
    return f"{sha256(server_url.encode(errors='surrogatepass')).hexdigest()}/{part}"


def row_name(user_id: UUID, key: str) -> str:
    """Return the name of the row that a part is encrypted for."""
    return f"{KIND} {user_id} {key}"


def _encrypted(settings: Settings, user_id: UUID, key: str, value: JsonObject) -> str:
    encrypted = encryption.encrypt_for(settings, row_name(user_id, key), value)
    return json.dumps(encrypted.decode())


def _decrypted(settings: Settings, user_id: UUID, key: str, body: str) -> JsonObject:
    return encryption.decrypt_for(settings, row_name(user_id, key), encrypted_in(body))


def encrypted_in(body: str) -> bytes:
    """Return the encrypted bytes that a body holds, none where it holds something else."""
    text = json.loads(body)
    return text.encode() if isinstance(text, str) else b""


def _reencrypted(settings: Settings, row: _Stored) -> str:
    try:
        value = _decrypted(settings, row.user_id, row.key, row.body)
    except DatabaseError as error:
        raise DatabaseError(
            f"MCP tokens {row.key} of user {row.user_id}: {error.message}"
        ) from None
    return _encrypted(settings, row.user_id, row.key, value)
