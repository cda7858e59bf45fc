"""The environment of this project's migrations, apart from faceplate's own.

Run ``faceplate migrate`` first, then ``alembic upgrade head``.
"""

from sqlalchemy import MetaData

from faceplate import own_tables

# `alembic revision --autogenerate` compares it with the database. Import the base class of the
# project's models, with every module that declares one, and take its metadata:
#     from app.models import AppBase
#     METADATA = AppBase.metadata
# Name the same modules in FACEPLATE_MODELS, so that `faceplate check` and `doctor` know the tables.
METADATA = MetaData()

own_tables.run_migrations(METADATA)
