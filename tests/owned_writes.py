"""Every kind of statement that would write another user's row of an owned table."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from uuid6 import uuid7

from faceplate.models import Task
from tests.owned import Target, bare, dotted, light, partial, unquoted


def _select_row(target: Target, owner: Any) -> Any:
    types = target.table.c
    values = [
        owner if name == target.owner else sa.literal(value, types[name].type)
        for name, value in target.row().items()
    ]
    return sa.select(*values)


def _insert_select(target: Target, into: Any, owner: Any) -> Any:
    return sa.insert(into).from_select(list(target.row()), _select_row(target, owner))


def _from_function(target: Target, named: Any) -> Any:
    """A column of a function's rows that is declared by a column of a table."""
    found = sa.func.unnest(sa.cast([target.their], sa.ARRAY(sa.Uuid))).table_valued(named)
    return found.render_derived().c[target.owner]


def _cte(statement: Any, target: Target) -> Any:
    return sa.select(statement.returning(target.table.c[target.word]).cte().c[target.word])


WRITES: dict[str, Callable[[Target], Any]] = {
    "insert": lambda t: sa.insert(t.model).values(t.row()),
    "insert_table": lambda t: sa.insert(t.table).values(t.row()),
    "insert_light": lambda t: sa.insert(light(t)).values(t.row()),
    "insert_unquoted": lambda t: sa.insert(unquoted(t)).values(t.row()),
    "update_partial": lambda t: sa.update(partial(t)).values({t.word: f"planted {uuid7()}"}),
    "delete_bare": lambda t: sa.delete(bare(t)),
    "insert_rows": lambda t: sa.insert(t.model).values([t.row(), t.row()]),
    "insert_rows_table": lambda t: sa.insert(t.table).values([t.row(), t.row()]),
    "insert_bind": lambda t: sa.insert(t.model).values(
        t.row(**{t.owner: sa.bindparam("who", t.their)})
    ),
    "insert_literal": lambda t: sa.insert(t.model).values(
        t.row(**{t.owner: sa.literal_column(f"'{t.their}'::uuid")})
    ),
    "insert_cast": lambda t: sa.insert(t.model).values(
        t.row(**{t.owner: sa.cast(str(t.their), sa.Uuid)})
    ),
    "insert_scalar": lambda t: sa.insert(t.model).values(
        t.row(**{t.owner: sa.select(sa.literal(t.their, sa.Uuid)).scalar_subquery()})
    ),
    "insert_inline": lambda t: sa.insert(t.model).values(
        t.row(**{t.owner: sa.bindparam("who", t.their, literal_execute=True)})
    ),
    "insert_select": lambda t: _insert_select(t, t.model, sa.literal(t.their, sa.Uuid)),
    "insert_select_table": lambda t: _insert_select(t, t.table, sa.literal(t.their, sa.Uuid)),
    "insert_select_cast": lambda t: _insert_select(t, t.model, sa.cast(str(t.their), sa.Uuid)),
    "insert_select_subquery": lambda t: _insert_select(
        t, t.model, sa.select(sa.literal(t.their, sa.Uuid).label("u")).subquery().c.u
    ),
    "insert_select_union": lambda t: sa.insert(t.model).from_select(
        list(t.row()),
        sa.union_all(
            _select_row(t, sa.literal(t.their, sa.Uuid)),
            _select_row(t, sa.literal(t.their, sa.Uuid)),
        ),
    ),
    "insert_select_values": lambda t: _insert_select(
        t, t.model, sa.values(sa.column("u", sa.Uuid), name="v").data([(t.their,)]).c.u
    ),
    "insert_select_function": lambda t: _insert_select(
        t, t.model, _from_function(t, t.table.c[t.owner])
    ),
    "insert_select_function_light": lambda t: _insert_select(
        t, t.model, _from_function(t, light(t).c[t.owner])
    ),
    "insert_select_function_subquery": lambda t: _insert_select(
        t, t.model, sa.select(_from_function(t, t.table.c[t.owner])).subquery().c[t.owner]
    ),
    "insert_select_values_light": lambda t: _insert_select(
        t, t.model, sa.values(light(t).c[t.owner], name="v").data([(t.their,)]).c[t.owner]
    ),
    "insert_select_union_cte": lambda t: _insert_select(
        t,
        t.model,
        sa.union_all(
            sa.select(t.table.c[t.owner].label("u")).where(sa.false()),
            sa.select(sa.literal(t.their, sa.Uuid)),
        )
        .cte()
        .c.u,
    ),
    "upsert": lambda t: (
        insert(t.model)
        .values(t.row(**t.key))
        .on_conflict_do_update(index_elements=list(t.key), set_={t.word: "stolen"})
    ),
    "upsert_by_word": lambda t: (
        insert(t.table)
        .values(t.my_row(**{t.word: t.secret}))
        .on_conflict_do_update(index_elements=[t.word], set_={t.word: "stolen"})
    ),
    "upsert_by_id": lambda t: (
        insert(t.table)
        .values(t.my_row(id=t.key["id"]))
        .on_conflict_do_update(index_elements=["id"], set_={t.word: "stolen"})
    ),
    "upsert_where": lambda t: (
        insert(t.table)
        .values(t.my_row(id=t.key["id"]))
        .on_conflict_do_update(
            index_elements=["id"], set_={t.word: "stolen"}, where=sa.or_(t.theirs, sa.true())
        )
    ),
    "update": lambda t: sa.update(t.model).values({t.word: "stolen"}).where(t.theirs),
    "update_all": lambda t: sa.update(t.table).values(
        {t.word: sa.func.md5(sa.cast(t.table.c.id, sa.Text))}
    ),
    "update_light": lambda t: sa.update(light(t)).values({t.word: sa.func.gen_random_uuid()}),
    "update_table": lambda t: sa.update(t.table).values({t.word: "stolen"}).where(t.theirs),
    "update_alias": lambda t: sa.update(aliased(t.model)).values({t.word: "stolen"}),
    "update_table_alias": lambda t: sa.update(t.table.alias("x")).values(
        {t.word: sa.func.gen_random_uuid()}
    ),
    "update_unquoted": lambda t: sa.update(unquoted(t)).values({t.word: sa.func.gen_random_uuid()}),
    "update_ordered": lambda t: (
        sa.update(t.table).ordered_values((t.word, "stolen")).where(t.theirs)
    ),
    "give_away": lambda t: sa.update(t.model).values({t.owner: t.their}),
    "give_away_attribute": lambda t: sa.update(t.model).values({t.model.user_id: t.their}),
    "give_away_table": lambda t: sa.update(t.table).values({t.owner: t.their}),
    "give_away_ordered": lambda t: sa.update(t.table).ordered_values((t.owner, t.their)),
    "give_away_ordered_model": lambda t: sa.update(t.model).ordered_values(
        (t.model.user_id, t.their)
    ),
    "give_away_cast": lambda t: sa.update(t.table).values(
        {t.owner: sa.cast(str(t.their), sa.Uuid)}
    ),
    "give_away_scalar": lambda t: sa.update(t.table).values(
        {t.owner: sa.select(sa.literal(t.their, sa.Uuid)).scalar_subquery()}
    ),
    "give_away_from": lambda t: sa.update(t.table).values(
        {t.owner: sa.values(sa.column("u", sa.Uuid), name="v").data([(t.their,)]).c.u}
    ),
    "update_from": lambda t: (
        sa.update(Task).values(title=t.table.c[t.word]).where(t.theirs)
        if t.model is not Task
        else sa.update(Task).values(title=aliased(Task).title)
    ),
    "delete": lambda t: sa.delete(t.model).where(t.theirs),
    "delete_table": lambda t: sa.delete(t.table),
    "delete_alias": lambda t: sa.delete(t.table.alias("x")),
    "delete_light": lambda t: sa.delete(light(t)),
    "delete_unquoted": lambda t: sa.delete(unquoted(t)),
    "delete_dotted": lambda t: sa.delete(dotted(t)),
    "delete_where": lambda t: sa.delete(t.table).where(t.theirs),
    "delete_or": lambda t: sa.delete(t.table).where(sa.or_(t.theirs, sa.true())),
    "cte_insert": lambda t: _cte(sa.insert(t.model).values(t.row()), t),
    "cte_insert_table": lambda t: _cte(sa.insert(t.table).values(t.row()), t),
    "cte_rows": lambda t: _cte(sa.insert(t.table).values([t.row(), t.row()]), t),
    "cte_update": lambda t: _cte(sa.update(t.model).values({t.word: "stolen"}).where(t.theirs), t),
    "cte_update_table": lambda t: _cte(
        sa.update(t.table).values({t.word: sa.func.gen_random_uuid()}), t
    ),
    "cte_delete": lambda t: _cte(sa.delete(t.table), t),
    "cte_added": lambda t: sa.select(sa.literal("x")).add_cte(sa.delete(t.table).cte("gone")),
    "cte_in_cte": lambda t: sa.select(sa.literal("x")).add_cte(
        sa.select(sa.delete(t.table).returning(t.table.c.id).cte("gone").c.id).cte("outer")
    ),
    "cte_of_insert": lambda t: (
        sa.insert(Task)
        .values(id=uuid7(), title="x", user_id=t.mine)
        .add_cte(sa.delete(t.table).cte("gone"))
    ),
    "drop": lambda t: sa.schema.DropTable(t.table),
    "from_statement_write": lambda t: sa.select(t.model).from_statement(
        sa.update(t.table).values({t.word: sa.func.gen_random_uuid()}).returning(*t.table.c)
    ),
}
