"""What SQLAlchemy's constructs and a project's own tables leave on a connection is gone as well.

SQLAlchemy takes text in many places that are no `text()`, and a table may run functions by itself.
Each test has one connection, so that the next unit meets whatever was left.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from tests.databases import opened, outside, settings_of, temporary_objects

from faceplate import Database, DatabaseError, Scope, Settings, Statement, User, models
from faceplate.services import tasks, users

SETS = "set_config('app.left', 'behind', false)"
LEFT = Statement(
    int,
    sa.text(
        "SELECT (coalesce(current_setting('app.left', true), '') <> '')::int"
        " + (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())::int"
    ),
)
LAST = Statement(int, sa.text("SELECT lastval()"))
RANDOM = Statement(float, sa.text("SELECT random()"))


class Element(sa.ColumnElement[str]):
    inherit_cache = True
    type = sa.Text()


@compiles(Element)
def _compile_element(*_: Any, **__: Any) -> str:
    return SETS


class Lower(GenericFunction[str]):
    """A function that is called like one that changes nothing."""

    inherit_cache = True
    name = "lower"
    type = sa.Text()
    _register = False


@compiles(Lower)
def _compile_lower(*_: Any, **__: Any) -> str:
    return SETS


class Sealed(sa.types.UserDefinedType[str]):
    """A type whose values go through a function of the server, both ways."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "text"

    def bind_expression(self, bindvalue: Any) -> Any:
        return sa.func.set_config("app.left", bindvalue, sa.false())

    def column_expression(self, column: Any) -> Any:
        return sa.func.set_config("app.left", column, sa.false())


