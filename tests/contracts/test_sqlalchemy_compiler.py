"""What faceplate relies on in SQLAlchemy's compiler: docs/private-parts.md, S7 and S8."""

import copy
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import (
    AsyncAdapt_asyncpg_dbapi,
    PGCompiler_asyncpg,
    PGDialect_asyncpg,
    PGExecutionContext_asyncpg,
)
from sqlalchemy.ext.asyncio import AsyncEngine


class Base(orm.DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "note"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    user_id: orm.Mapped[int]
    words: orm.Mapped[str]


note: sa.Table = Note.__table__  # type: ignore[assignment]  # it is a Table

MINE: sa.ColumnElement[bool] = sa.literal_column("mine")


class Resolved:
    """A statement whose state is known."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def _compile_state_factory(self, *_: Any, **__: Any) -> Any:
        return self.state


class Compiler(PGCompiler_asyncpg):
    """Adds `MINE` to each statement that it renders, and notes what it was given."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.seen: list[Any] = []
        super().__init__(*args, **named)

    def _compose_select_body(
        self, text: Any, select: Any, state: Any, columns: Any, froms: Any, *rest: Any
    ) -> Any:
        self.seen.append((list(froms), select._where_criteria))
        select = select.where(MINE)
        return super()._compose_select_body(text, select, state, columns, froms, *rest)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_update(self, update_stmt: Any, visiting_cte: Any = None, **kw: Any) -> Any:
        state = self._changed(update_stmt, **kw)
        return super().visit_update(Resolved(state), visiting_cte, **kw)  # type: ignore[arg-type]  # it asks for the state alone

    def visit_delete(self, delete_stmt: Any, visiting_cte: Any = None, **kw: Any) -> Any:
        state = self._changed(delete_stmt, **kw)
        return super().visit_delete(Resolved(state), visiting_cte, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def _changed(self, statement: Any, **kw: Any) -> Any:
        state = statement._compile_state_factory(statement, self, **kw)
        self.seen.append(([state.statement.table, *state._extra_froms], statement._where_criteria))
        state.statement = state.statement.where(MINE)
        return state

    def visit_insert(
        self, insert_stmt: Any, visited_bindparam: Any = None, visiting_cte: Any = None, **kw: Any
    ) -> Any:
        state = insert_stmt._compile_state_factory(insert_stmt, self, **kw)
        statement = state.statement
        given = state._dict_parameters or {}
        owner = sa.bindparam("owner", type_=sa.Integer())
        self.seen.append((self.column_keys, state._no_parameters, sorted(map(_key, given))))
        if statement._select_names:
            names, select = list(statement._select_names), statement.select
            assert len(select._all_selected_columns) == len(names)
            state.statement = statement._generate()
            state.statement.select = select.add_columns(owner)
            state.statement._select_names = (*names, "user_id")
            state._dict_parameters = dict.fromkeys(state.statement._select_names, sa.null())
        elif state._has_multi_parameters:
            for number, row in enumerate(state._multi_parameters):
                named = {_key(key): value for key, value in row.items()}
                state._multi_parameters[number] = {**named, "user_id": owner}
            state._dict_parameters = state._multi_parameters[0]
        elif state._no_parameters and self.column_keys is not None:
            state._dict_parameters = {"user_id": owner}
            state._no_parameters = False
        else:
            state._dict_parameters = {**given, "user_id": owner}
        return super().visit_insert(Resolved(state), visited_bindparam, visiting_cte, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_on_conflict_do_update(self, on_conflict: Any, **kw: Any) -> Any:
        values, insert = dict(on_conflict.update_values_to_set), self.stack[-1]["selectable"]
        table: Any = getattr(insert, "table", None)
        self.seen.append(
            (
                table,
                sorted(map(_key, values)),
                on_conflict.constraint_target,
                [_key(one) for one in on_conflict.inferred_target_elements or ()],
                on_conflict.update_whereclause,
            )
        )
        on_conflict = copy.copy(on_conflict)
        on_conflict.update_whereclause = MINE
        return super().visit_on_conflict_do_update(on_conflict, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> Any:
        self.seen.append((textclause.text, self.compile_state is not None and not self.stack))
        return super().visit_textclause(textclause, *args, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def visit_textual_select(self, taf: Any, *args: Any, **kw: Any) -> Any:
        self.seen.append(list(taf.column_args))
        return super().visit_textual_select(taf, *args, **kw)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def _key(column: Any) -> str:
    return str(getattr(column, "key", column))


def limited() -> sa.Dialect:
    made: Any = copy.copy(PGDialect_asyncpg())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    made.statement_compiler = Compiler
    dialect: sa.Dialect = made
    return dialect


def compiled(statement: Any, **named: Any) -> Any:
    return statement.compile(dialect=limited(), **named)


ONE = sa.select(note.c.id).where(note.c.words == "a")

other = orm.aliased(Note)

SELECTS: dict[str, tuple[Any, int]] = {
    "a table": (ONE, 1),
    "a model": (sa.select(Note), 1),
    "a join": (sa.select(Note).join(other, other.user_id == Note.user_id), 1),
    "a subquery": (sa.select(ONE.subquery()), 2),
    "a scalar subquery": (sa.select(ONE.scalar_subquery()), 2),
    "exists": (sa.select(sa.exists(ONE)), 2),
    "in": (sa.select(Note.words).where(Note.id.in_(ONE)), 2),
    "a cte": (sa.select(ONE.cte()), 2),
    "a recursive cte": (sa.select((c := ONE.cte(recursive=True)).union_all(sa.select(c))), 3),
    "lateral": (sa.select(sa.true(), ONE.lateral()), 2),
    "a union": (sa.union_all(ONE, ONE), 2),
    "from_statement": (sa.select(Note).from_statement(sa.select(note)), 1),
    "insert": (note.insert().from_select(["id"], ONE), 1),
    "update": (note.update().values(words=ONE.scalar_subquery()), 2),
    "delete": (note.delete().where(sa.exists(ONE)), 2),
    "a returning": (sa.select(note.update().values(words="b").returning(note.c.id).cte()), 2),
}


@pytest.mark.parametrize("kind", SELECTS)
def test_each_statement_and_each_part_of_one_goes_through_the_compilers_methods(kind: str) -> None:
    """Else a statement is sent without its owner."""
    statement, parts = SELECTS[kind]
    text = compiled(statement).string
    assert text.count("mine") == parts, text


def test_the_compiler_is_given_the_tables_and_criteria_of_a_select() -> None:
    """Else a table is not limited, or limited twice."""
    [(froms, criteria)] = compiled(sa.select(Note).where(Note.id == 1, Note.words == "a")).seen
    assert [hash(one) for one in froms] == [hash(note)]
    assert [str(one) for one in criteria] == ["note.id = :id_1", "note.words = :words_1"]
    [(froms, _)] = compiled(sa.select(Note).join(other, other.id == Note.id)).seen
    assert [type(one).__name__ for one in froms] in (["Join"], ["_ORMJoin"])
    assert {hash(froms[0].left), hash(froms[0].right)} == {
        hash(note),
        hash(sa.inspect(other).selectable),
    }


def test_the_compiler_is_given_the_tables_of_an_update_and_a_delete() -> None:
    """Else the second table of an UPDATE is not limited."""
    second = note.alias()
    update = note.update().values(words=second.c.words).where(second.c.id == note.c.id)
    delete = note.delete().where(second.c.id == note.c.id)
    for statement in (update, delete):
        [(froms, criteria)] = compiled(statement).seen
        assert [hash(one) for one in froms] == [hash(note), hash(second)]
        assert len(criteria) == 1


INSERTS: dict[str, tuple[Any, dict[str, Any], tuple[Any, bool, list[str]]]] = {
    "values": (note.insert().values(id=1), {}, (None, False, ["id"])),
    "columns": (note.insert().values({note.c.id: 1}), {}, (None, False, ["id"])),
    "keys": (note.insert(), {"column_keys": ["id"]}, (["id"], True, [])),
    "rows": (note.insert().values([{"id": 1}, {"id": 2}]), {}, (None, False, ["id"])),
    "a select": (note.insert().from_select(["id"], ONE), {}, (None, False, ["id"])),
    "a model": (sa.insert(Note).values(id=1), {}, (None, False, ["id"])),
}


@pytest.mark.parametrize("kind", INSERTS)
def test_an_insert_takes_one_more_value_by_its_state(kind: str) -> None:
    """Else a new row has no owner, or another user for one."""
    statement, named, seen = INSERTS[kind]
    made = compiled(statement, **named)
    assert made.seen[0] == seen
    assert "(id, user_id)" in made.string
    assert "owner" in made.positiontup
    assert made.string.count("(id, user_id)") == 1


def test_on_conflict_tells_its_table_its_target_and_what_it_writes() -> None:
    """Else an INSERT changes another user's row that is in its way."""
    insert = postgresql.insert(note).values(id=1)
    by_columns = insert.on_conflict_do_update(
        index_elements=[note.c.id, "user_id"], set_={"words": "b"}
    )
    seen, made = compiled(by_columns).seen[-1], compiled(by_columns).string
    assert seen == (note, ["words"], None, ["id", "user_id"], None)
    assert made.endswith("WHERE mine")
    by_name = insert.on_conflict_do_update(
        constraint="note_pkey", set_={note.c.words: "b"}, where=note.c.id == 1
    )
    table, written, target, columns, where = compiled(by_name).seen[-1]
    assert (table, written, target, columns) == (note, ["words"], "note_pkey", [])
    assert str(where) == "note.id = :id_1"


def test_the_compiler_tells_text_that_is_a_whole_statement_from_a_part_of_one() -> None:
    """Else a model is read by text, which nothing limits."""
    whole = sa.select(Note).from_statement(sa.text("SELECT * FROM note"))
    assert ("SELECT * FROM note", True) in compiled(whole).seen
    part = sa.select(Note).where(sa.text("true"))
    assert ("true", False) in compiled(part).seen
    columns = sa.text("SELECT * FROM note").columns(note.c.id)
    assert [note.c.id] in compiled(sa.select(columns.subquery())).seen


async def test_a_copied_dialect_compiles_for_itself_on_the_same_engine(engine: AsyncEngine) -> None:
    """Else a statement of a unit is taken from the cache without its owner."""
    contexts: list[Any] = []

    class Context(PGExecutionContext_asyncpg):
        def pre_exec(self) -> None:
            contexts.append(self.compiled)
            super().pre_exec()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    class OwnCompiler(PGCompiler_asyncpg):
        def visit_true(self, *_: Any, **__: Any) -> str:
            return "false"

    made: Any = copy.copy(engine.sync_engine.dialect)
    made.statement_compiler, made.execution_ctx_cls = OwnCompiler, Context

    def ask(connection: sa.Connection) -> list[Any]:
        plain = connection.dialect
        answers = []
        for dialect in (plain, made, plain, made):
            connection.dialect = dialect
            answers.append(connection.execute(sa.select(sa.true())).scalar_one())
        connection.dialect = plain
        return answers

    async with engine.connect() as connection:
        assert await connection.run_sync(ask) == [True, False, True, False]
        with pytest.raises(sa.exc.DBAPIError) as refused:
            await connection.execute(sa.text("SELECT 1 / 0"))
    assert [type(one) for one in contexts] == [OwnCompiler, OwnCompiler]
    assert contexts[0] is contexts[1]  # from the cache
    assert isinstance(refused.value.orig, AsyncAdapt_asyncpg_dbapi.Error)
