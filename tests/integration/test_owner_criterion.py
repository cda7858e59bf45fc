"""The owner criterion by itself: every kind of statement, over every owned table, by every way.

With row-level security switched off, nothing else keeps the rows of two users apart. Each statement
runs in a transaction that is looked at from within and then undone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import quoted_name
from tests.databases import outside
from tests.integration.conftest import House
from tests.owned import Mark, Note, Target, targets
from tests.owned_reads import OF_THEIRS, READS
from tests.owned_writes import WRITES
from tests.units import settle_in
from uuid6 import uuid7

from faceplate import (
    Conflict,
    Database,
    FaceplateError,
    InvalidInput,
    NotFound,
    Scope,
    Statement,
    UsageError,
)
from faceplate._driver.dialect import DIALECT

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # Some of the statements join everything with everything, or give a row no owner.
    pytest.mark.filterwarnings("ignore:.*cartesian product:sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore:Column .* primary key:sqlalchemy.exc.SAWarning"),
]


class Realm(NamedTuple):
    db: Database
    """Without row-level security."""
    me: UUID
    words: str
    """What is in every row of mine."""
    targets: list[Target]


class Row:
    """A record that takes whatever columns there are."""

    _make: Any = staticmethod(list)


class Undo(Exception):  # noqa: N818 - nothing went wrong
    """What a unit found, and that nothing of it is to be kept."""

    def __init__(self, found: Any, rows: list[Any]) -> None:
        self.found = found
        self.rows = rows


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def realm(house: House) -> AsyncIterator[Realm]:
    mine, theirs = await settle_in(house.policed), house.theirs
    note, mark = uuid7(), uuid7()
    async with outside(house.policed.settings) as operator:
        await operator.execute("CREATE SCHEMA project")
        try:
            for model in (Note, Mark):
                table: Any = model.__table__
                await operator.execute(str(CreateTable(table).compile(dialect=DIALECT)))
            for who, ids in ((mine, (uuid7(), uuid7())), (theirs, (note, mark))):
                for table, id_ in zip(("notes", "marks"), ids, strict=True):
                    sql = f"INSERT INTO project.{table} (user_id, id, body) VALUES ($1, $2, $3)"
                    await operator.execute(sql, who.user_id, id_, who.subject_id)
            everything = targets(mine.user_id, theirs, note, mark)
            yield Realm(house.unpoliced, mine.user_id, mine.subject_id, everything)
        finally:
            await operator.execute("DROP SCHEMA project CASCADE")


async def _foreign_rows(scope: Scope, realm: Realm) -> list[Any]:
    """The other user's rows, and how many there are of anybody but me."""
    found = []
    for target in realm.targets:
        owner, table = target.owner, target.table.fullname
        for sql in (
            f"SELECT to_jsonb(t)::text FROM {table} t WHERE {owner} = :their ORDER BY 1",
            f"SELECT count(*) FROM {table} WHERE {owner} <> :me",
        ):
            values = {"their": target.their} if ":their" in sql else {"me": scope.user_id}
            found += list((await scope.session.execute(sa.text(sql), values)).scalars())
    return found


async def all_rows(scope: Scope, statement: Any) -> Any:
    return await scope.all(Statement(Row, statement))


async def execute(scope: Scope, statement: Any) -> Any:
    return await scope.execute(Statement(Row, statement))


async def stream(scope: Scope, statement: Any) -> Any:
    return [row async for row in scope.stream(Statement(Row, statement))]


async def session(scope: Scope, statement: Any, values: Any = None) -> Any:
    return _fetched(await scope.session.execute(statement, values))


async def connection(scope: Scope, statement: Any, values: Any = None) -> Any:
    return _fetched(await (await scope.session.connection()).execute(statement, values))


async def another_session(scope: Scope, statement: Any, values: Any = None) -> Any:
    bind = await scope.session.connection()
    return await bind.run_sync(lambda sync: _fetched(Session(bind=sync).execute(statement, values)))


def _fetched(result: Any) -> Any:
    rows = result.all() if getattr(result, "returns_rows", True) else []
    return [[vars(value) if hasattr(value, "__dict__") else value for value in row] for row in rows]


Way = Callable[..., Awaitable[Any]]
READING = (all_rows, stream, session, connection, another_session)
WRITING = (all_rows, execute, session, connection, another_session)


async def attempt(realm: Realm, work: Callable[[Scope], Awaitable[Any]]) -> Undo:
    """Run ``work`` in a unit of mine and undo it. Raises what is refused."""

    async def unit(scope: Scope) -> None:
        found = await work(scope)
        await scope.session.flush()
        raise Undo(found, await _foreign_rows(scope, realm))

    with pytest.raises(Undo) as undone:
        await realm.db.run(realm.me, unit)
    return undone.value


