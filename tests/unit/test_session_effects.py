"""What is written in a statement tells whether it may change its session."""

import pytest
from tests.units import statements

from faceplate._driver.session_effects import changes_session
from faceplate._driver.session_state import may_deallocate

PLAIN = [
    "SELECT 1",
    "SELECT lower(a), count(*) AS n FROM faceplate.tasks AS t(a, b) WHERE a IN (1, 2)",
    "SELECT CAST(a AS VARCHAR(20)), b::numeric(10, 2) FROM faceplate.tasks FOR UPDATE",
    "(SELECT 1) UNION (SELECT 2)",
    "INSERT INTO faceplate.tasks (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = excluded.a",
    "WITH a AS (UPDATE faceplate.tasks SET a = now() RETURNING id) SELECT * FROM a",
    "DELETE FROM faceplate.tasks WHERE NOT (EXISTS (SELECT 1))",
]
CHANGING = [
    "",
    "SET a = 'b'",
    "DO $$BEGIN END$$",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT set_config('a', 'b', false)",
    "SELECT SET_CONFIG ('a', 'b', false)",
    "SELECT set_config\n\t('a', 'b', false)",
    "SELECT set_config/**/('a', 'b', false)",
    "SELECT set_config--\n('a', 'b', false)",
    "SELECT \"set_config\"('a', 'b', false)",
    "SELECT pg_catalog.\"set_config\" ('a', 'b', false)",
    "SELECT U&\"set\\005Fconfig\" ('a', 'b', false)",
    "SELECT U&\"set!005Fconfig\" UESCAPE '!' ('a', 'b', false)",
    "SELECT app.lower('a')",
    "SELECT é('a')",
    "SELECT 😀('a')",
    "SELECT $('a')",
    "SELECT 'as '||set_config('a', 'b', false)",
    "SELECT 'as 'OPERATOR(pg_catalog.||)set_config('a', 'b', false)",
    "SELECT 1 OPERATOR(app.+) 2",
    "SELECT E'\\'' || set_config('a', 'b', false)",
    "SELECT 1 AS a INTO TEMP b",
    "SELECT 'a'INTO TEMP b",
    "INSERT INTO notes VALUES (1)",
    "INSERT INTO faceplate_too.notes VALUES (1)",
    'INSERT INTO "faceplate".tasks VALUES (1)',
    "WITH a AS (INSERT INTO notes (a) VALUES (1) RETURNING a) SELECT * FROM a",
    "WITH a AS (DELETE FROM ONLY notes RETURNING a) SELECT * FROM a",
    "WITH a AS (SELECT 1) UPDATE notes SET a = 1",
    "MERGE INTO notes USING faceplate.tasks ON true WHEN MATCHED THEN DELETE",
    "SELECT 1; SET a = 'b'",
]


@pytest.mark.parametrize("sql", PLAIN)
def test_a_statement_that_leaves_nothing(sql: str) -> None:
    """Else each unit pays for what only those with text may leave."""
    assert not changes_session(sql)


def test_the_statements_of_the_units_leave_nothing() -> None:
    """Else an append sends more than it has to."""
    assert not [each for each in statements() if each.compiled_across_users.changes_session]


@pytest.mark.parametrize("sql", CHANGING)
def test_a_statement_that_may_leave_something(sql: str) -> None:
    """Else the next user's unit has the settings, tables or locks of another."""
    assert changes_session(sql)


@pytest.mark.parametrize("filler", ["a", " ", "as ", "as a", "a as ", "(", "lower", "update ", "'"])
def test_a_long_statement_is_looked_at_once(filler: str) -> None:
    """Else a long literal in a statement stops the event loop for minutes."""
    long = filler * 200_000
    assert changes_session(f"SELECT {long} || set_config('a', 'b', false)")


@pytest.mark.parametrize("sql", ["DEALLOCATE a", "discard plans", "DO $$BEGIN EXECUTE a; END$$"])
def test_text_that_may_drop_what_is_prepared(sql: str) -> None:
    """Else another user's block fails for no reason of its own."""
    assert may_deallocate(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO notes (a) VALUES ($1) ON CONFLICT DO NOTHING",
        "INSERT INTO notes (a) VALUES ($1) ON CONFLICT (a) DO\nUPDATE SET a = excluded.a",
        "SELECT undo FROM notes",
    ],
)
def test_text_that_drops_nothing(sql: str) -> None:
    """Else each upsert of a project's own costs its connection."""
    assert not may_deallocate(sql)
