"""MCP server configurations of the scope's user.

``config`` holds the plain part, in the shapes that MCP clients use::

    {"transport": "stdio", "command": "uvx", "args": ["some-server"]}
    {"transport": "sse", "url": "https://example.com/sse"}
    {"transport": "streamable_http", "url": "https://example.com/mcp"}

``secrets`` holds the rest: ``env`` for a command, ``headers`` for a URL, tokens. It is encrypted
(see `faceplate.encryption`), and only `get_secrets` reads it. ``config`` is refused if a key, a
parameter of a URL, an argument or a variable before a command has the name of a secret, unless its
value is a placeholder such as ``${TOKEN}``. A secret without such a name, as in the path of a URL,
is not recognised: keep that ``url``, or those ``args``, among the secrets.
"""

from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import encryption, records
from faceplate.column_types import JsonObject
from faceplate.errors import DatabaseError, NotFound
from faceplate.models import McpConfig
from faceplate.pagination import DEFAULT_LIMIT, Page, check_limit, page_of, unseal
from faceplate.scope import Scope, SystemScope, read_only
from faceplate.services._arguments import check_kind
from faceplate.services._mcp_shapes import check_config, check_secrets
from faceplate.statement import Statement

_by_id = McpConfig.id == bindparam("id")
_columns = McpConfig.columns()
_new = insert(McpConfig).values(
    user_id=bindparam("user_id"),
    id=bindparam("id"),
    name=bindparam("name"),
    config=bindparam("config"),
    secrets=bindparam("secrets"),
    enabled=bindparam("enabled"),
)


_of_user = McpConfig.user_id == bindparam("of_user", type_=McpConfig.user_id.type)
_secrets = McpConfig.secrets.type


class _Stored(NamedTuple):
    user_id: UUID
    id: UUID
    secrets: bytes | None


PUT = Statement(
    records.McpConfig,
    _new.on_conflict_do_update(
        constraint="uq_mcp_configs_user_id_name",
        set_={
            "config": _new.excluded.config,
            "secrets": sa.case(
                (bindparam("keep", type_=sa.Boolean()), McpConfig.secrets),
                else_=_new.excluded.secrets,
            ),
            "enabled": _new.excluded.enabled,
            "updated_at": _new.excluded.updated_at,
        },
    ).returning(*_columns),
)
GET = Statement(records.McpConfig, sa.select(*_columns).where(_by_id))
BY_NAME = Statement(
    records.McpConfig, sa.select(*_columns).where(McpConfig.name == bindparam("name"))
)
SECRETS = Statement(
    _Stored, sa.select(McpConfig.user_id, McpConfig.id, McpConfig.secrets).where(_by_id)
)
PAGE = Statement(
    records.McpConfig,
    sa.select(*_columns)
    .where(
        McpConfig.name > bindparam("after", type_=sa.Text()),
        McpConfig.enabled | ~bindparam("enabled_only", type_=sa.Boolean()),
    )
    .order_by(McpConfig.name)
    .limit(bindparam("limit", type_=sa.Integer())),
)
RENAME = Statement(
    records.McpConfig,
    sa.update(McpConfig).where(_by_id).values(name=bindparam("name")).returning(*_columns),
)
SET_SECRETS = Statement(
    records.McpConfig,
    sa.update(McpConfig).where(_by_id).values(secrets=bindparam("secrets")).returning(*_columns),
)
SET_ENABLED = Statement(
    records.McpConfig,
    sa.update(McpConfig).where(_by_id).values(enabled=bindparam("enabled")).returning(*_columns),
)
DELETE = Statement(records.McpConfig, sa.delete(McpConfig).where(_by_id))

COUNT_SECRETS = Statement(
    int, sa.select(func.count()).where(McpConfig.secrets.is_not(None)).select_from(McpConfig)
)
NEXT_SECRETS = Statement(
    _Stored,
    sa.select(McpConfig.user_id, McpConfig.id, McpConfig.secrets)
    .where(
        McpConfig.secrets.is_not(None),
        sa.tuple_(McpConfig.user_id, McpConfig.id)
        > sa.tuple_(
            bindparam("after_user", type_=McpConfig.user_id.type),
            bindparam("after_id", type_=McpConfig.id.type),
        ),
    )
    .order_by(McpConfig.user_id, McpConfig.id)
    .limit(bindparam("limit", type_=sa.Integer())),
)
SECRETS_OF = Statement(
    _Stored,
    sa.select(McpConfig.user_id, McpConfig.id, McpConfig.secrets).where(_of_user, _by_id),
)
REPLACE_SECRETS = Statement(
    _Stored,
    sa.update(McpConfig)
    .where(_of_user, _by_id, McpConfig.secrets == bindparam("replaced", type_=_secrets))
    .values(secrets=bindparam("secrets"), updated_at=McpConfig.updated_at),
)


