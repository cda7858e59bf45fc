"""The environment of the migrations, for Alembic and `faceplate.migrate`."""

import asyncio
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection

from faceplate import migrate
from faceplate._alembic import downgrades
from faceplate.config import Settings
from faceplate.errors import FaceplateError, UsageError
from faceplate.models import SCHEMA, Base

OPTIONS: dict[str, Any] = {
    "render_item": migrate.render_item,
    "target_metadata": Base.metadata,
    "version_table_schema": SCHEMA,
    "include_schemas": True,
    "include_name": migrate.in_schema,
    "compare_server_default": True,
    "transaction_per_migration": True,
}


def run_online(connection: Connection) -> None:
    context.configure(connection=connection, **OPTIONS)
    with connection.begin():
        heads = context.get_context().get_current_heads()
    if newer := [revision for revision in heads if not migrate.knows(revision)]:
        raise UsageError(migrate.describe_newer(newer[0]))
    downgrades.refuse_loss(
        connection, context.get_context(), context.get_x_argument(as_dictionary=False)
    )
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    # The default paramstyle would double every % of a statement.
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        **OPTIONS,
    )
    # The version table is in the schema, so the schema is created before Alembic's first statement.
    context.get_context().impl.static_output(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};\n")
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
elif (connection := context.config.attributes.get("connection")) is not None:
    run_online(connection)
else:
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    settings = Settings()
    context.config.attributes["row_level_security"] = settings.row_level_security
    try:
        asyncio.run(migrate.run_locked(settings, run_online))
    except FaceplateError as error:  # Alembic's command line shows its own as one message
        raise CommandError(str(error)) from error
