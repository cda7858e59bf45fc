"""A project with tables of its own, from ``faceplate init`` on: its revisions, its isolation."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.projects import Project, begin, tables

from faceplate import Database, migrate
from faceplate.services import users

MODELS = """
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, MetaData
from sqlalchemy.orm import Mapped, mapped_column

from faceplate.column_types import Json, JsonObject, JsonText, Key, Text
from faceplate.models import Base, Owned, User


class AppBase(Base):
    __abstract__ = True
    metadata = MetaData(SCHEMA, naming_convention=Base.metadata.naming_convention)


class Note(Owned, AppBase):
    __tablename__ = "notes"
    __table_args__ = (ForeignKeyConstraint(["user_id"], [User.id], ondelete="CASCADE"),)

    body: Mapped[str] = mapped_column(Text(1000))
    marks: Mapped[JsonObject] = mapped_column(Json(dict, max_chars=1000), server_default="{}")
    place: Mapped[str] = mapped_column(Key(max_bytes=100), server_default="")
    page: Mapped[str | None] = mapped_column(JsonText())


class Price(AppBase):
    __tablename__ = "prices"

    name: Mapped[str] = mapped_column(Text(100), primary_key=True)
"""
# Two users; each writes a note, and both then read all that there are, by three ways.
PROGRAM = """
import asyncio

from app.models import Note
from sqlalchemy import bindparam, insert, select, text

from faceplate import Database, InvalidInput, Statement
from faceplate.services import users

WRITE = Statement(str, insert(Note).values(
    user_id=bindparam("user_id"), id=bindparam("id"), body=bindparam("body")
).returning(Note.body))
READ = Statement(str, select(Note.body))


async def write(scope, body):
    return await scope.one(WRITE, id=scope.new_id(), body=body)


async def read(scope):
    raw = await scope.session.execute(text(f"SELECT body FROM {Note.__table__.fullname}"))
    mapped = await scope.session.scalars(select(Note.body))
    return await scope.all(READ), list(mapped), list(raw.scalars())


async def main():
    async with Database() as db:
        for name in ("ada", "bob"):
            user = await db.run_system(users.ensure, name)
            await db.run(user.id, write, f"of {name}")
        for name in ("ada", "bob"):
            user = await db.run_system(users.ensure, name)
            print(name, *await db.run(user.id, read))
        try:
            await db.run(user.id, write, " ")
        except InvalidInput as error:
            print(error.field)
        health = await db.check()
        print(health.ok, health.gaps)
        await db.run_system(users.delete, user.id)


asyncio.run(main())
"""


def start(directory: Path, url: str, schema: str | None = None) -> Project:
    """A project with two models, one of which is owned."""
    return begin(directory, url, MODELS.replace("SCHEMA", f"schema={schema!r}"))


@pytest.mark.parametrize("schema", [None, "app"])
async def test_the_tables_of_a_project_live_beside_ours(
    schema: str | None, fresh_database_url: str, tmp_path: Path
) -> None:
    """Else a project's first revision drops our tables, or its own rows are everybody's."""
    url = fresh_database_url
    ours = (await tables(url))["faceplate"]
    project = await asyncio.to_thread(start, tmp_path, url, schema)

    project.alembic("revision", "--autogenerate", "-m", "notes")
    revision = project.revision()
    assert re.findall(r"op\.create_table\(\s*'(\w+)'", revision) == ["notes", "prices"]
    assert re.findall(r"op\.drop_table\('(\w+)'", revision) == ["prices", "notes"]
    assert revision.count("op.enable_user_isolation('notes'") == 1
    assert "faceplate.users.id" in revision
    assert "import faceplate" not in revision  # it outlives the rules of today

    project.alembic("upgrade", "head")
    assert "No new upgrade operations detected" in project.alembic("check")
    assert await tables(url) == {
        "faceplate": ours,
        schema or "public": {"notes", "prices", "alembic_version"},
    }
    assert await migrate.check(Database(url).settings) == []

    project.write("program.py", PROGRAM)
    assert project.run("program.py").splitlines() == [
        "ada ['of ada'] ['of ada'] ['of ada']",
        "bob ['of bob'] ['of bob'] ['of bob']",
        "notes.body",
        "True ()",
    ]

    project.alembic("downgrade", "base")
    assert (await tables(url))["faceplate"] == ours
    project.alembic("upgrade", "head")


async def test_an_owned_table_without_its_policy_is_found(
    fresh_database_url: str, tmp_path: Path
) -> None:
    """Else a forgotten policy is noticed when a user reads another user's rows."""
    url = fresh_database_url
    project = await asyncio.to_thread(start, tmp_path, url)
    project.alembic("revision", "--autogenerate", "-m", "notes")
    project.alembic("upgrade", "head")
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE notes DISABLE ROW LEVEL SECURITY")
    await connection.close()

    assert "EnableUserIsolation" in project.alembic("check", fails=True)
    project.write("program.py", PROGRAM)
    gap = "public.notes is without row-level security: ALTER TABLE public.notes ENABLE"
    assert project.run("program.py").splitlines()[-1].startswith(f"False ('{gap}")


