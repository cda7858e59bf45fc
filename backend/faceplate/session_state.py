"""What SQL text may do to the connection that it runs on, beyond its own transaction.

A unit's transaction is the runner's, and a connection serves other users afterwards. So a command
that begins or ends a transaction is refused, and a transaction in which text was run takes back
whatever belongs to the session: settings, roles, temporary tables, cursors WITH HOLD, LISTEN,
advisory locks and prepared statements.
"""

import re
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnClause, TextClause
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql import functions
from sqlalchemy.sql.visitors import iterate

from faceplate.errors import UsageError

# The driver prepares by protocol: a statement prepared by SQL is not one of its own.
_DEALLOCATE = (
    "DO LANGUAGE plpgsql $$DECLARE name text; BEGIN"
    " FOR name IN SELECT p.name FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql LOOP"
    " EXECUTE pg_catalog.format('DEALLOCATE %I', name); END LOOP; END$$"
)
TAKE_BACK = "; ".join(
    (
        "CLOSE ALL",
        "RESET SESSION AUTHORIZATION",
        "RESET ROLE",
        "RESET ALL",
        "UNLISTEN *",
        "SELECT pg_catalog.pg_advisory_unlock_all()",
        "DISCARD TEMP",
        "DISCARD SEQUENCES",
        _DEALLOCATE,
    )
)
"""Not DISCARD ALL, which would also drop what the driver has prepared."""

CLEAN_AHEAD = f"SET CONSTRAINTS ALL IMMEDIATE; {TAKE_BACK}"
"""The constraints first: a deferred trigger may need the user and the role."""
COMMIT_CLEAN = f"{CLEAN_AHEAD}; COMMIT"
ROLLBACK_CLEAN = f"ROLLBACK; {TAKE_BACK}"

# What PostgreSQL's scanner skips ahead of a command. Block comments nest: see _skip_comment.
_SKIPPED = re.compile(r"(?:[\s;]|--[^\n\r]*(?:[\n\r]|$))+")
_WORD = re.compile(r"[A-Za-z]+")
_DROPS_PREPARED = re.compile("deallocate|discard", re.IGNORECASE)
_TRANSACTION_CONTROL = frozenset({"begin", "start", "commit", "end", "abort"})
REFUSED = (
    "{command} is the runner's: a unit commits when it returns and rolls back when it raises. For a"
    " part that may fail, use `async with scope.session.begin_nested():` or SAVEPOINT"
)


def check_text(sql: str) -> None:
    """Raise UsageError where ``sql`` is a command that begins or ends a transaction."""
    words = _first_words(sql)
    command = words[0] if words else ""
    if command in _TRANSACTION_CONTROL or (command == "prepare" and words[1:2] == ["transaction"]):
        raise UsageError(REFUSED.format(command=" ".join(words[:2]).upper()))
    if command == "rollback" and "to" not in words[1:3]:  # ROLLBACK [WORK | TRANSACTION] TO
        raise UsageError(REFUSED.format(command="ROLLBACK"))


def may_deallocate(sql: str) -> bool:
    """Return whether ``sql`` may drop what the driver has prepared, which cannot be taken back."""
    return _DROPS_PREPARED.search(sql) is not None


def _first_words(sql: str) -> list[str]:
    """Return up to three leading words in lower case, as PostgreSQL's scanner finds them."""
    words: list[str] = []
    place = 0
    while len(words) < 3:
        place = _skip(sql, place)
        word = _WORD.match(sql, place)
        if word is None:
            break
        words.append(word.group().lower())
        place = word.end()
    return words


def _skip(sql: str, place: int) -> int:
    while True:
        if (skipped := _SKIPPED.match(sql, place)) is not None:
            place = skipped.end()
        elif sql.startswith("/*", place):
            place = _skip_comment(sql, place)
        else:
            return place


def _skip_comment(sql: str, place: int) -> int:
    depth = 0
    for mark in re.finditer(r"/\*|\*/", sql[place:]):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return place + mark.end()
    return len(sql)


def changes_session(statement: Any) -> bool:
    """Return whether a statement may change its session: text may, and a function unknown here."""
    return any(map(_changes_session, iterate(statement)))


def compiled_changes_session(compiled: Any) -> bool:
    """Return the same of what SQLAlchemy compiled. None stands for text that it passes on."""
    if compiled is None:
        return True
    if (known := _of_compiled.get(compiled)) is None:
        known = _of_compiled[compiled] = changes_session(compiled.statement)
    return known


_of_compiled: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""SQLAlchemy keeps what it compiles, and runs it many times."""


def _changes_session(part: Any) -> bool:
    if isinstance(part, functions.FunctionElement):
        if type(part).__module__ == functions.__name__ and type(part) is not functions.Function:
            return False
        return bool(getattr(part, "packagenames", ())) or getattr(part, "name", "") not in PURE
    if isinstance(part, ColumnClause) and part.is_literal:
        return "(" in part.name
    return isinstance(part, TextClause | ExecutableDDLElement)


PURE = frozenset(
    [
        "abs",
        "age",
        "array_agg",
        "array_append",
        "array_length",
        "array_position",
        "array_remove",
        "avg",
        "bool_and",
        "bool_or",
        "btrim",
        "cardinality",
        "ceil",
        "char_length",
        "clock_timestamp",
        "coalesce",
        "concat",
        "concat_ws",
        "count",
        "current_setting",
        "date_part",
        "date_trunc",
        "decode",
        "encode",
        "every",
        "extract",
        "floor",
        "format",
        "gen_random_uuid",
        "generate_series",
        "greatest",
        "initcap",
        "json_agg",
        "json_build_object",
        "jsonb_agg",
        "jsonb_array_elements",
        "jsonb_array_elements_text",
        "jsonb_array_length",
        "jsonb_build_object",
        "jsonb_each",
        "jsonb_each_text",
        "jsonb_exists",
        "jsonb_extract_path",
        "jsonb_extract_path_text",
        "jsonb_object_agg",
        "jsonb_object_keys",
        "jsonb_set",
        "jsonb_strip_nulls",
        "jsonb_typeof",
        "lag",
        "lead",
        "least",
        "left",
        "length",
        "localtimestamp",
        "lower",
        "lpad",
        "ltrim",
        "make_interval",
        "max",
        "md5",
        "min",
        "mod",
        "now",
        "num_nonnulls",
        "num_nulls",
        "nullif",
        "octet_length",
        "pg_backend_pid",
        "pg_column_size",
        "pg_sleep",
        "phraseto_tsquery",
        "plainto_tsquery",
        "position",
        "random",
        "rank",
        "regexp_match",
        "regexp_replace",
        "repeat",
        "replace",
        "reverse",
        "right",
        "round",
        "row_number",
        "row_to_json",
        "rpad",
        "rtrim",
        "sha256",
        "similarity",
        "split_part",
        "starts_with",
        "statement_timestamp",
        "string_agg",
        "strpos",
        "substr",
        "substring",
        "sum",
        "to_char",
        "to_json",
        "to_jsonb",
        "to_timestamp",
        "to_tsquery",
        "to_tsvector",
        "transaction_timestamp",
        "translate",
        "trim",
        "trunc",
        "ts_headline",
        "ts_rank",
        "ts_rank_cd",
        "unnest",
        "upper",
        "uuidv4",
        "uuidv7",
        "version",
        "websearch_to_tsquery",
        "width_bucket",
    ]
)
"""Functions of PostgreSQL that change nothing beyond their result."""
