"""A COMMIT behind the last statement fails, and the unit catches its error."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from tests.databases import Operator
from tests.integration.test_commit_with_next import create_two, titles

from faceplate import Conflict, Database, Scope, UsageError, User, one_statement
from faceplate.services import tasks

REFUSING = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE unique_violation; END';
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON faceplate.tasks DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.title = 'second') EXECUTE FUNCTION public.refuse();
"""


@pytest_asyncio.fixture
async def refusing(operator: Operator) -> AsyncIterator[None]:
    await operator.execute(REFUSING)
    yield
    await operator.execute("DROP FUNCTION public.refuse CASCADE")


@pytest.mark.pipelined
@pytest.mark.usefixtures("refusing")
@pytest.mark.not_on_citus("it refuses the trigger")
async def test_a_commit_that_fails_is_told_even_if_the_unit_caught_it(
    db: Database, user: User
) -> None:
    """Else a user is told of a task that was rolled back."""

    @one_statement
    async def unit(scope: Scope) -> None:
        with suppress(Conflict):
            await create_two(scope)

    with pytest.raises(UsageError, match="COMMIT"):
        await db.run(user.id, unit)
    assert await titles(db, user) == []
    assert db.pool().checked_out == 0
    await db.run(user.id, tasks.create, title="after it")
    assert await titles(db, user) == ["after it"]
