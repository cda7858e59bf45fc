"""The schema beyond its tables: revisions, policies, the seal, the units' login.

Each module is SQL with the functions that run it on a connection, for migrations and for checks
alike. It may use _driver and models, and loads no Alembic.
"""
