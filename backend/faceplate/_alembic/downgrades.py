"""The guard of downgrades: a check, before the first step, for lost data.

A revision whose downgrade drops data has ``LOSES``: what is lost, in words, and a SELECT that
returns a row if there is such data. It selects a column, as Citus needs one.
"""

from collections.abc import Iterable
from typing import Any

from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import Connection, text

from faceplate.errors import UsageError

CONFIRMATION = "lose"
"""The key of the confirmation on the shell: ``alembic -x lose=data downgrade ...``"""
MAY_LOSE_DATA = "may_lose_data"
"""The attribute of Alembic's Config by which a program confirms."""


def refuse_loss(connection: Connection, context: MigrationContext, given: list[str]) -> None:
    """Raise UsageError if the steps that Alembic is about to take would lose data.

    ``given`` is what followed ``-x`` on its command line. It leaves no transaction open: Alembic
    would not begin its own inside one.
    """
    config: Any = context.config
    if config is None or config.attributes.get(MAY_LOSE_DATA, False):
        return
    if f"{CONFIRMATION}=data" in given:
        return
    with connection.begin():
        lost = list(_losses(connection, _steps(context)))
    if lost:
        raise UsageError(
            f"the downgrade would lose {' and '.join(lost)}, so nothing was done: make a backup,"
            " then confirm with `migrate.downgrade(..., may_lose_data=True)` or"
            f" `alembic -x {CONFIRMATION}=data downgrade ...`"
        )


def _steps(context: MigrationContext) -> Iterable[Any]:
    plan: Any = context._migrations_fn  # noqa: SLF001 - Alembic has no other name for its plan
    steps: Iterable[Any] = plan(context.get_current_heads(), context)
    return steps


def _losses(connection: Connection, steps: Iterable[Any]) -> Iterable[str]:
    for step in steps:
        if not (isinstance(step, RevisionStep) and step.is_downgrade):  # `stamp` runs nothing
            continue
        loses = getattr(step.revision.module, "LOSES", None)
        if loses is None:
            continue
        what, rows = loses
        if connection.execute(text(f"SELECT EXISTS ({rows})")).scalar_one():
            yield what