@pytest.mark.parametrize("way", READING)
@pytest.mark.parametrize("kind", READS)
async def test_no_statement_reads_another_users_row(realm: Realm, kind: str, way: Way) -> None:
    """Else with the policies off a `Table` in place of a model shows everybody's chats."""
    for target in realm.targets:
        statement = READS[kind](target)
        try:
            done = await attempt(realm, lambda scope: way(scope, statement))  # noqa: B023 - awaited here
        except (UsageError, InvalidInput):
            continue
        except FaceplateError:
            assert way is stream  # no cursor for what writes
            continue
        assert target.secret not in str(done.found)
        assert str(target.their) not in str(done.found)
        if kind not in OF_THEIRS:
            assert realm.words in str(done.found) or str(realm.me) in str(done.found)


@pytest.mark.parametrize("way", WRITING)
@pytest.mark.parametrize("kind", WRITES)
async def test_no_statement_writes_another_users_row(realm: Realm, kind: str, way: Way) -> None:
    """Else with the policies off a unit puts words in somebody else's mouth, or takes them away."""
    before = (await attempt(realm, lambda scope: all_rows(scope, sa.select(sa.null())))).rows
    for target in realm.targets:
        statement = WRITES[kind](target)
        try:
            done = await attempt(realm, lambda scope: way(scope, statement))  # noqa: B023 - awaited here
        except (UsageError, InvalidInput):
            continue
        except (Conflict, NotFound):
            continue  # with a row of mine, or for want of one
        except FaceplateError:
            assert kind.startswith("upsert_")  # no such constraint
            continue
        assert done.rows == before
        assert target.secret not in str(done.found)


@pytest.mark.parametrize("way", READING)
async def test_a_table_that_names_no_columns_is_limited(realm: Realm, way: Way) -> None:
    """Else a query builder, which has table names and no model, cannot reach the table."""
    for target in realm.targets:
        for kind in ("bare_table", "bare_alias", "bare_join"):
            statement = READS[kind](target)
            done = await attempt(realm, lambda scope: way(scope, statement))  # noqa: B023 - awaited here
            assert realm.words in str(done.found)


@pytest.mark.parametrize("kind", [kind for kind in [*READS, *WRITES] if kind != "drop"])
async def test_without_the_criterion_each_statement_would(
    realm: Realm, kind: str, without_criterion: Callable[[], None]
) -> None:
    """Else the tests above would prove nothing."""
    make = (READS | WRITES)[kind]
    before = (await attempt(realm, lambda scope: all_rows(scope, sa.select(sa.null())))).rows
    without_criterion()
    reached = []
    for target in realm.targets:
        statement = make(target)
        try:
            done = await attempt(realm, lambda scope: connection(scope, statement))  # noqa: B023 - awaited here
        except FaceplateError:
            continue
        reached.append(target.secret in str(done.found) or done.rows != before)
    assert any(reached)


NAMED_SO = (
    "param_1",
    "param_2",
    "user_id",
    "user_id_1",
    "id_1",
    "owner",
    "model_user_id_1",
    "faceplate.owner",
)
"""What a parameter may be called that stands for the owner, or that a program thinks does."""


@pytest.mark.parametrize("way", [session, connection, another_session])
@pytest.mark.parametrize("kind", ["select", "select.params", "update", "delete"])
@pytest.mark.parametrize("name", NAMED_SO)
async def test_no_value_stands_for_the_owner(realm: Realm, name: str, kind: str, way: Way) -> None:
    """Else a value whose name is that of a parameter which SQLAlchemy named is another owner."""
    before = (await attempt(realm, lambda scope: all_rows(scope, sa.select(sa.null())))).rows
    for target in realm.targets:
        value = {name: target.their}
        statement = {
            "select": sa.select(target.model),
            "select.params": sa.select(target.model).params(value),
            "update": sa.update(target.model).values({target.word: sa.func.gen_random_uuid()}),
            "delete": sa.delete(target.model),
        }[kind]
        try:
            done = await attempt(realm, lambda scope: way(scope, statement, value))  # noqa: B023 - awaited here
        except FaceplateError:
            assert kind == "update"  # of which a value is one of a column
            continue
        assert done.rows == before
        assert str(target.their) not in str(done.found)


TRANSLATED: dict[str, Callable[[Any], Any]] = {
    "select": sa.select,
    "insert": lambda table: sa.insert(table).values(id=uuid7()),
    "update": lambda table: sa.update(table).values(id=uuid7()),
    "delete": sa.delete,
}


@pytest.mark.parametrize("way", [session, connection, another_session])
@pytest.mark.parametrize("kind", TRANSLATED)
async def test_no_other_schema_stands_for_one_with_owned_tables(
    realm: Realm, kind: str, way: Way
) -> None:
    """Else a table that nobody knows to be owned becomes a project's when it is sent."""
    for target in realm.targets:
        table = target.table.to_metadata(sa.MetaData(), schema="elsewhere")
        schema = target.table.schema
        for name in (schema, quoted_name(schema.upper(), False)):  # noqa: FBT003 - its own way
            translated = {"schema_translate_map": {"elsewhere": name}}
            statement = TRANSLATED[kind](table).execution_options(**translated)
            with pytest.raises(UsageError, match="no schema can be translated"):
                await attempt(realm, lambda scope: way(scope, statement))  # noqa: B023 - awaited here
        statement = sa.select(target.words).execution_options(schema_translate_map=None)
        assert (await attempt(realm, lambda scope: way(scope, statement))).found  # noqa: B023 - awaited here
