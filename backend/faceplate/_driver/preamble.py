"""Preambles: messages that are sent ahead of a statement, such as BEGIN.

PostgreSQL runs all commands up to the next Sync in one transaction and answers then. So a preamble
and the statement after it take one round trip. After `enter` the transaction ends with the
statement; after `begin` it stays open.

Only a preamble of `select` returns a row, because the driver would take any row for one of the
statement.

A pooled connection has the role `ROLE` from its start, and sees no row without a user. So a unit
sets its user, and work across users steps up to the login's own role, each for one transaction.

The protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html
"""

import hmac
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from faceplate._driver.encoding import Encoded

ROLE = "faceplate_app"
"""The role of units. It owns nothing, and the policies limit it to one user's rows."""

READ_COMMITTED = "READ COMMITTED"


class Preamble(NamedTuple):
    """The protocol messages of a preamble, and what a connection needs to send them."""

    messages: bytes
    sql: str
    """The SQL, for the log and for connections without pipelining."""
    name: str = ""
    """The name of the prepared statement that it executes, if any."""
    prepared: str = ""
    """The SQL of that prepared statement."""
    has_row: bool = False
    """Whether it returns a row."""
    carried: int = 0
    """How many statements of the unit it carries, last. Their command tags are kept."""
    bound: tuple[str, str] | None = None
    """A statement with a secret value, which ``sql`` leaves out."""


NONE = Preamble(b"", "")

USER_SETTING = "faceplate.user_id"
"""The setting that the policies compare with the owner of a row."""
LocalSettings = tuple[tuple[str, str], ...]
"""Names of settings with their values, for one transaction."""

UNIT: LocalSettings = (("role", ROLE),)
ACROSS_USERS: LocalSettings = (("role", "none"), ("row_security", "off"))
"""What `enter` and `step_up` need, where a connection keeps no role."""


def select(name: str, sql: str) -> Preamble:
    """Return a preamble that runs a prepared SELECT and returns its row."""
    return Preamble(_bind(name) + _EXECUTE, f"EXECUTE {name}", name, sql, has_row=True)


def select_unprepared(sql: str) -> Preamble:
    """Return a preamble that runs a SELECT and returns its row."""
    return Preamble(_run(sql), sql, has_row=True)


def join(first: Preamble, second: Preamble | None) -> Preamble:
    """Return both in one. Only ``second`` may execute a prepared statement."""
    if second is None:
        return first
    return second._replace(
        messages=first.messages + second.messages, sql=f"{first.sql}; {second.sql}"
    )


def carry(ahead: Preamble, statements: Sequence[Encoded]) -> Preamble:
    """Return ``ahead`` with statements of the unit."""
    return ahead._replace(
        messages=ahead.messages + b"".join(each.messages for each in statements),
        sql="; ".join(filter(None, (ahead.sql, *(each.sql for each in statements)))),
        carried=len(statements),
    )


# set_config never returns NULL, so each of these sets its value and returns no row.
_ENTER = "SELECT WHERE pg_catalog.set_config('faceplate.user_id', $1::text, true) IS NULL"
_STEP_UP = (
    "SELECT WHERE pg_catalog.set_config('role', 'none', true) IS NULL"
    " OR pg_catalog.set_config('row_security', 'off', true) IS NULL"
)


_ENTER_SEALED = f"{_ENTER} OR pg_catalog.set_config('faceplate.seal', $2::text, true) IS NULL"
_SEAL = "SELECT WHERE pg_catalog.set_config('faceplate.seal', $1::text, true) IS NULL"


