"""What travels ahead of a statement in the same flight, such as for whom it runs.

PostgreSQL answers nothing before it is told to (Sync), and runs all that was sent until then in
one transaction. So a statement can have others ahead of it that nobody waits for: one round trip
for all of them. After `enter` the transaction ends with the statement; after `begin` it stays open.

None but `ask` returns a row, since the driver takes every row for one of the statement's.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

import struct
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

ROLE = "faceplate_app"
"""The role of units: it owns nothing, and is held to one user's rows by the policies."""

_PREPARE = f"""
    PREPARE faceplate_enter (text) AS SELECT
    WHERE set_config('role', '{ROLE}', true) IS NULL
       OR set_config('faceplate.user_id', $1, true) IS NULL"""
"""Neither is ever NULL: both are set, and no row comes back."""
_PREPARE_ACROSS = """
    PREPARE faceplate_across AS SELECT WHERE set_config('row_security', 'off', true) IS NULL"""


class Prelude(NamedTuple):
    messages: bytes
    sql: str
    """The same to read, for the log."""
    prepare: str = ""
    """What has to be said before, once on a connection."""
    has_row: bool = False


NONE = Prelude(b"", "")


def ask(name: str, sql: str) -> Prelude:
    """The row of ``sql``, a SELECT that gets the name, comes back ahead of the next statement's."""
    prepare = f"PREPARE {name} AS {sql}"
    return Prelude(_bind(name) + _EXECUTE, f"EXECUTE {name}", prepare, has_row=True)


def join(first: Prelude, second: Prelude | None) -> Prelude:
    """Return both, of which the first one needs nothing to be prepared."""
    if second is None:
        return first
    sql = f"{first.sql}; {second.sql}"
    return Prelude(first.messages + second.messages, sql, second.prepare, second.has_row)


@lru_cache(maxsize=4096)
def enter(user_id: UUID) -> Prelude:
    """The next statement runs as the role of units, for this user, in a transaction of its own."""
    sql = f"EXECUTE faceplate_enter ('{user_id}')"
    return Prelude(_bind("faceplate_enter", str(user_id)) + _EXECUTE, sql, _PREPARE)


def across_users() -> Prelude:
    """The next statement, in a transaction of its own, is refused where a policy would hide rows.

    Where PostgreSQL would leave out rows, it then raises instead: nothing that works across users
    takes what it sees for all that there is.
    """
    return Prelude(
        _bind("faceplate_across") + _EXECUTE, "EXECUTE faceplate_across", _PREPARE_ACROSS
    )


@lru_cache(maxsize=4096)
def begin(user_id: UUID | None, *, row_level_security: bool) -> Prelude:
    """The next statement begins a transaction for this user, or for none."""
    statements = ["BEGIN"]
    if user_id is not None:
        # Not by `enter`: after a query it would be too late for SET TRANSACTION.
        if row_level_security:
            statements.append(f"SET LOCAL ROLE {ROLE}")
        statements.append(f"SET LOCAL faceplate.user_id = '{user_id}'")
    else:
        statements.append("SET LOCAL row_security = off")  # as `across_users` does
    return Prelude(b"".join(map(_run, statements)), "; ".join(statements))


def _message(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind + struct.pack("!i", len(body) + 4) + body


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def _bind(name: str, *values: str) -> bytes:
    """Bind text values to a prepared statement."""
    encoded = [value.encode() for value in values]
    sized = [struct.pack("!i", len(value)) + value for value in encoded]
    counts = struct.pack("!hh", 0, len(values))
    return _message(b"B", _string(""), _string(name), counts, *sized, struct.pack("!h", 0))


_EXECUTE = _message(b"E", _string(""), struct.pack("!i", 0))


def _run(sql: str) -> bytes:
    """Parse, bind and execute a statement that has no name."""
    parse = _message(b"P", _string(""), _string(sql), struct.pack("!h", 0))
    return parse + _bind("") + _EXECUTE
