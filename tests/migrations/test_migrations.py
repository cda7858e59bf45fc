"""The migrations: from nothing to the schema of the models and back, by every way that there is."""

import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from pytest_alembic.tests import (  # noqa: F401 - pytest collects them here
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from tests.databases import outside, settings_of
from tests.migrations.programs import alembic, dump, run

from faceplate import migrate
from faceplate._driver.engine import create_migration_engine
from faceplate.embedded._postgres import programs
from faceplate.models import SCHEMA, Base


@pytest.fixture
def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", "faceplate:migrations")
    return config


@pytest.fixture
def alembic_engine(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None: the environment connects by itself then, as it does for `alembic` on the shell."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)


async def test_an_empty_database_is_migrated_and_alembic_finds_no_difference(
    empty_database_url: str,
) -> None:
    """Else the first start fails, or the next revision undoes something by the way."""
    started = time.monotonic()
    await alembic(empty_database_url, "upgrade", "head")
    print(f"empty to head in {time.monotonic() - started:.1f} s")  # noqa: T201 - a figure to see
    assert "No new upgrade operations detected" in await alembic(empty_database_url, "check")
    assert f"{migrate.head()} (head)" in await alembic(empty_database_url, "current")


async def test_from_a_program_down_to_nothing_and_up_again(empty_database_url: str) -> None:
    """Else a deploy cannot be taken back, or not be tried again after that."""
    settings = settings_of(empty_database_url)
    assert await migrate.current(settings) is None
    await migrate.upgrade(settings)
    await migrate.upgrade(settings)
    assert await migrate.current(settings) == migrate.head()
    assert await migrate.check(settings) == []
    before = await dump(empty_database_url)
    await migrate.downgrade(settings, "base")
    assert await migrate.current(settings) is None
    emptied = await dump(empty_database_url)
    assert re.findall(r"^CREATE (?!SCHEMA).*$", emptied, re.MULTILINE) == [
        f"CREATE TABLE {SCHEMA}.alembic_version ("
    ]
    assert "faceplate_app" not in emptied
    await migrate.upgrade(settings)
    assert await dump(empty_database_url) == before


async def test_a_difference_is_found(fresh_database_url: str) -> None:
    """Else `check` is clean whatever became of the schema."""
    settings = settings_of(fresh_database_url)
    async with outside(settings) as connection:
        await connection.execute("ALTER TABLE faceplate.tasks ADD COLUMN priority int")
    (difference,) = await migrate.check(settings)
    assert "priority" in difference


CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = $1::regnamespace
"""
INDEXES = "SELECT tablename::text, indexname, indexdef FROM pg_indexes WHERE schemaname = $1"
COLUMNS = """
SELECT attrelid::regclass::text, attname, concat_ws(' ', format_type(atttypid, atttypmod),
    CASE WHEN attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(adbin, adrelid))
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = $1::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
"""


@pytest.mark.parametrize(
    "query", [CONSTRAINTS, INDEXES, COLUMNS], ids=["keys", "indexes", "columns"]
)
async def test_the_schema_is_the_one_of_the_models(fresh_database_url: str, query: str) -> None:
    """Else a rule that was changed holds in Python alone: Alembic does not compare CHECKs.

    The models' own tables, in a schema beside the migrated one, say how PostgreSQL reads them.
    """
    settings = settings_of(fresh_database_url)
    async with create_migration_engine(settings).connect() as connection:
        await connection.exec_driver_sql("CREATE SCHEMA models")
        await connection.execution_options(schema_translate_map={SCHEMA: "models"})
        await connection.run_sync(Base.metadata.create_all)

    async with outside(settings) as observer:

        async def found(schema: str) -> set[tuple[str, ...]]:
            return {
                tuple(str(value).replace(f"{schema}.", "") for value in row)
                for row in await observer.fetch(query, schema)
                if "alembic_version" not in row[0]
            }

        migrated, modelled = await found(SCHEMA), await found("models")
    assert migrated == modelled
    assert len(migrated) > len(Base.metadata.tables)


async def test_an_empty_database_keeps_no_default_for_rows_before_a_column(
    fresh_database_url: str,
) -> None:
    """Else a list and a history cost the server one copy of each row more: see revision 0003."""
    async with outside(settings_of(fresh_database_url)) as connection:
        kept = await connection.fetch(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute WHERE atthasmissing"
        )
    assert kept == []


async def test_every_table_has_its_policy_and_no_more_grants_than_it_needs(
    fresh_database_url: str,
) -> None:
    """Else a table that was added later is open to every user's raw SQL."""
    tables = {table.name for table in Base.metadata.tables.values()}
    mine = "({} = (NULLIF(current_setting('faceplate.user_id'::text, true), ''::text))::uuid)"
    async with outside(settings_of(fresh_database_url)) as connection:
        policies = await connection.fetch(
            "SELECT tablename, roles::text[], permissive, cmd, qual, with_check FROM pg_policies"
            " WHERE schemaname = $1",
            SCHEMA,
        )
        grants = await connection.fetch(
            "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type::text)"
            " FROM information_schema.role_table_grants"
            " WHERE table_schema = $1 AND grantee = 'faceplate_app' GROUP BY 1",
            SCHEMA,
        )
        guarded = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relrowsecurity",
            SCHEMA,
        )
    owned = mine.format("user_id")
    expected: dict[str, tuple[Any, ...]]
    expected = {name: (["public"], "PERMISSIVE", "ALL", owned, owned) for name in tables}
    expected["users"] = (["public"], "PERMISSIVE", "SELECT", mine.format("id"), None)
    assert {name: tuple(rest) for name, *rest in policies} == expected
    everything = ["DELETE", "INSERT", "SELECT", "UPDATE"]
    assert dict(grants) == dict.fromkeys(tables, everything) | {
        "users": ["SELECT"],
        "alembic_version": ["SELECT"],
    }
    assert {row["relname"] for row in guarded} == tables


async def test_the_sql_for_an_administrator_makes_the_same_schema(
    empty_database_url: str, fresh_database_url: str
) -> None:
    """Else where only an administrator may change the schema, it is another one."""
    sql = await alembic("postgresql://nobody@nowhere.invalid/none", "upgrade", "head", "--sql")
    sql = sql[sql.index("CREATE SCHEMA") :]  # before it, Alembic says what it is doing
    psql = (programs() / "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
    await run(empty_database_url, *psql, empty_database_url, stdin=sql)
    assert await dump(empty_database_url) == await dump(fresh_database_url)
    assert await migrate.current(settings_of(empty_database_url)) == migrate.head()
    squawk = Path(sys.executable).with_name("squawk")
    await run("", squawk, "--stdin-filepath", "migrations.sql", stdin=migrate.offline_sql())