async def put(
    scope: Scope,
    name: str,
    config: JsonObject,
    *,
    secrets: JsonObject | None = None,
    enabled: bool = True,
) -> records.McpConfig:
    """Store a configuration under ``name``, or replace the one there.

    The name has 1 to 100 characters. ``secrets`` of None keeps the stored secrets; ``{}`` removes
    them.

    Raises InvalidInput for a config or secrets that no MCP client could use, and for a config that
    holds a secret; ConfigurationError for secrets without an encryption key.
    """
    check_config(config)
    if secrets is not None:
        check_secrets(secrets)
    new_id = scope.new_id()
    stored = await scope.one(
        PUT,
        id=new_id,
        name=name,
        config=config,
        secrets=_encrypted(scope, new_id, secrets),
        enabled=enabled,
        keep=secrets is None,
    )
    if not secrets or stored.id == new_id:
        return stored
    # The replaced configuration keeps its id, and its secrets are encrypted for that id.
    return await scope.one(SET_SECRETS, id=stored.id, secrets=_encrypted(scope, stored.id, secrets))


@read_only
async def get(scope: Scope, config_id: UUID) -> records.McpConfig:
    """Return a configuration without its secrets. Raises NotFound, InvalidInput."""
    return await scope.one(GET, id=config_id)


@read_only
async def by_name(scope: Scope, name: str) -> records.McpConfig:
    """Return the configuration called ``name``, without its secrets.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(BY_NAME, name=name)


@read_only
async def get_secrets(scope: Scope, config_id: UUID) -> JsonObject:
    """Return the decrypted secrets of a configuration, ``{}`` if it has none.

    Raises NotFound, InvalidInput; ConfigurationError without an encryption key; DatabaseError if
    none of the keys fits, or if the secrets belong to another configuration.
    """
    stored = await scope.first(SECRETS, id=config_id)
    if stored is None:
        raise NotFound(records.McpConfig)
    if stored.secrets is None:
        return {}
    return encryption.decrypt(scope.settings, scope.user_id, config_id, stored.secrets)


@read_only
async def page(
    scope: Scope,
    *,
    enabled_only: bool = False,
    limit: int = DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[records.McpConfig]:
    """Return up to ``limit`` configurations (1 to 200), by name.

    ``cursor`` is the ``next_cursor`` of the page before, for the same ``enabled_only``.

    Raises InvalidInput for an invalid limit or cursor.
    """
    check_kind("enabled_only", enabled_only, bool)
    listing = f"mcp_configs {'enabled' if enabled_only else 'all'}"
    after = "" if cursor is None else unseal(scope, listing, cursor)
    rows = await scope.all(
        PAGE, after=after, enabled_only=enabled_only, limit=check_limit(limit) + 1
    )
    return page_of(scope, listing, rows, limit, lambda row: row.name)


async def rename(scope: Scope, config_id: UUID, name: str) -> records.McpConfig:
    """Rename a configuration; return it.

    Raises NotFound, Conflict where another one has the name, InvalidInput.
    """
    return await scope.one(RENAME, id=config_id, name=name)


async def enable(scope: Scope, config_id: UUID) -> records.McpConfig:
    """Enable a configuration; return it. Raises NotFound, InvalidInput."""
    return await scope.one(SET_ENABLED, id=config_id, enabled=True)


async def disable(scope: Scope, config_id: UUID) -> records.McpConfig:
    """Disable a configuration; return it. Raises NotFound, InvalidInput."""
    return await scope.one(SET_ENABLED, id=config_id, enabled=False)


async def delete(scope: Scope, config_id: UUID) -> None:
    """Delete a configuration with its secrets. Raises NotFound, InvalidInput."""
    if not await scope.execute(DELETE, id=config_id):
        raise NotFound(records.McpConfig)


async def count_secrets(scope: SystemScope) -> int:
    """Return how many configurations of all users have secrets.

    Run it with ``run_system``.
    """
    return await scope.one(COUNT_SECRETS)


async def rotate_secrets(
    scope: SystemScope, after: tuple[UUID, UUID] = (UUID(int=0), UUID(int=0)), *, limit: int = 100
) -> list[tuple[UUID, UUID]]:
    """Re-encrypt up to ``limit`` secrets with the first key, across users.

    Return the (user_id, id) of each, in order. Pass the last one as ``after`` to the next call; an
    empty list means that all are done. Run it with ``run_system``.

    Raises ConfigurationError without a key; DatabaseError, which names the configuration, if none
    of the keys fits or if the secrets belong to another configuration. The call has then changed
    nothing.
    """
    done: list[tuple[UUID, UUID]] = []
    check_kind("after", after, tuple)
    after_user, after_id = after
    batch: list[Any] = await scope.all(
        NEXT_SECRETS, after_user=after_user, after_id=after_id, limit=check_limit(limit)
    )
    for row in batch:
        await _rotate(scope, row)
        done.append((row.user_id, row.id))
    return done


async def _rotate(scope: SystemScope, row: _Stored | None) -> None:
    """Re-encrypt the secrets of a row, which may change meanwhile: Citus locks no rows of many."""
    while row is not None and row.secrets is not None:
        try:
            secrets = encryption.reencrypt(scope.settings, row.user_id, row.id, row.secrets)
        except DatabaseError as error:
            raise DatabaseError(
                f"MCP configuration {row.id} of user {row.user_id}: {error.message}"
            ) from None
        key = {"of_user": row.user_id, "id": row.id}
        if await scope.execute(REPLACE_SECRETS, **key, secrets=secrets, replaced=row.secrets):
            return
        row = await scope.first(SECRETS_OF, **key)


def _encrypted(scope: Scope, config_id: UUID, secrets: JsonObject | None) -> bytes | None:
    if not secrets:
        return None
    return encryption.encrypt(scope.settings, scope.user_id, config_id, secrets)