def seal_pads(key: bytes) -> tuple[bytes, bytes]:
    """Return the inner and the outer pad of HMAC-SHA256 for a key of up to 64 bytes."""
    block = key.ljust(64, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _seal(user_id: UUID, key: bytes) -> str:
    return hmac.digest(key, str(user_id).encode(), "sha256").hex()


@lru_cache(maxsize=4096)
def enter(user_id: UUID, key: bytes | None = None, *, on_workers: bool = False) -> Preamble:
    """Return a preamble that sets the user for one statement by itself.

    With a ``key``, the user's id is sealed: see `faceplate._schema.seal`. With ``on_workers``, a
    SET LOCAL follows, which is all that Citus passes on to them.
    """
    if on_workers:
        return _set_behind(enter(user_id, key), f"{USER_SETTING} = '{user_id}'")
    if key is not None:
        name = "faceplate_enter_sealed"
        bound = _bind(name, str(user_id), _seal(user_id, key))
        return Preamble(bound + _EXECUTE, f"EXECUTE {name} ('{user_id}', ...)", name, _ENTER_SEALED)
    name = "faceplate_enter"
    return Preamble(
        _bind(name, str(user_id)) + _EXECUTE, f"EXECUTE {name} ('{user_id}')", name, _ENTER
    )


def step_up(*, on_workers: bool = False) -> Preamble:
    """Return a preamble that sets the login's own role for one statement by itself.

    If a policy would hide rows from that role, PostgreSQL raises an error. So work across users
    never takes a part of the rows for all rows.
    """
    return _STEP_UP_ON_WORKERS if on_workers else _STEP_UP_ONCE


@lru_cache(maxsize=4096)
def begin(
    user_id: UUID,
    *,
    role: str | None = None,
    isolation: str = READ_COMMITTED,
    key: bytes | None = None,
    limits: LocalSettings = (),
) -> Preamble:
    """Return a preamble that begins a transaction for this user.

    ``role`` is `ROLE` if the connection may have another role, and ``limits`` are the time limits
    that it may lack.
    """
    settings = [] if role is None else [f"ROLE {role}"]
    begun = _begin(isolation, limits, *settings, f"{USER_SETTING} = '{user_id}'")
    if key is None:
        return begun
    # The seal is a bound value, because pg_stat_activity would show it in the SQL.
    bound = (_SEAL, _seal(user_id, key))
    return begun._replace(messages=begun.messages + _run(*bound), bound=bound)


@lru_cache(maxsize=8)
def begin_across_users(isolation: str = READ_COMMITTED, *, limits: LocalSettings = ()) -> Preamble:
    """Return a preamble that begins a transaction as the login's own role."""
    return _begin(isolation, limits, "ROLE NONE", "row_security = off")


@lru_cache(maxsize=4096)
def enter_unprepared(
    settings: LocalSettings, user_id: UUID | None = None, key: bytes | None = None
) -> Preamble:
    """Return a preamble that makes ``settings`` and sets the user for one statement by itself.

    It is for connections behind a pooler, where nothing is prepared.
    """
    bound = {} if user_id is None else {"faceplate.user_id": str(user_id)}
    if user_id is not None and key is not None:
        bound["faceplate.seal"] = _seal(user_id, key)
    values = [(name, f"'{value}'") for name, value in settings]
    values += [(name, f"${place}::text") for place, name in enumerate(bound, start=1)]
    calls = [f"pg_catalog.set_config('{name}', {value}, true) IS NULL" for name, value in values]
    sql = f"SELECT WHERE {' OR '.join(calls)}"
    return Preamble(_run(sql, *bound.values()), sql)


def _begin(isolation: str, limits: LocalSettings, *settings: str) -> Preamble:
    # Not by `enter`, because a unit may SET TRANSACTION only before the first query.
    limited = [f"{name} = '{value}'" for name, value in limits]
    statements = [
        f"BEGIN ISOLATION LEVEL {isolation}",
        *(f"SET LOCAL {one}" for one in (*settings, *limited)),
    ]
    return Preamble(b"".join(map(_run, statements)), "; ".join(statements))


def _set_behind(ahead: Preamble, setting: str) -> Preamble:
    sql = f"SET LOCAL {setting}"
    return ahead._replace(messages=ahead.messages + _run(sql), sql=f"{ahead.sql}; {sql}")


def _message(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind + struct.pack("!i", len(body) + 4) + body


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def _bind(name: str, *values: str) -> bytes:
    """Return the message that binds text values to a prepared statement."""
    encoded = [value.encode() for value in values]
    sized = [struct.pack("!i", len(value)) + value for value in encoded]
    counts = struct.pack("!hh", 0, len(values))
    return _message(b"B", _string(""), _string(name), counts, *sized, struct.pack("!h", 0))


def _run(sql: str, *values: str) -> bytes:
    """Return the messages that parse, bind and execute an unnamed statement."""
    return _parse(sql) + _bind("", *values) + _EXECUTE


def _parse(sql: str, types: Sequence[int] = ()) -> bytes:
    """Return the message that parses an unnamed statement with parameters of these types."""
    count = len(types)
    return _message(b"P", _string(""), _string(sql), struct.pack(f"!H{count}I", count, *types))


_EXECUTE = _message(b"E", _string(""), struct.pack("!i", 0))
COMMIT = _run("COMMIT")
"""The messages that commit, for behind the last statement of a transaction."""
_STEP_UP_ONCE = Preamble(
    _bind("faceplate_step_up") + _EXECUTE,
    "EXECUTE faceplate_step_up",
    "faceplate_step_up",
    _STEP_UP,
)
_STEP_UP_ON_WORKERS = _set_behind(_STEP_UP_ONCE, "row_security = off")
FLIGHT_STATEMENT_S, FLIGHT_LOCK_S = 0.1, 0.005
BEGIN_FLIGHT = Preamble(
    _bind("faceplate_begin_flight") + _EXECUTE,
    "EXECUTE faceplate_begin_flight",
    "faceplate_begin_flight",
    "SELECT WHERE"
    f" pg_catalog.set_config('statement_timeout', '{FLIGHT_STATEMENT_S}s', true) IS NULL"
    f" OR pg_catalog.set_config('lock_timeout', '{FLIGHT_LOCK_S}s', true) IS NULL",
)
"""A preamble that has the statements after it fail rather than run or wait for a lock for long."""
REFUSES_FLIGHTS = "22023"
"""The SQLSTATE with which `END_FLIGHT` fails where a table has a trigger: an invalid value."""
END_FLIGHT = Preamble(
    _bind("faceplate_end_flight") + _EXECUTE,
    "EXECUTE faceplate_end_flight",
    "faceplate_end_flight",
    "SELECT WHERE EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE NOT tgisinternal"
    " AND tgenabled <> 'D' AND tgrelid"
    " IN ('faceplate.messages'::regclass, 'faceplate.conversations'::regclass)"
    " AND (tgrelid, tgname) <> ('faceplate.conversations'::regclass, 'active_hour'))"
    " AND pg_catalog.set_config('lock_timeout', 'none, since a table has a trigger', true) IS NULL",
)
"""What fails behind statements that write, if a trigger that is not ours may have run.

The locks of these statements keep a new one away. What a trigger has set for its transaction would
have reached the next user.
"""


def describe(sql: str, types: Sequence[int]) -> bytes:
    """Return the messages that parse an unnamed statement and ask for its description."""
    return _parse(sql, types) + _message(b"D", b"S", _string(""))
