"""The schema beyond its tables: revisions, policies, seal, login of units.

Each module holds SQL and the functions that run it on a connection, for migrations and for checks.
The package may use _driver and models, and loads no Alembic.
"""
