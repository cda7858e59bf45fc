"""What SQL text may do to the connection that it runs on, beyond its own transaction.

A unit's transaction is the runner's, and a connection serves other users afterwards. So a command
that begins or ends a transaction is refused, and a transaction in which text was run takes back
whatever belongs to the session: settings, roles, temporary tables, cursors WITH HOLD, LISTEN,
advisory locks and prepared statements.
"""

import re

from faceplate.errors import UsageError

# The driver prepares by protocol: a statement prepared by SQL is not one of its own.
_DEALLOCATE = (
    "DO LANGUAGE plpgsql $$DECLARE name text; BEGIN"
    " FOR name IN SELECT p.name FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql LOOP"
    " EXECUTE pg_catalog.format('DEALLOCATE %I', name); END LOOP; END$$"
)
# No RESET knows of it, and who has set the seed knows what random() gives to the next user.
_SEED = (
    "pg_catalog.setseed(pg_catalog.uuid_hash(pg_catalog.gen_random_uuid())"
    " OPERATOR(pg_catalog./) 2147483648.0)"
)
RESET_SESSION = "; ".join(
    (
        "CLOSE ALL",
        "RESET SESSION AUTHORIZATION",
        "RESET ROLE",
        "RESET ALL",
        "UNLISTEN *",
        f"SELECT pg_catalog.pg_advisory_unlock_all(), {_SEED}",
        "DISCARD TEMP",
        "DISCARD SEQUENCES",
        _DEALLOCATE,
    )
)
"""Not DISCARD ALL, which would also drop what the driver has prepared."""

RESET_BEFORE_COMMIT = f"SET CONSTRAINTS ALL IMMEDIATE; {RESET_SESSION}"
"""The constraints first: a deferred trigger may need the user and the role."""
RESET_AND_COMMIT = f"{RESET_BEFORE_COMMIT}; COMMIT"
ROLLBACK_AND_RESET = f"ROLLBACK; {RESET_SESSION}"

# What PostgreSQL's scanner skips ahead of a command. Block comments nest: see _skip_comment.
_SKIPPED = re.compile(r"(?:[\s;]|--[^\n\r]*(?:[\n\r]|$))+")
_WORD = re.compile(r"[A-Za-z]+")
# A DO block makes its commands of any pieces. ON CONFLICT DO NOTHING or DO UPDATE is none.
_DROPS_PREPARED = re.compile(r"deallocate|discard|\bdo\b(?!\s+(?:nothing|update)\b)", re.IGNORECASE)
_TRANSACTION_CONTROL = frozenset({"begin", "start", "commit", "end", "abort"})
REFUSED = (
    "{command} is the runner's: a unit commits when it returns and rolls back when it raises. For a"
    " part that may fail, use `async with scope.session.begin_nested():` or SAVEPOINT"
)


def refuse_transaction_control(sql: str) -> None:
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
