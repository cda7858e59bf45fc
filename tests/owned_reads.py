"""Every kind of statement that would read another user's row of an owned table."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.orm import aliased

from faceplate.models import User
from tests.owned import Target, bare, dotted, light, other, unquoted


def _lambda(words: Any) -> Any:
    return sa.lambda_stmt(lambda: sa.select(words))


def _recursive(target: Target) -> Any:
    words = sa.collate(target.table.c[target.word], "default")  # both parts must have the same
    start = sa.select(sa.literal("", sa.Text).label("w")).cte("r", recursive=True)
    return sa.select(start.union(sa.select(words).where(start.c.w == "")).c.w)


READS: dict[str, Callable[[Target], Any]] = {
    "columns": lambda t: sa.select(t.words),
    "entity": lambda t: sa.select(t.model),
    "alias": lambda t: sa.select(getattr(aliased(t.model), t.word)),
    "table": lambda t: sa.select(t.table.c[t.word]),
    "whole_table": lambda t: t.table.select(),
    "table_where": lambda t: sa.select(t.table.c[t.word]).where(t.theirs),
    "table_or": lambda t: sa.select(t.table.c[t.word]).where(sa.or_(t.theirs, sa.true())),
    "table_alias": lambda t: sa.select(t.table.alias().c[t.word]),
    "light_table": lambda t: sa.select(light(t).c[t.word]),
    "light_alias": lambda t: sa.select(light(t).alias("a").c[t.word]),
    "bare_table": lambda t: sa.select(sa.column(t.word)).select_from(bare(t)),
    "bare_alias": lambda t: sa.select(sa.column(t.word)).select_from(bare(t).alias("a")),
    "bare_join": lambda t: sa.select(sa.column(t.word)).select_from(
        sa.select(sa.literal(1)).subquery().outerjoin(bare(t), sa.true())
    ),
    "bare_exists": lambda t: sa.select(sa.literal(t.secret)).where(
        sa.exists().select_from(bare(t)).where(sa.column(t.owner) == t.their)
    ),
    "other_metadata": lambda t: sa.select(other(t).c[t.word]),
    "unquoted": lambda t: sa.select(unquoted(t).c[t.word]),
    "dotted": lambda t: sa.select(dotted(t).c[t.word]),
    "tablesample": lambda t: sa.select(sa.tablesample(t.table, 100).c[t.word]),
    "aliased_tablesample": lambda t: sa.select(
        getattr(aliased(t.model, sa.tablesample(t.model, 100)), t.word)
    ),
    "aliased_table": lambda t: sa.select(getattr(aliased(t.model, t.table.alias()), t.word)),
    "aliased_subquery": lambda t: sa.select(
        getattr(aliased(t.model, t.table.select().subquery()), t.word)
    ),
    "subquery": lambda t: sa.select(t.table.select().subquery().c[t.word]),
    "cte": lambda t: sa.select(t.table.select().cte().c[t.word]),
    "lateral": lambda t: sa.select(t.table.select().lateral().c[t.word]),
    "scalar": lambda t: sa.select(
        sa.select(sa.func.string_agg(t.table.c[t.word], ",")).scalar_subquery()
    ),
    "model_scalar": lambda t: sa.select(
        sa.select(sa.func.string_agg(t.words, ",")).scalar_subquery()
    ),
    "array_of": lambda t: sa.select(
        sa.func.array(t.table.select().with_only_columns(t.table.c[t.word]).scalar_subquery())
    ),
    "array": lambda t: sa.select(array([t.words])),
    "ordered": lambda t: sa.select(sa.func.array_agg(aggregate_order_by(t.words, t.words.desc()))),
    "collate": lambda t: sa.select(sa.collate(t.words, "C")),
    "cast": lambda t: sa.select(sa.cast(t.words, sa.Text)),
    "coerced": lambda t: sa.select(sa.type_coerce(t.words, sa.Text)),
    "within": lambda t: sa.select(sa.func.mode().within_group(t.words).filter(t.theirs)),
    "over": lambda t: sa.select(sa.func.string_agg(t.words, ",").over()),
    "filtered": lambda t: sa.select(sa.func.string_agg(t.words, ",").filter(sa.true())),
    "bundle": lambda t: sa.select(orm.Bundle("b", t.words)),
    "whole_row": lambda t: sa.select(sa.cast(t.table.table_valued(), sa.Text)),
    "row": lambda t: sa.select(sa.cast(sa.func.row(t.words, t.words), sa.Text)),
    "union": lambda t: sa.union_all(
        sa.select(t.table.c[t.word]), sa.select(t.table.c[t.word]).where(t.theirs)
    ),
    "model_union": lambda t: sa.union_all(sa.select(t.words), sa.select(t.words)),
    "except": lambda t: sa.except_(
        sa.select(t.table.c[t.word]), sa.select(t.table.c[t.word]).where(sa.false())
    ),
    "union_of_ctes": lambda t: sa.select(
        sa.union(sa.select(t.table.c[t.word]), sa.select(sa.literal("x"))).cte().c[t.word]
    ),
    "from_statement": lambda t: sa.select(t.model).from_statement(t.table.select()),
    "from_union": lambda t: sa.select(t.model).from_statement(
        sa.union_all(t.table.select(), t.table.select())
    ),
    "from_text": lambda t: sa.select(t.model).from_statement(
        sa.text(f"SELECT * FROM {t.table.fullname}")
    ),
    "from_text_columns": lambda t: sa.select(t.model).from_statement(
        sa.text(f"SELECT * FROM {t.table.fullname}").columns(*t.table.c)
    ),
    "join": lambda t: sa.select(t.table.c[t.word]).select_from(
        sa.select(sa.literal(1)).subquery().join(t.table, sa.true())
    ),
    "join_own": lambda t: (
        sa.select(t.words)
        .select_from(sa.join(User, t.table.alias("t"), sa.true()))
        .with_only_columns(sa.literal_column(f"t.{t.word}"))
    ),
    "model_join": lambda t: (
        sa.select(t.words).select_from(User).join(t.model, sa.true())
        if t.model is not User
        else sa.select(t.words)
    ),
    "outer_join": lambda t: sa.select(t.table.c[t.word]).select_from(
        sa.select(sa.literal(1)).subquery().outerjoin(t.table, sa.true())
    ),
    "outer_join_left": lambda t: sa.select(t.table.c[t.word]).select_from(
        t.table.outerjoin(sa.select(sa.literal(1)).subquery(), t.theirs)
    ),
    "full_join": lambda t: sa.select(t.table.c[t.word]).select_from(
        sa.select(sa.literal(1)).subquery().outerjoin(t.table, sa.false(), full=True)
    ),
    "full_join_left": lambda t: sa.select(t.table.c[t.word]).select_from(
        t.table.outerjoin(sa.select(sa.literal(1)).subquery(), sa.false(), full=True)
    ),
    "model_outer_join": lambda t: (
        sa.select(t.words)
        .select_from(sa.select(sa.literal(1)).subquery())
        .outerjoin(t.model, sa.true())
    ),
    "model_full_join": lambda t: (
        sa.select(t.words)
        .select_from(sa.select(sa.literal(1)).subquery())
        .outerjoin(t.model, sa.false(), full=True)
    ),
    "model_on_the_left": lambda t: sa.select(t.words).select_from(
        orm.outerjoin(t.model, sa.select(sa.literal(1)).subquery(), t.theirs)
    ),
    "values_join": lambda t: sa.select(t.words).join(
        sa.values(sa.column("u", sa.Uuid), name="v").data([(t.their,)]), sa.true()
    ),
    "in_subquery": lambda t: (
        sa.select(t.words)
        .where(t.words.in_(sa.select(t.table.c[t.word])))
        .union_all(
            sa.select(sa.literal(t.secret)).where(
                sa.literal(t.their).in_(sa.select(t.table.c[t.owner]))
            )
        )
    ),
    "exists": lambda t: sa.select(sa.literal(t.secret)).where(
        sa.exists().select_from(t.table).where(t.theirs)
    ),
    "model_exists": lambda t: sa.select(sa.literal(t.secret)).where(
        sa.exists().where(getattr(t.model, t.owner) == t.their)
    ),
    "case": lambda t: sa.select(
        sa.case((sa.exists(sa.select(t.table.c.id).where(t.theirs)), t.secret), else_="no")
    ),
    "having": lambda t: sa.select(sa.func.string_agg(t.table.c[t.word], ",")).having(
        sa.func.count() > 0
    ),
    "grouped": lambda t: sa.select(t.words, sa.func.count()).group_by(t.words),
    "counted": lambda t: sa.select(sa.literal(t.secret)).where(
        sa.select(sa.func.count()).select_from(t.table).where(t.theirs).scalar_subquery() > 0
    ),
    "model_counted": lambda t: sa.select(sa.literal(t.secret)).where(
        sa.select(sa.func.count())
        .select_from(t.model)
        .where(getattr(t.model, t.owner) == t.their)
        .scalar_subquery()
        > 0
    ),
    "correlated": lambda t: sa.select(
        User.id,
        sa.select(sa.func.string_agg(t.table.alias("t").c[t.word], ","))
        .correlate(User)
        .scalar_subquery(),
    ),
    "uncorrelated": lambda t: sa.select(
        t.words,
        sa.select(sa.func.string_agg(t.table.c[t.word], ",")).correlate(None).scalar_subquery(),
    ),
    "recursive": _recursive,
    "locked": lambda t: sa.select(t.table.c[t.word]).with_for_update(),
    "returning_dml": lambda t: sa.select(
        sa.update(t.table)
        .values({t.word: t.table.c[t.word]})
        .returning(t.table.c[t.word])
        .cte()
        .c[t.word]
    ),
    "returning": lambda t: (
        sa.update(t.table).values({t.word: t.table.c[t.word]}).returning(t.table.c[t.word])
    ),
    "lambda": lambda t: _lambda(t.words),
}

OF_THEIRS = {
    *(
        "table_where",
        "exists",
        "bare_exists",
        "model_exists",
        "case",
        "counted",
        "model_counted",
        "within",
    ),
}
"""The reads that name the other user, and so find nothing of one's own."""
