"""Decides by its SQL whether a statement may change the state of its session.

It reads the SQL and not SQLAlchemy's elements, because operators, hints, prefixes, names, types and
a project's own elements may all contain text. A statement leaves the session unchanged if it reads,
or writes faceplate's tables, and calls only functions that are known to change nothing. Any other
statement counts as one that changes the session. A project's own views, operators and casts are not
examined.
"""

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause

# The parts of a statement: its command, the tables that it writes, and the names before a "(".
# The names are cut out roughly: a name that is cut out wrongly is not a known function.
_PLAIN_COMMAND = re.compile(
    r"[\s(]*(?:select|insert|update|delete|merge|with|values)\b", re.IGNORECASE
)
_INSERTED = re.compile(r"\b(?:insert|merge)\s+into\s+[^\s(]+", re.IGNORECASE)
_WRITTEN = re.compile(
    r"(?:\b(?:insert|merge)\s+into|\bdelete\s+from|(?<!\bfor\s)(?<!\bdo\s)(?<!\bkey\s)\bupdate)"
    r"\s+(?:only\s+)?(\S+)",
    re.IGNORECASE,
)
_INTO = re.compile("into", re.IGNORECASE)
_COLUMNS = re.compile(r"\b(as|with\s+recursive)\s+\w+\s*(?=\()", re.IGNORECASE)
_BETWEEN_NAMES = re.compile(r"[\s()+\-*/<>=~!@#%^&|`?,:\[\]]")
_MAX_NAME_CHARS = 64


def changes_session(sql: str) -> bool:
    """Return whether ``sql`` may change the state of its session."""
    if not _PLAIN_COMMAND.match(sql) or any(mark in sql for mark in ("--", "/*", ";")):
        return True
    if not all(table.startswith("faceplate.") for table in _WRITTEN.findall(sql)):
        return True
    rest = _COLUMNS.sub("as", _INSERTED.sub("", sql))
    return _INTO.search(rest) is not None or not _called(rest) <= _HARMLESS_NAMES


def _called(sql: str) -> set[str]:
    """Return the names before a "(". Of a very long one, return the end."""
    before = (part.rstrip()[-_MAX_NAME_CHARS:] for part in sql.split("(")[:-1])
    return {_BETWEEN_NAMES.split(end)[-1].lower() for end in before}


def compiled_changes_session(compiled: Any, sql: str) -> bool:
    """Return whether SQLAlchemy's statement may change the state of its session.

    ``compiled`` is None for text.
    """
    if compiled is None or isinstance(compiled.statement, TextClause):
        return True
    # A long statement has many rows or values in it, and is seldom sent twice.
    return _cached(sql) if len(sql) <= MAX_CACHED_CHARS else changes_session(sql)


MAX_CACHED_CHARS = 8_000
_cached = lru_cache(maxsize=1024)(changes_session)


KEYWORDS = frozenset(
    [
        "all",
        "and",
        "any",
        "array",
        "as",
        "between",
        "bit",
        "by",
        "case",
        "cast",
        "char",
        "conflict",
        "cube",
        "decimal",
        "distinct",
        "else",
        "except",
        "exists",
        "filter",
        "from",
        "group",
        "having",
        "in",
        "interval",
        "intersect",
        "is",
        "join",
        "lateral",
        "like",
        "limit",
        "materialized",
        "not",
        "numeric",
        "offset",
        "on",
        "or",
        "over",
        "returning",
        "rollup",
        "row",
        "select",
        "set",
        "sets",
        "some",
        "then",
        "time",
        "timestamp",
        "union",
        "using",
        "values",
        "varchar",
        "when",
        "where",
        "within",
    ]
)
"""SQL's keywords and types that may stand before a "(" and are no functions."""

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
        "cume_dist",
        "current_setting",
        "date_part",
        "date_trunc",
        "decode",
        "dense_rank",
        "encode",
        "every",
        "extract",
        "first_value",
        "floor",
        "format",
        "gen_random_uuid",
        "generate_series",
        "greatest",
        "initcap",
        "int4range",
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
        "last_value",
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
        "mode",
        "now",
        "ntile",
        "num_nonnulls",
        "num_nulls",
        "nullif",
        "octet_length",
        "percent_rank",
        "percentile_cont",
        "percentile_disc",
        "pg_backend_pid",
        "pg_column_size",
        "pg_sleep",
        "phraseto_tsquery",
        "plainto_tsquery",
        "position",
        "random",
        "range_agg",
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
        "to_regclass",
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
"""PostgreSQL's functions that do not change the state of the session."""

_HARMLESS_NAMES = PURE | KEYWORDS | {""}
