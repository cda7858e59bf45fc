"""The options of Alembic: the revisions, the compared tables, the rendering."""

from typing import Literal

from alembic.autogenerate import compare_metadata
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB

from faceplate._schema.policies import SEAL_SCHEMA
from faceplate._schema.revisions import MIGRATIONS
from faceplate.column_types import JsonText, Ruled
from faceplate.models import SCHEMA, Base


def alembic_config() -> Config:
    """Return a configuration that leads Alembic's commands to the revisions."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def differences(connection: Connection) -> list[str]:
    """Return how the schema differs from the models, a line for each difference."""
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table_schema": SCHEMA,
            "include_schemas": True,
            "include_name": in_schema,
            "compare_server_default": True,
        },
    )
    return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def in_schema(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether a name is inside the schema (``include_name``)."""
    return kind != "schema" or name == SCHEMA


def outside_schemas(name: str | None, kind: str, _parents: object) -> bool:
    """Return whether a name is outside faceplate's schemas (``include_name``)."""
    return kind != "schema" or name not in {SCHEMA, SEAL_SCHEMA}


def render_item(kind: str, item: object, context: AutogenContext) -> str | Literal[False]:
    """Return a type with a rule as the plain type (``render_item``).

    A revision must not change when the rule does.
    """
    if kind != "type" or not isinstance(item, Ruled):
        return False
    if isinstance(item, JsonText):
        return "sa.JSON()"
    if isinstance(item.impl_instance, JSONB):
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB()"
    return f"sa.{item.impl_instance!r}"