async def test_the_commands_know_the_tables_of_a_projects_models(
    fresh_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `faceplate doctor` finds all well while a policy lets through what is everybody's."""
    project = await asyncio.to_thread(start, tmp_path, fresh_database_url)
    project.alembic("revision", "--autogenerate", "-m", "notes")
    project.alembic("upgrade", "head")
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("ALTER POLICY of_user ON notes USING (true) WITH CHECK (true)")
    unknown = checked(project.faceplate("check", "--json"))
    assert [w for w in unknown["warnings"] if "all rows of public.notes, which refers to" in w]

    monkeypatch.setenv("FACEPLATE_MODELS", "app.models")
    [gap] = checked(project.faceplate("check", "--json", fails=True))["gaps"]
    assert gap.startswith("the policy of_user on public.notes lets units reach rows")
    assert "the policy of_user on public.notes" in project.faceplate("doctor", fails=True)
    assert "EnableUserIsolation" in project.alembic("check", fails=True)

    project.alembic("revision", "--autogenerate", "-m", "isolation")
    project.alembic("upgrade", "head")
    assert checked(project.faceplate("check", "--json"))["ok"]

    async with Database(fresh_database_url) as db:
        user = await db.run_system(users.ensure, "ada")
    await connection.execute(
        "INSERT INTO notes (user_id, id, body) VALUES ($1, gen_random_uuid(), 'x')", user.id
    )
    who = ("--user", str(user.id))
    exported = project.faceplate("export", *who, "--output", "ada.jsonl")
    assert ", 1 note written to ada.jsonl" in exported
    tables = checked(project.faceplate("stats", "--exact", "--json"))["stats"]["tables"]
    assert [row["rows"] for row in tables if row["name"] == "public.notes"] == [1]
    erased = project.faceplate("erase", *who, "--yes")
    assert ", 1 note." in erased
    assert re.search(r"public\.notes +0", erased)
    imported = project.faceplate("import", "ada.jsonl", *who)
    assert ", 1 note" in imported

    await connection.execute("ALTER TABLE notes DROP CONSTRAINT fk_notes_users")
    await connection.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    await connection.close()
    erased = project.faceplate("erase", *who, "--yes", "--json", fails=True)
    assert checked(erased)["left"] | {"users": 0, "public.notes": 1} == checked(erased)["left"]

    monkeypatch.delenv("FACEPLATE_MODELS")
    refused = project.faceplate("import", "ada.jsonl", "--user", "bob@example.com", fails=True)
    assert "a table of the project's own is known by its model" in " ".join(refused.split())


def checked(printed: str) -> Any:
    return json.loads(printed.splitlines()[0])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "nowhere cannot be imported from "),
        ("app.broken", "app.broken cannot be imported from "),
        ("not a name", "'not a name' is not the name of a module"),
    ],
)
def test_models_that_cannot_be_imported_are_one_message(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the commands go on without the tables that they were to look at."""
    project = Project(tmp_path, "postgresql://nobody@127.0.0.1:1/nowhere")
    project.write("app/broken.py", "raise RuntimeError('half\\nway')")
    monkeypatch.setenv("FACEPLATE_MODELS", name)
    for command in ("check", "doctor", "stats"):
        said = project.faceplate(command, fails=True)
        assert "FACEPLATE_MODELS: " in said
        assert words in said
        assert "Traceback" not in said


THEIR_ENV = """
import os

import sqlalchemy as sa
from alembic import context

from faceplate import Settings, own_tables
from faceplate._driver.engine import create_migration_engine

metadata = sa.MetaData()
sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="shop")


