"""The application's own tables: their migrations, and their isolation.

An application declares them on a base class with its own metadata. The rows of a model that is also
`Owned` belong to users as faceplate's do: the owner is added to every statement about it, its table
has a foreign key to users with ON DELETE CASCADE, and its revision creates the same policy::

    class AppBase(Base):
        __abstract__ = True
        metadata = MetaData(naming_convention=Base.metadata.naming_convention)

    class Note(Owned, AppBase):
        __tablename__ = "notes"

        body: Mapped[str]

`faceplate init` writes the folder of migrations, whose env.py calls `run_migrations`. An env.py
that calls Alembic itself passes `include_name` and `render_item`, which leave faceplate's tables
alone and write plain column types. Importing this module registers the operations
``op.enable_user_isolation`` and ``op.distribute_table`` with Alembic, and their reverse, which
autogenerate writes by itself, and ``op.grant_to_units`` and ``op.revoke_from_units``, for tables
without users.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.schema import CreateSchema

from faceplate import migrate
from faceplate._alembic import autogenerate as _autogenerate  # noqa: F401 - registers itself
from faceplate._alembic.operations import (
    DisableUserIsolation,
    DistributeTable,
    EnableUserIsolation,
    GrantToUnits,
    RevokeFromUnits,
    UndistributeTable,
)
from faceplate._alembic.options import outside_schemas
from faceplate.config import Settings
from faceplate.errors import FaceplateError
from faceplate.models import SCHEMA

__all__ = [
    "DisableUserIsolation",
    "DistributeTable",
    "EnableUserIsolation",
    "GrantToUnits",
    "RevokeFromUnits",
    "UndistributeTable",
    "include_name",
    "render_item",
    "run_migrations",
]

render_item = migrate.render_item
"""Renders a column's rule as the plain type; ``context.configure(render_item=...)``."""


def include_name(name: str | None, kind: str, parent_names: object) -> bool:
    """Return whether a name is outside faceplate's schemas, also that of the sealed user ids.

    Pass it as ``context.configure(include_schemas=True, include_name=own_tables.include_name)``.
    Without it, Alembic compares faceplate's tables with the application's models and drops them. An
    ``include_name`` of the application's own calls this function as well.
    """
    return outside_schemas(name, kind, parent_names)


def run_migrations(metadata: MetaData) -> None:
    """Run Alembic's command on ``metadata``; an env.py needs nothing else.

    It leaves faceplate's tables alone: they are in another schema and have their own version
    table. Only one process migrates at a time, as with `migrate.upgrade`.

    Raises Alembic's CommandError, which its command line shows as one message, if the database
    cannot be used, if faceplate's tables are missing or older than this version of the package,
    or if ``metadata`` has tables in faceplate's schema.
    """
    try:
        _run(metadata)
    except FaceplateError as error:
        raise CommandError(str(error)) from error


def _run(metadata: MetaData) -> None:
    options = _options(metadata)
    if context.is_offline_mode():
        _run_offline(options)
        return
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    settings = Settings()
    context.config.attributes["row_level_security"] = settings.row_level_security
    asyncio.run(_run_after_faceplate(settings, partial(_run_online, options)))


def _options(metadata: MetaData) -> dict[str, Any]:
    ours = [table.name for table in metadata.tables.values() if table.schema == SCHEMA]
    if ours or metadata.schema == SCHEMA:
        raise CommandError(
            f"the schema {SCHEMA} belongs to faceplate: give the base class of the application's"
            " models its own MetaData" + (f" ({', '.join(ours)})" if ours else "")
        )
    schemas = {metadata.schema, *(table.schema for table in metadata.tables.values())}

    def include_name(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "schema" or name in schemas

    return {
        "render_item": migrate.render_item,
        "target_metadata": metadata,
        "version_table_schema": metadata.schema,
        "include_schemas": True,
        "include_name": include_name,
        "compare_server_default": True,
        "transaction_per_migration": True,
    }


async def _run_after_faceplate(settings: Settings, work: Callable[[Connection], None]) -> None:
    revision = await migrate.current(settings)
    if revision is None or (revision != migrate.head() and migrate.knows(revision)):
        raise CommandError(
            f"faceplate's own tables are {f'at {revision}' if revision else 'not there'}, and this"
            f" version of faceplate needs {migrate.head()}: run `faceplate migrate` first"
        )
    await migrate.run_locked(settings, work)
    await migrate.seal_user_ids(settings)


def _run_online(options: dict[str, Any], connection: Connection) -> None:
    if (schema := options["version_table_schema"]) is not None:
        # The version table is in it. A role that may not create a schema can still migrate.
        with connection.begin():
            if not inspect(connection).has_schema(schema):
                connection.execute(CreateSchema(schema))
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()


def _run_offline(options: dict[str, Any]) -> None:
    # The default paramstyle would double every % of a statement.
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        **options,
    )
    if (schema := options["version_table_schema"]) is not None:
        context.execute(CreateSchema(schema, if_not_exists=True))
    with context.begin_transaction():
        context.run_migrations()
