"""Databases with a key for secrets."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from faceplate import Database, Settings, encryption


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    """An open Database over the shared database that has a key for secrets."""
    key = SecretStr(encryption.generate_key())
    async with Database(
        Settings(database_url=settings.database_url, encryption_keys=(key,))
    ) as database:
        yield database
