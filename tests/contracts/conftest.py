"""Contract tests: what faceplate relies on in other packages, asked of those packages alone.

docs/private-parts.md has a row for each part, and names its tests. A test here uses no unit and no
`Database`, so that its failure is about the dependency.
"""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@pytest.fixture(scope="session")
def url(server: Any) -> str:
    """A database for tables that are temporary."""
    owner: str = server.owner.render_as_string(hide_password=False)
    return owner


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    """SQLAlchemy's own engine over asyncpg, with one connection."""

    async def connect() -> Any:
        return await asyncpg.connect(url)

    made = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, pool_size=1, max_overflow=0
    )
    yield made
    await made.dispose()
