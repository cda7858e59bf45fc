"""The environment of the service's migrations, apart from faceplate's own.

Run ``faceplate migrate`` first, then ``alembic upgrade head``.
"""

from faceplate import own_tables

from app.models import AppBase

own_tables.run_migrations(AppBase.metadata)
