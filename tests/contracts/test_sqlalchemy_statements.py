"""What faceplate relies on in SQLAlchemy's statements: docs/private-parts.md, S9, S10 and S18."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import (
    PGDialect_asyncpg,
)
from sqlalchemy.sql import functions
from sqlalchemy.sql.elements import ClauseElement, TextClause
from sqlalchemy.sql.visitors import iterate
from tests.contracts.seams import connected
from tests.contracts.test_sqlalchemy_compiler import MINE, Note, compiled, limited, note, other


class Same(sa.BindParameter[int]):
    """A parameter that is equal to its copies, in Python and not in SQL."""

    inherit_cache = True
    __hash__ = sa.BindParameter.__hash__

    def __eq__(self, other: object) -> bool:  # type: ignore[override]  # SQLAlchemy's is SQL
        return hash(self) == hash(other)


def test_a_parameter_may_be_compared_in_python() -> None:
    """Else a statement has a parameter for each table that it limits, of which one gets a value."""
    mine = Same("mine", required=True, type_=sa.Integer())
    copied: Any = mine._annotate({"copied": True})
    assert hash(copied) == hash(mine)
    assert {mine: 1}[copied] == 1
    statement = sa.select(Note).where(Note.user_id == mine, Note.id == copied)
    made: Any = statement.compile(dialect=limited())
    assert made.positiontup == ["mine"]
    key = statement._generate_cache_key()
    assert key is not None
    assert [bind.key for bind in key.bindparams] == ["mine", "mine"]


def test_annotated_copies_of_a_table_have_its_hash() -> None:
    """Else a table is limited twice, or taken for one that is limited already."""
    alias = note.alias()
    seen = compiled(sa.select(Note, other)).seen[0][0]
    assert {hash(one) for one in seen} == {hash(note), hash(sa.inspect(other).selectable)}
    criterion: Any = Note.user_id == 1
    assert hash(criterion.left.table) == hash(note)
    assert len({hash(note), hash(alias), hash(note.alias())}) == 3


def test_a_join_is_copied_and_changed_and_names_its_tables() -> None:
    """Else the second table of a LEFT JOIN is not limited."""
    second = note.alias()
    join: Any = note.outerjoin(second, second.c.id == note.c.id)
    assert {hash(one) for one in join._from_objects} >= {hash(note), hash(second)}
    copied = join._clone()
    copied.onclause = sa.and_(join.onclause, MINE)
    assert "mine" in str(copied)
    assert "mine" not in str(join)
    assert (copied.left, copied.right, copied.isouter) == (note, second, True)


def test_a_column_of_a_subquery_tells_what_it_is_made_of() -> None:
    """Else a value of any kind is taken for the owner."""
    inner = sa.select(note.c.user_id, sa.literal(1).label("one")).subquery()
    assert inner.c.user_id.base_columns == {note.c.user_id}
    assert note.c.user_id in inner.c.user_id.proxy_set
    assert note.c.user_id not in inner.c.one.base_columns
    rows = sa.func.json_to_recordset("[]").table_valued("user_id")
    copied = sa.select(rows.c.user_id).subquery().c.user_id
    assert any(getattr(one, "table", None) is rows for one in copied.proxy_set)


def test_a_select_tells_whether_it_locks() -> None:
    """Else a unit's lock is given up before what it protects."""
    assert sa.select(Note)._for_update_arg is None
    assert sa.select(Note).with_for_update()._for_update_arg is not None


async def test_a_compiled_statement_runs_on_the_driver(url: str) -> None:
    """Else no `Statement` can be run."""
    statement = sa.select(
        sa.bindparam("second", type_=sa.Text()),
        sa.bindparam("first", 7, type_=sa.Integer()),
        sa.bindparam("second", type_=sa.Text()),
    )
    made: Any = statement.compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    binds = [made.binds[name] for name in made.positiontup]
    assert made.positiontup == ["second", "first"]
    values = {"second": "words"}
    arguments = [values.get(bind.key, bind.effective_value) for bind in binds]
    async with connected(url) as connection:
        assert tuple(await connection.fetchrow(made.string, *arguments)) == ("words", 7, "words")
    assert made.binds["second"].required
    assert not made.binds["first"].required
    assert made.bind_names[made.binds["second"]] == "second"


def test_a_compiled_statement_tells_what_it_cannot_do_by_itself() -> None:
    """Else a `Statement` leaves out a default, or an IN has no values."""
    counted = sa.Table(
        "counted",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("made", sa.Integer, default=lambda: 1),
        sa.Column("changed", sa.Integer, onupdate=lambda: 1),
    )

    def prefetched(statement: Any) -> tuple[list[Any], list[Any]]:
        made: Any = statement.compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        return list(made.insert_prefetch), list(made.update_prefetch)

    assert prefetched(counted.insert().values(id=1)) == ([counted.c.made], [])
    assert prefetched(counted.update().values(made=1)) == ([], [counted.c.changed])
    assert prefetched(counted.update().values(changed=1)) == ([], [])
    made: Any = (
        sa.select(note.c.id)
        .where(note.c.id.in_([1]))
        .compile(
            dialect=PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        )
    )
    assert made.post_compile_params
    literal: Any = sa.bindparam("n", 1, literal_execute=True)
    made = sa.select(literal).compile(dialect=PGDialect_asyncpg())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    assert made.literal_execute_params


def test_the_parts_of_a_statement_tell_whether_it_may_write() -> None:
    """Else a statement that writes is sent without a transaction."""
    changing = note.update().values(words="b").returning(note.c.id).cte()
    parts = list(iterate(sa.select(sa.func.nextval("s"), sa.func.count(), changing)))
    called = [part for part in parts if isinstance(part, functions.FunctionElement)]
    assert {(part.name, type(part) is functions.Function) for part in called} == {
        ("nextval", True),
        ("count", False),
    }
    assert all(type(part).__module__ == functions.__name__ for part in called)
    assert any(getattr(part, "is_dml", False) for part in parts)
    textual: list[Any] = list(
        iterate(sa.select(Note).where(sa.text("f()"), sa.literal_column("g()")))
    )
    assert any(isinstance(part, TextClause) for part in textual)
    assert [part.name for part in textual if getattr(part, "is_literal", False)] == ["g()"]
    assert isinstance(textual[0], ClauseElement)
