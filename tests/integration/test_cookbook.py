"""The cookbook: what is copied from it works, and no unit is missing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from tests.blocks import python_blocks, run_block
from tests.units import units

from faceplate import Database, Settings, encryption
from faceplate.services import users

PAGE = Path(__file__).parents[2] / "docs" / "units.md"


@pytest.fixture
async def db(fresh_database_url: str) -> AsyncIterator[Database]:
    """A database that is empty but for what the examples put into it."""
    keys = (SecretStr(encryption.generate_key()),)
    async with Database(
        Settings(database_url=SecretStr(fresh_database_url), encryption_keys=keys)
    ) as database:
        yield database


@pytest.fixture
async def user_id(db: Database) -> UUID:
    return (await db.run_system(users.create, subject_id="idp|me")).id


async def test_the_examples_run_in_their_order(db: Database, user_id: UUID) -> None:
    """A reader who copies an example gets what the page says."""
    namespace: dict[str, Any] = {"__name__": "units", "db": db, "user_id": user_id}
    for line, source in python_blocks(PAGE):
        await run_block(source, str(PAGE), line, namespace)


@pytest.mark.parametrize("unit", units())
def test_every_unit_has_its_example(unit: str) -> None:
    """A unit that the page leaves out is one that nobody finds."""
    paragraph = PAGE.read_text(encoding="utf-8").partition(f"**{unit}** ")[2]
    example = paragraph.partition("```python")[2].partition("```")[0]
    assert unit in example