class Spelled(sa.types.UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return f"text) || {SETS} || ('a'"


def unquoted(text: str) -> sa.quoted_name:
    return sa.quoted_name(text, quote=False)


A: Any = sa.literal_column("'a'")
INTO = "INTO in a column"
CONSTRUCTS: dict[str, Any] = {
    "an operator": sa.select(A.op(f"|| {SETS} ||")(A)),
    "a prefix": sa.select(A).prefix_with(f"{SETS},"),
    "a suffix": sa.select(A).suffix_with(f"UNION SELECT {SETS}"),
    "a hint": sa.select(A).with_statement_hint(f"UNION SELECT {SETS}"),
    INTO: sa.select(sa.literal_column("1 AS a INTO TEMP left_behind")),
    "a column": sa.select(sa.column(unquoted(SETS))),
    "a label": sa.select(A.label(unquoted(f"a, {SETS}"))),
    "a collation": sa.select(sa.collate(A, unquoted(f'"C" || {SETS}'))),
    "an element of one's own": sa.select(Element()),
    "in a criterion": sa.select(models.Task.title).where(Element() != "a"),
    "a function of one's own": sa.select(Lower()),
    "a type's bind_expression": sa.select(sa.literal("behind", Sealed())),
    "a type's column_expression": sa.select(
        sa.type_coerce(sa.literal_column("'behind'"), Sealed())
    ),
    "a type's name": sa.select(sa.cast(A, Spelled())),
    "a CTE": sa.select(sa.select(A.op(f"|| {SETS} ||")(A).label("a")).cte().c.a),
}


async def by_scope(scope: Scope, statement: Any) -> None:
    await scope.all(Statement(str, statement))


async def by_stream(scope: Scope, statement: Any) -> None:
    async for _ in scope.stream(Statement(str, statement)):
        pass


async def by_session(scope: Scope, statement: Any) -> None:
    await scope.session.execute(statement)


async def by_stream_of_session(scope: Scope, statement: Any) -> None:
    async for _ in await scope.session.stream(statement):
        pass


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[Database]:
    """A Database with a single connection."""
    async with opened(settings, pool_size=1, max_overflow=0) as db, temporary_objects(settings):
        yield db


Way = Callable[[Scope, Any], Awaitable[None]]
STREAMS = (by_stream, by_stream_of_session)
TRIES: list[tuple[str, Way]] = [
    *itertools.product(CONSTRUCTS, (by_scope, by_session)),
    *itertools.product(
        [name for name in CONSTRUCTS if name != INTO], STREAMS
    ),  # a cursor makes no table
]


@pytest.mark.parametrize(("construct", "way"), TRIES)
async def test_text_in_a_construct_leaves_nothing(
    narrow: Database, user: User, other_user: User, construct: str, way: Way
) -> None:
    """Else a unit sets for the next user what it could not set by `text()`."""
    await narrow.run(user.id, tasks.create, title="b")
    await narrow.run(user.id, way, CONSTRUCTS[construct])
    assert not await narrow.run(other_user.id, lambda scope: scope.one(LEFT))


async def test_text_in_a_construct_plays_no_part_outside_of_the_transaction(
    narrow: Database, user: User
) -> None:
    """Else what an operator's text writes is kept when the unit fails."""
    own = f"set_config('app.left', 'behind {user.id}', true)"

    async def unit(scope: Scope) -> str:
        await by_scope(scope, sa.select(A.op(f"|| {own} ||")(A)))
        return await scope.one(Statement(str, sa.text("SELECT current_setting('app.left', true)")))

    assert await narrow.run(user.id, unit) == f"behind {user.id}"


async def test_the_seed_of_a_user_says_nothing_of_the_next_ones_random_values(
    narrow: Database, user: User, other_user: User
) -> None:
    """Else one user knows what random() gives to another."""
    found = set()
    for _ in range(2):
        await narrow.run(user.id, by_scope, sa.text("SELECT setseed(0.5)"))
        found.add(await narrow.run(other_user.id, lambda scope: scope.one(RANDOM)))
    assert len(found) == 2


TABLES = """
    DROP TABLE IF EXISTS public.counted, public.watched;
    CREATE TABLE public.counted
        (id serial PRIMARY KEY, a text, b text DEFAULT set_config('app.left', 'behind', false));
    CREATE OR REPLACE FUNCTION public.note_change() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM set_config('app.left', 'behind', false); RETURN coalesce(NEW, OLD); END$$;
    CREATE TABLE public.watched (a text);
    INSERT INTO public.watched VALUES ('a'), ('b');
    CREATE TRIGGER watch BEFORE UPDATE OR DELETE ON public.watched FOR EACH ROW
        EXECUTE FUNCTION public.note_change();
    GRANT USAGE ON SCHEMA public TO faceplate_app;
    GRANT ALL ON ALL TABLES IN SCHEMA public TO faceplate_app;
    GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO faceplate_app
"""


class ProjectBase(sa.orm.DeclarativeBase):
    pass


class Counted(ProjectBase):
    __tablename__ = "counted"
    __table_args__ = ({"schema": "public"},)
    id: sa.orm.Mapped[int] = sa.orm.mapped_column(primary_key=True)
    a: sa.orm.Mapped[str]


WATCHED = sa.table("watched", sa.column("a"), schema="public")


async def add_to_session(scope: Scope, _: Any) -> None:
    scope.session.add(Counted(a="a"))


async def many(scope: Scope, _: Any) -> None:
    insert = sa.insert(Counted).values(a=sa.bindparam("a"))
    await scope.execute_many(Statement(int, insert), [{"a": "a"}, {"a": "b"}])


ADD = sa.insert(Counted).values(a=A)
WRITES: dict[str, tuple[Way, Any]] = {
    "INSERT": (by_scope, ADD),
    "INSERT of a session": (by_session, ADD),
    "INSERT FROM SELECT": (by_scope, sa.insert(Counted).from_select(["a"], sa.select(A))),
    "INSERT in a CTE": (
        by_scope,
        sa.select(ADD.returning(Counted.id).cte("made").c.id),
    ),
    "session.add": (add_to_session, None),
    "execute_many": (many, None),
    "nextval": (by_scope, sa.select(sa.func.nextval("public.counted_id_seq"))),
    "a Sequence": (
        by_scope,
        sa.select(sa.Sequence("counted_id_seq", schema="public").next_value()),
    ),
    "UPDATE": (by_scope, sa.update(WATCHED).values(a="c")),
    "UPDATE of a session": (by_session, sa.update(WATCHED).values(a="c")),
    "UPDATE in a CTE": (
        by_scope,
        sa.select(sa.update(WATCHED).values(a="c").returning(WATCHED.c.a).cte("set").c.a),
    ),
    "DELETE": (by_scope, sa.delete(WATCHED)),
}


@pytest.mark.parametrize("write", WRITES)
async def test_what_a_projects_table_does_by_itself_leaves_nothing(
    module_database_url: str, write: str
) -> None:
    """Else a default or a trigger tells the next user how far this one has come."""
    settings = settings_of(module_database_url)
    async with outside(settings) as owner:
        await owner.execute(TABLES)
    way, statement = WRITES[write]
    async with opened(settings, pool_size=1, max_overflow=0) as db:
        ada, bob = [await db.run_system(users.ensure, name) for name in ("ada", "bob")]
        for _ in range(2):
            await db.run(ada.id, way, statement)
            with pytest.raises(DatabaseError, match="ObjectNotInPrerequisiteState"):
                await db.run(bob.id, lambda scope: scope.one(LAST))
            await db.run(ada.id, way, statement)
            assert not await db.run(bob.id, lambda scope: scope.one(LEFT))
