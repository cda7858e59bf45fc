"""What autogenerate writes for a project's models, from the first revision through changes."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from tests.databases import settings_of
from tests.projects import Project, begin

from faceplate import Database, Scope, Settings, Statement, Unauthorized, User

HEAD = """
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import ForeignKeyConstraint, MetaData
from sqlalchemy.orm import Mapped, mapped_column, synonym

from faceplate.column_types import Id, OneOf, Text
from faceplate.models import Base, Message, Owned, Private, Task, User, references


class AppBase(Base):
    __abstract__ = True
    metadata = MetaData(SCHEMA)
"""
NAMES = ", naming_convention=Base.metadata.naming_convention"
DOCUMENT = """
class Document(Owned, AppBase):
    __tablename__ = "documents"

    body: Mapped[str] = mapped_column(Text(1000))
"""
PLAIN = """
class Document(AppBase):
    __tablename__ = "documents"

    id: Mapped[UUID] = mapped_column(Id(), primary_key=True)
    body: Mapped[str] = mapped_column(Text(1000))
"""
RATINGS = """
class Rating(Owned, AppBase):
    __tablename__ = "ratings"
    __table_args__ = (references(Message),)

    conversation_id: Mapped[UUID]
    message_id: Mapped[UUID]


class Draft(Owned, AppBase):
    __tablename__ = "drafts"
    __table_args__ = (
        references(Message, id="answer_id", ondelete="SET NULL", name="fk_drafts_answer"),
        references(Message, id="question_id", ondelete="RESTRICT", name="fk_drafts_question"),
        references(Task, ondelete="NO ACTION"),
    )

    conversation_id: Mapped[UUID]
    question_id: Mapped[UUID]
    answer_id: Mapped[UUID | None]
    task_id: Mapped[UUID | None]


class Setting(Private, AppBase):
    __tablename__ = "settings"

    owner_id: Mapped[UUID] = mapped_column("Owner", Id(), primary_key=True)
    user_id = synonym("owner_id")
"""
KEYS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND conrelid = to_regclass($1) ORDER BY conname
"""
TO_USERS = "FOREIGN KEY (user_id) REFERENCES faceplate.users(id) ON DELETE CASCADE"
TO_MESSAGES = (
    "FOREIGN KEY (user_id, conversation_id, {}) REFERENCES"
    " faceplate.messages(user_id, conversation_id, id) ON DELETE {}"
)


def models(*parts: str, schema: str | None = None, names: str = NAMES) -> str:
    return HEAD.replace("SCHEMA", f"schema={schema!r}{names}") + "\n".join(parts)


def revise(project: Project, *parts: str, **options: Any) -> str:
    """Change the models, migrate, and return what the revision's upgrade does."""
    versions = project.directory / "migrations" / "versions"
    before = {*versions.glob("*.py")}
    project.write("app/models.py", models(*parts, **options))
    said = project.alembic_in_turn("revision --autogenerate -m next", "upgrade head", "check")
    assert "No new upgrade operations detected" in said
    [written] = {*versions.glob("*.py")} - before
    return written.read_text(encoding="utf-8").partition("def upgrade")[2]


def operations(revision: str) -> list[str]:
    upgrade, _, downgrade = revision.partition("def downgrade")
    assert downgrade
    return re.findall(r"    op\.(\w+)\(", upgrade)


@pytest.fixture
def settings(fresh_database_url: str) -> Settings:
    """The database of this test alone."""
    return settings_of(fresh_database_url)


