"""Extensions of Alembic: options, operations, locks, guarded downgrades, init.

Only migrations load the package: a program that does not migrate loads no Alembic. It may use
_schema, _driver and models.
"""
