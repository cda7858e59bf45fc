"""The tokens of a user for an MCP server, as the ``TokenStorage`` of the SDK ``mcp``.

It needs the ``mcp`` extra, and a key in FACEPLATE_ENCRYPTION_KEYS::

    storage = FaceplateTokenStorage(db, user_id, "https://example.com/mcp")
    auth = OAuthClientProvider(
        server_url=storage.server_url,
        client_metadata=metadata,
        storage=storage,
        redirect_handler=show,
        callback_handler=wait,
    )

Tokens and the registration of the client are encrypted. `faceplate rotate-keys` re-encrypts them,
`faceplate erase` removes them, and no export has them.
"""

import time
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.errors import ConfigurationError, DatabaseError
from faceplate.services import _mcp_tokens

try:
    from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
except ModuleNotFoundError as missing:
    raise ConfigurationError("MCP tokens need a package: pip install 'faceplate[mcp]'") from missing

__all__ = ["FaceplateTokenStorage"]

M = TypeVar("M", bound=BaseModel)


class FaceplateTokenStorage:
    """What one user has for one MCP server: the tokens, and the registration of the client.

    ``server_url`` is compared to the letter, with its query. Each of the two is written by itself,
    so neither loses the other. Of two writers, the last one wins as a whole.

    Every method raises the errors of `Database.run`, ConfigurationError without an encryption key,
    InvalidInput for a URL that is blank or longer than 65,536 characters, and DatabaseError if none
    of the keys fits. No error shows a token or the URL.
    """

    def __init__(self, db: Database, user_id: UUID, server_url: str) -> None:
        self.server_url = server_url
        self._db = db
        self._user_id = user_id

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens as they were stored, or None.

        ``expires_in`` counts from when they were stored: see `expires_at`.
        """
        stored = await self._get("tokens")
        return None if stored is None else _read(OAuthToken, stored["tokens"])

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Store the tokens, or replace those there."""
        expires_at = None if tokens.expires_in is None else time.time() + tokens.expires_in
        await self._put("tokens", {"tokens": _written(tokens), "expires_at": expires_at})

    async def expires_at(self) -> float | None:
        """Return when the stored access token expires, as `time.time` counts, or None.

        The SDK knows this only of tokens that its own process has received. Hand it over, and the
        SDK refreshes an expired token instead of asking the user to sign in again::

            auth.context.token_expiry_time = await storage.expires_at()
        """
        stored = await self._get("tokens")
        return None if stored is None else stored["expires_at"]

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return the registration of the client as it was stored, or None."""
        stored = await self._get("client")
        return None if stored is None else _read(OAuthClientInformationFull, stored)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Store the registration of the client, or replace the one there."""
        await self._put("client", _written(client_info))

    async def clear(self) -> None:
        """Remove the tokens and the registration, if they are there: the user signs out."""
        await self._db.run(self._user_id, _mcp_tokens.remove, self.server_url)

    async def _get(self, part: _mcp_tokens.Part) -> JsonObject | None:
        return await self._db.run(self._user_id, _mcp_tokens.get, self.server_url, part)

    async def _put(self, part: _mcp_tokens.Part, value: JsonObject) -> None:
        await self._db.run(self._user_id, _mcp_tokens.put, self.server_url, part, value)


def _written(model: BaseModel) -> JsonObject:
    # By the names of the protocol, and only what was set: a later version reads it as well.
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _read(kind: type[M], stored: JsonObject) -> M:
    try:
        return kind.model_validate(stored)
    except ValidationError:  # its message would show the token
        raise DatabaseError(
            f"this version of mcp cannot read the stored {kind.__name__}: clear it and sign in"
        ) from None
