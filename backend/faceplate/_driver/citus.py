"""What Citus needs where the server is the coordinator of a cluster, and only there.

Citus runs a unit's statement on the worker that has the user's rows, in a session of its own. It
passes on neither what `set_config` sets nor a name of a constraint. Every new connection finds out
whether its server has the extension: see docs/decisions/0026-citus.md.
"""

import re
from typing import Any

from faceplate._models import constraint_words

IS_THERE = "SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus'"
SETTINGS = {"citus.propagate_set_commands": "local"}
"""The startup settings by which SET LOCAL reaches the workers of a transaction."""

NO_POOLER = (
    "this is the coordinator of a Citus cluster, and PgBouncer or another pooler would not pass a"
    " unit's user on to its workers: connect to the coordinator itself"
)

_NAMED = re.compile(r'(column|constraint|relation|table) "((?:[^"]|"")+)"')
_SHARD = re.compile(r"_\d{6,}$")
_FIELDS = {
    "column": "column_name",
    "constraint": "constraint_name",
    "relation": "table_name",
    "table": "table_name",
}
_FROM_WORKER = "while executing command on "


def name_constraint(error: Any) -> None:
    """Give a worker's error the fields that Citus leaves out, by the words of its message.

    The names in it are those of shards, such as ``pk_messages_102008``. Where a foreign key is
    broken, the message names the referring table last, if it names both. It never names a schema:
    that of the model with the constraint is taken.
    """
    context = error.context or ""
    if not (error.sqlstate or "").startswith("23") or _FROM_WORKER not in context:
        return
    if context.startswith(_FROM_WORKER):
        error.context = None  # the error is of the statement itself
    for kind, name in _NAMED.findall(str(error).partition("\n")[0]):
        setattr(error, _FIELDS[kind], _SHARD.sub("", name))
    constraint = getattr(error, "constraint_name", None)
    place = None if constraint is None else constraint_words.table_of(constraint)
    if place is not None:
        error.schema_name, error.table_name = place


def loss(error: Any, *, may_commit: bool) -> str | None:
    """Return why a worker's answer is missing, or None.

    The coordinator reports a lost worker over a connection that goes on. If that happened at
    COMMIT, the worker may have committed.
    """
    state = error.sqlstate or ""
    if state.startswith("08") or (may_commit and state.startswith("XX")):
        return "the coordinator has lost a worker"
    return None