def run(connection):
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=own_tables.include_name,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with create_migration_engine(Settings()).connect() as connection:
        await connection.run_sync(run)


import asyncio
asyncio.run(main())
"""


async def test_an_environment_of_their_own_leaves_our_tables_alone(
    fresh_database_url: str, tmp_path: Path
) -> None:
    """Else a project with several schemas, which calls Alembic itself, drops all chats."""
    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.old (id int)")
    await connection.close()
    project = await asyncio.to_thread(start, tmp_path, fresh_database_url)
    project.write("migrations/env.py", THEIR_ENV)
    project.alembic("revision", "--autogenerate", "-m", "things")
    upgrade = project.revision().partition("def downgrade")[0]
    assert re.findall(r"op\.(\w+)\(\s*'(\w+)'", upgrade) == [
        ("create_table", "things"),
        ("drop_table", "old"),
    ]


async def test_without_row_level_security_a_project_migrates_too(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a project that cannot have the units' role cannot have its own tables either."""
    monkeypatch.setenv("FACEPLATE_ROW_LEVEL_SECURITY", "false")
    project = await asyncio.to_thread(start, tmp_path, empty_database_url)
    project.faceplate("migrate")
    project.alembic("revision", "--autogenerate", "-m", "notes")
    assert "user_isolation" not in project.revision()
    project.alembic("upgrade", "head")
    assert "No new upgrade operations detected" in project.alembic("check")


async def test_ours_come_first(empty_database_url: str, tmp_path: Path) -> None:
    """Else a project's revision fails half-way, at a foreign key to a table that is not there."""
    project = await asyncio.to_thread(start, tmp_path, empty_database_url)
    said = project.alembic("upgrade", "head", fails=True)
    assert "FAILED: faceplate's own tables are not there" in said
    assert "run `faceplate migrate` first" in said
    assert "Traceback" not in said
    project.faceplate("migrate", "--revision", "0001")
    assert "are at 0001" in project.alembic("upgrade", "head", fails=True)
    assert await tables(empty_database_url) == {
        "faceplate": {*(await tables(empty_database_url))["faceplate"]}
    }


async def test_a_database_that_is_ahead_of_the_program_is_not_in_its_way(
    fresh_database_url: str, tmp_path: Path
) -> None:
    """Else, in a rolling deploy, the old version of a program cannot be started any more."""
    url = fresh_database_url
    project = await asyncio.to_thread(start, tmp_path, url)
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE faceplate.alembic_version SET version_num = '9999'")
    await connection.close()
    project.alembic("upgrade", "head")


def test_sql_for_whoever_runs_it_by_hand(tmp_path: Path) -> None:
    """Else a database administrator has nothing to read before it is run."""
    project = start(tmp_path, "postgresql://nobody@localhost:1/nowhere", "app")
    project.write(
        "migrations/versions/1_notes.py",
        'from alembic import op\nrevision = "1"\ndown_revision = None\n'
        'def upgrade():\n    op.enable_user_isolation("no\'te%s", schema="app")\n'
        'def downgrade():\n    op.disable_user_isolation("no\'te%s", schema="app")\n',
    )
    sql = project.alembic("upgrade", "head", "--sql")
    assert "CREATE SCHEMA IF NOT EXISTS app;" in sql
    assert 'CREATE POLICY of_user ON app."no\'te%s" USING (user_id = ' in sql
    assert "DROP POLICY IF EXISTS of_user ON app" in project.alembic("downgrade", "1:base", "--sql")


