"""What is ours inside Alembic: options of an environment, operations, downgrades, `faceplate init`.

Only migrations load it: a program that does not migrate loads no Alembic. It may use _schema and
models.
"""
