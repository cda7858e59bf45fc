"""The environment of this project's migrations, apart from faceplate's own."""

from app.models import AppBase

from faceplate import own_tables

own_tables.run_migrations(AppBase.metadata)