def test_our_schema_is_not_for_a_projects_tables(tmp_path: Path) -> None:
    """Else the next revision of ours, or of theirs, drops the other's table."""
    project = start(tmp_path, "postgresql://nobody@localhost:1/nowhere", "faceplate")
    said = project.alembic("check", fails=True)
    assert "the schema faceplate belongs to faceplate" in said
    assert "(notes, prices)" in said


INHERITING = """
import sqlalchemy as sa
from sqlalchemy.orm import mapped_column

from faceplate.column_types import Id
from faceplate.models import Base, Owned, Private


class Shape({kind}, Base):
    __tablename__ = "shapes"
    if not issubclass({kind}, Owned):
        id = mapped_column(Id(), primary_key=True)
    kind = mapped_column(sa.Text, server_default="")
    __mapper_args__ = {{"polymorphic_on": "kind"}}


class Round(Shape):  # a table of one's own is not needed
    __mapper_args__ = {{"polymorphic_identity": "round"}}


class Circle(Shape):
    __tablename__ = "circles"
    {columns}
    __mapper_args__ = {{"polymorphic_identity": "circle"}}
"""
OF_ITS_USER = """
    user_id = mapped_column(Id(), primary_key=True)
    id = mapped_column(Id(), primary_key=True)
    __table_args__ = (sa.ForeignKeyConstraint([user_id, id], [Shape.user_id, Shape.id]),)
"""
OF_NOBODY = "id = mapped_column(Id(), sa.ForeignKey(Shape.id), primary_key=True)"


@pytest.mark.parametrize(
    ("kind", "columns", "refused"), [("Owned", OF_ITS_USER, False), ("Private", OF_NOBODY, True)]
)
def test_a_table_that_inherits_needs_its_users_column(
    kind: str, columns: str, *, refused: bool
) -> None:
    """Else a table has no policy, and no column that limits what is read from it."""
    program = INHERITING.format(kind=kind, columns=columns)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert ("circles needs a column user_id of its own" in done.stderr) is refused
    assert (done.returncode != 0) is refused, done.stderr


def test_a_database_that_is_away_is_one_message(tmp_path: Path) -> None:
    """Else a developer who forgot to start PostgreSQL reads a page of traceback."""
    project = start(tmp_path, "postgresql://nobody@127.0.0.1:1/nowhere")
    said = project.alembic("upgrade", "head", fails=True)
    assert "FAILED: " in said
    assert "127.0.0.1:1/nowhere" in said
    assert "Traceback" not in said


def test_init_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    """Else somebody has to look for what has appeared in their project."""
    said = Project(tmp_path, "").faceplate("init", "new/project")
    for name in ("alembic.ini", ".env.example", "migrations/env.py", "migrations/script.py.mako"):
        assert f"new/project/{name}\n" in said
        assert (tmp_path / "new" / "project" / name).is_file()
    assert "alembic upgrade head" in said
    assert (tmp_path / "new/project/migrations/versions").is_dir()


def test_init_tells_a_script_what_it_wrote(tmp_path: Path) -> None:
    """Else a script that sets projects up has to guess their files."""
    written = json.loads(Project(tmp_path, "").faceplate("init", "--json"))["written"]
    assert [name for name in written if not (tmp_path / name).is_file()] == []


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    """Else a project loses the settings or the migrations that it has."""
    project = Project(tmp_path, "")
    project.write("alembic.ini", "theirs")
    project.write("migrations/env.py", "theirs")
    said = project.faceplate("init", fails=True)
    assert "already has: alembic.ini, migrations/env.py" in said
    assert (tmp_path / "alembic.ini").read_text() == "theirs"
    assert not (tmp_path / ".env.example").exists()