@pytest.fixture
async def database(fresh_database_url: str) -> Any:
    connection = await asyncpg.connect(fresh_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def project(fresh_database_url: str, tmp_path: Path) -> Project:
    return await asyncio.to_thread(begin, tmp_path, fresh_database_url, models())


async def keys(database: Any, table: str) -> dict[str, str]:
    return dict(await database.fetch(KEYS, table))


@pytest.mark.parametrize("schema", [None, "app"])
@pytest.mark.parametrize("names", ["", NAMES], ids=["unnamed", "named"])
async def test_an_owned_model_brings_its_key_to_users(
    schema: str | None, names: str, project: Project, database: Any
) -> None:
    """Else a user is deleted, and the rows stay."""
    written = revise(project, DOCUMENT, schema=schema, names=names)
    assert operations(written) == ["create_table", "enable_user_isolation", "distribute_table"]
    found = await keys(database, f"{schema or 'public'}.documents")
    name = "fk_documents_users" if names else "documents_user_id_fkey"
    assert found == {name: TO_USERS}
    project.alembic("downgrade", "base")


async def test_a_table_that_was_created_without_the_key_gets_it(
    project: Project, database: Any
) -> None:
    """Else a project that began before keeps a table whose rows nobody's deletion reaches."""
    revise(project, DOCUMENT)
    await database.execute("ALTER TABLE documents DROP CONSTRAINT fk_documents_users")
    written = revise(project, DOCUMENT)
    assert operations(written) == ["create_foreign_key"]
    assert await keys(database, "documents") == {"fk_documents_users": TO_USERS}


ODD_NAMES = """
class Line(Owned, AppBase):
    __tablename__ = "Order Lines"

    order: Mapped[str] = mapped_column(Text(100))
    kind: Mapped[str] = mapped_column("Kind of", OneOf(("new", "customer's")))
"""
PARTITIONED = """
class Event(Owned, AppBase):
    __tablename__ = "events"
    __table_args__ = {"postgresql_partition_by": "HASH (user_id)"}

    body: Mapped[str] = mapped_column(Text(100))
"""


async def test_names_that_sql_quotes_are_names(project: Project, database: Any) -> None:
    """Else a column that is called as a word of SQL's fails in the first revision."""
    written = revise(project, ODD_NAMES)
    assert operations(written) == ["create_table", "enable_user_isolation", "distribute_table"]
    assert operations(revise(project, ODD_NAMES)) == []
    (kind,) = await database.fetch(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
        """ AND conrelid = '"Order Lines"'::regclass AND conname LIKE '%Kind%'"""
    )
    assert '"Kind of"' in kind[0]
    assert "'customer''s'" in kind[0]


async def test_a_partition_is_not_dropped(project: Project, database: Any) -> None:
    """Else the second revision of a partitioned table removes its rows."""
    revise(project, PARTITIONED)
    await database.execute("""
        CREATE SCHEMA parts;
        CREATE TABLE events_0 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE parts.events_1 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE INDEX extra ON events_0 (body)
    """)
    assert operations(revise(project, PARTITIONED)) == []


async def test_a_reference_to_a_message_is_one_line(project: Project, database: Any) -> None:
    """Else a project writes three columns twice, and forgets the user among them."""
    revise(project, RATINGS)
    assert await keys(database, "ratings") == {
        "fk_ratings_messages": TO_MESSAGES.format("message_id", "CASCADE")
    }
    assert await keys(database, "drafts") == {
        "fk_drafts_answer": TO_MESSAGES.format("answer_id", "SET NULL (answer_id)"),
        "fk_drafts_question": TO_MESSAGES.format("question_id", "RESTRICT"),
        "fk_drafts_tasks": "FOREIGN KEY (user_id, task_id) REFERENCES faceplate.tasks(user_id, id)",
        "fk_drafts_users": TO_USERS,
    }
    assert await keys(database, "settings") == {
        "fk_settings_users": TO_USERS.replace("user_id", '"Owner"')
    }
    policy = "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = $1::regclass"
    assert '("Owner" = (NULLIF(' in await database.fetchval(policy, "settings")
    project.alembic("downgrade", "base")


async def test_a_table_that_becomes_owned_and_plain_again_keeps_up(
    project: Project, database: Any
) -> None:
    """Else a revision fails at a column that a policy compares, or a policy stays behind."""
    revise(project, PLAIN)
    assert operations(revise(project, DOCUMENT)) == [
        *("add_column", "create_foreign_key", "enable_user_isolation")
    ]
    is_on = "SELECT relrowsecurity FROM pg_class WHERE oid = 'documents'::regclass"
    assert await database.fetchval(is_on)
    written = revise(project, PLAIN)
    assert operations(written) == ["disable_user_isolation", "drop_constraint", "drop_column"]
    assert not await database.fetchval(is_on)
    project.alembic("downgrade", "-1")
    assert await database.fetchval(is_on)
    project.alembic_in_turn("upgrade head", "downgrade base")


async def test_a_table_under_another_name_is_isolated(project: Project, database: Any) -> None:
    """Else it is renamed out of its policy, or its downgrade brings it back without one."""
    revise(project, DOCUMENT)
    renamed = DOCUMENT.replace('"documents"', '"papers"')
    written = revise(project, renamed)
    assert operations(written) == [
        "disable_user_isolation",
        "create_table",
        "drop_table",
        "enable_user_isolation",
        "distribute_table",
    ]
    project.alembic("downgrade", "-1")
    policies = "SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'of_user'"
    assert [row[0] for row in await database.fetch(policies)] == ["documents"]
    project.alembic("upgrade", "head")
    assert [row[0] for row in await database.fetch(policies)] == ["papers"]
    await database.execute("ALTER TABLE papers RENAME TO documents")
    project.write("app/models.py", models(DOCUMENT))
    assert "No new upgrade operations detected" in project.alembic("check")


PLANS = """
class Plan(AppBase):
    __tablename__ = "plans"

    name: Mapped[str] = mapped_column(Text(100), primary_key=True)
"""
GRANTED = """
from alembic import op
from faceplate import own_tables
revision, down_revision = "{0}", "{1}"
def upgrade():
    op.grant_to_units("plans"{2})
def downgrade():
    op.revoke_from_units("plans"{2})
"""
READ: Statement[Any] = Statement(str, sa.select(sa.table("plans", sa.column("name"), schema="app")))


async def add_plan(scope: Scope) -> None:
    await scope.session.execute(sa.text("INSERT INTO app.plans (name) VALUES ('large')"))


async def read_plans(scope: Scope) -> list[str]:
    return await scope.all(READ)


async def test_a_table_without_users_is_granted_by_one_operation(
    project: Project, database: Any, db: Database, user: User
) -> None:
    """Else a lookup table that no unit may read costs an afternoon, and a GRANT by hand."""
    revise(project, PLANS, schema="app")
    first = await database.fetchval("SELECT version_num FROM app.alembic_version")
    operations = "op.grant_to_units, or op.enable_user_isolation where its rows belong to users"
    with pytest.raises(Unauthorized, match="permission denied for schema app: .*" + operations):
        await db.run(user.id, read_plans)

    versions = project.directory / "migrations" / "versions"
    for number, before, options in (("a", first, ""), ("b", "a", ", write=True")):
        text = GRANTED.format(number, before, ", schema='app'" + options)
        (versions / f"{number}.py").write_text(text, encoding="utf-8")
    project.alembic("upgrade", "a")
    assert await db.run(user.id, read_plans) == []
    with pytest.raises(Unauthorized, match="permission denied for table plans: .*" + operations):
        await db.run(user.id, add_plan)
    project.alembic("upgrade", "b")
    await db.run(user.id, add_plan)
    assert await db.run(user.id, read_plans) == ["large"]
    assert (await db.check()).warnings == ()
    assert "No new upgrade operations detected" in project.alembic("check")
    sql = project.alembic("upgrade", f"{first}:b", "--sql")
    assert "GRANT SELECT ON app.plans TO faceplate_app;" in sql
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON app.plans TO faceplate_app;" in sql
    project.alembic("downgrade", "-1")
    assert await db.run(user.id, read_plans) == ["large"]
    with pytest.raises(Unauthorized):
        await db.run(user.id, add_plan)
    project.alembic("downgrade", "-1")
    with pytest.raises(Unauthorized):
        await db.run(user.id, read_plans)


async def test_a_table_whose_model_is_not_imported_is_named(
    project: Project, database: Any, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an export is a part of what a user has, and nobody is told."""
    revise(project, DOCUMENT)
    insert = "INSERT INTO documents (user_id, id, body) VALUES ($1, gen_random_uuid(), 'mine')"
    await database.execute(insert, user.id)
    who = ("--user", str(user.id))
    undeclared = (
        "public.documents has rows of users, and no model that was imported declares it, so that"
        " export leaves it out: name the module of its model in FACEPLATE_MODELS"
    )
    assert warnings(project) == [undeclared]
    left_out = "These tables are not in it: public.documents. FACEPLATE_MODELS names"
    assert left_out in words(project.faceplate("export", *who, "--output", "one.jsonl"))
    erased = project.faceplate("erase", *who, "--yes", "--export-to", "two.jsonl")
    assert "These tables are not in the export: public.documents." in words(erased)
    assert re.search(r"public\.documents +0", erased)
    assert await database.fetchval("SELECT count(*) FROM documents") == 0

    monkeypatch.setenv("FACEPLATE_MODELS", "app.models")
    assert warnings(project) == []
    await database.execute("ALTER TABLE documents DROP CONSTRAINT fk_documents_users")
    [untied] = warnings(project)
    assert untied.startswith("no foreign key of public.documents cascades from faceplate.users")
    await database.execute(insert, user.id)
    await database.execute("ALTER TABLE documents ADD id2 uuid REFERENCES faceplate.users")
    assert warnings(project) == [untied]
    project.alembic("revision", "--autogenerate", "-m", "key")
    erased = project.faceplate("erase", *who, "--yes")
    assert re.search(r"public\.documents +0", erased)
    project.alembic("upgrade", "head")
    assert warnings(project) == []


def warnings(project: Project) -> list[str]:
    found: list[str] = json.loads(project.faceplate("check", "--json").splitlines()[0])["warnings"]
    return [text for text in found if "temporary" not in text]


def words(printed: str) -> str:
    return " ".join(printed.split())
