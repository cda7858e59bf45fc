"""What faceplate relies on in Alembic: docs/private-parts.md, M1 and M2."""

import io
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ENVIRONMENT = """
from alembic import context
from alembic.operations import Operations

context.configure(connection=context.config.attributes["connection"])
own = context.get_context()
context.config.attributes["look"](own)
assert Operations(own).migration_context.config is context.config
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """
revision, down_revision = {revision!r}, {down_revision!r}
LOSES = ("what {revision} holds", "SELECT 1")
def upgrade(): pass
def downgrade(): pass
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An environment of two revisions."""
    versions = tmp_path / "versions"
    versions.mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "script.py.mako").write_text("")
    for revision, below in (("first", None), ("second", "first")):
        text = REVISION.format(revision=revision, down_revision=below)
        (versions / f"{revision}.py").write_text(text)
    made = Config(stdout=io.StringIO(), cmd_opts=Namespace(x=["lose=data"]))
    made.set_main_option("script_location", str(tmp_path))
    made.set_main_option("path_separator", "os")
    return made


async def planned(
    url: str, config: Config, *commands: Callable[[], None]
) -> list[list[tuple[bool, str]]]:
    """Run commands of Alembic. Return the steps that each was about to take."""
    plans: list[list[tuple[bool, str]]] = []

    def look(context: MigrationContext) -> None:
        plan: Any = context._migrations_fn
        steps = list(plan(context.get_current_heads(), context))
        plans.append([(step.is_downgrade, _loses(step)) for step in steps])

    def run(connection: Connection) -> None:
        config.attributes.update(connection=connection, look=look)
        for one in commands:
            one()

    async def connect() -> Any:
        return await asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()
    return plans


def _loses(step: Any) -> str:
    what: str = step.revision.module.LOSES[0]
    return what


async def test_a_migration_tells_its_steps_before_it_takes_them(
    empty_database_url: str, config: Config
) -> None:
    """Else a downgrade that loses data is not refused before its first step."""
    first, second = "what first holds", "what second holds"
    assert await planned(
        empty_database_url,
        config,
        lambda: command.upgrade(config, "head"),
        lambda: command.upgrade(config, "head"),
        lambda: command.downgrade(config, "-1"),
        lambda: command.upgrade(config, "head"),
        lambda: command.downgrade(config, "base"),
    ) == [
        [(False, first), (False, second)],
        [],
        [(True, second)],
        [(False, second)],
        [(True, second), (True, first)],
    ]


async def test_a_context_knows_the_config_of_its_command(
    empty_database_url: str, config: Config
) -> None:
    """Else a downgrade cannot be confirmed, and row-level security cannot be switched off."""
    plans = await planned(empty_database_url, config, lambda: command.upgrade(config, "head"))
    assert len(plans) == 1  # the environment compares them
    assert MigrationContext.configure(dialect_name="postgresql").config is None
