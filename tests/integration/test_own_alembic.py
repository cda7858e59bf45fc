"""A project that calls Alembic itself: faceplate's tables are left alone, whatever else it does."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from tests.projects import Project, tables

from faceplate import encryption

# Two databases in one alembic.ini, as `alembic init -t multidb` begins them, on asyncpg.
ENV = """
import asyncio

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from faceplate import own_tables
from faceplate.models import Base, Owned


class AppBase(Base):
    __abstract__ = True
    metadata = sa.MetaData()


class Note(Owned, AppBase):
    __tablename__ = "notes"
    __table_args__ = {"schema": "app"}
    body: Mapped[str]


other = sa.MetaData()
sa.Table("things", other, sa.Column("id", sa.Integer, primary_key=True))
METADATA = {"chat": AppBase.metadata, "other": other}


def include_name(name, kind, parents):
    return own_tables.include_name(name, kind, parents) and name != "theirs"


def run(connection, name, config):
    context.configure(
        connection=connection,
        target_metadata=METADATA[name],
        upgrade_token=f"{name}_upgrades",
        downgrade_token=f"{name}_downgrades",
        include_schemas=True,
        include_name=include_name,
        render_item=own_tables.render_item,
    )
    with context.begin_transaction():
        context.run_migrations(engine_name=name)


async def main():
    config = context.config
    for name in METADATA:
        url = sa.make_url(config.get_section_option(name, "sqlalchemy.url"))
        engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
        async with engine.connect() as connection:
            await connection.run_sync(run, name, config)
        await engine.dispose()


asyncio.run(main())
"""


async def test_two_databases_in_one_project(
    fresh_database_url: str,
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else autogenerate drops all chats, the key of the seal, or isolates in the wrong database."""
    monkeypatch.setenv("FACEPLATE_SEAL_KEY", encryption.generate_key())
    project = Project(tmp_path, fresh_database_url)
    await asyncio.to_thread(project.faceplate, "migrate")
    before = await tables(fresh_database_url)
    assert before.keys() == {"faceplate", "faceplate_seal"}
    for url in (fresh_database_url, empty_database_url):
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.old (id int)")
        await connection.execute("CREATE SCHEMA app")
        await connection.close()

    project.alembic("init", "-t", "multidb", "migrations")
    project.write("migrations/env.py", ENV)
    ini = (tmp_path / "alembic.ini").read_text(encoding="utf-8")
    ini = re.sub(r"(?m)^databases = .*", "databases = chat, other", ini)
    for theirs, name, url in (
        ("engine1", "chat", fresh_database_url),
        ("engine2", "other", empty_database_url),
    ):
        ini = ini.replace(f"[{theirs}]", f"[{name}]")
        ini = ini.replace(
            "driver://user:pass@localhost/dbname" + ("2" if name == "other" else "\n"),
            url.replace("%", "%%") + ("" if name == "other" else "\n"),
        )
    project.write("alembic.ini", ini)
    project.alembic("revision", "--autogenerate", "-m", "start")
    written = project.revision()
    chat, other = written.split("def upgrade_other")
    assert "op.enable_user_isolation('notes', schema='app')" in chat
    assert re.findall(r"    op\.(create_table|enable\w+)", other) == ["create_table"]
    assert "op.drop_table" not in chat.split("def downgrade_chat")[0].split("def upgrade_chat")[1]
    project.alembic("upgrade", "head")
    assert "No new upgrade operations detected" in project.alembic("check")
    after = await tables(fresh_database_url)
    assert after["app"] == {"notes"}
    assert {name: after[name] for name in before} == before
    assert (await tables(empty_database_url))["public"] == {"things", "alembic_version"}
    connection = await asyncpg.connect(fresh_database_url)
    policy = "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polname = 'of_user'"
    assert "faceplate_seal.user_id()" in await connection.fetchval(policy)
    await connection.close()
