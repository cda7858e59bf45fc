"""Resets the server's session after text, and refuses transaction control.

The runner ends a unit's transaction, and the connection serves other users afterwards. So text that
begins or ends a transaction is refused. After any other text, the session is reset: its settings,
role, temporary tables, cursors WITH HOLD, LISTEN, advisory locks and prepared statements.
"""

import re

from faceplate.errors import UsageError

# The driver prepares by protocol messages, so statements that SQL has prepared are not its own.
_DEALLOCATE = (
    "DO LANGUAGE plpgsql $$DECLARE name text; BEGIN"
    " FOR name IN SELECT p.name FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql LOOP"
    " EXECUTE pg_catalog.format('DEALLOCATE %I', name); END LOOP; END$$"
)
# No RESET covers the seed, and a user who has set it could predict the next user's random().
_SEED = (
    "pg_catalog.setseed(pg_catalog.uuid_hash(pg_catalog.gen_random_uuid())"
    " OPERATOR(pg_catalog./) 2147483648.0)"
)
RESET_SESSION = (
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
"""The commands that reset it. DISCARD ALL would also drop the driver's prepared statements."""

RESET_BEFORE_COMMIT = ("SET CONSTRAINTS ALL IMMEDIATE", *RESET_SESSION)
"""Deferred triggers run first, because they may need the user and the role."""
RESET_AND_COMMIT = (*RESET_BEFORE_COMMIT, "COMMIT")
ROLLBACK_AND_RESET = ("ROLLBACK", *RESET_SESSION)

# What PostgreSQL's scanner skips before a command. Block comments nest: see _skip_comment.
_SKIPPED = re.compile(r"(?:[\s;]|--[^\n\r]*(?:[\n\r]|$))+")
_WORD = re.compile(r"[A-Za-z]+")
# A DO block can assemble any command. ON CONFLICT DO NOTHING and DO UPDATE are no DO blocks.
_DROPS_PREPARED = re.compile(r"deallocate|discard|\bdo\b(?!\s+(?:nothing|update)\b)", re.IGNORECASE)
_TRANSACTION_CONTROL = frozenset({"begin", "start", "commit", "end", "abort"})
CONTROL_REFUSED = (
    "{command} is the runner's: a unit commits when it returns and rolls back when it raises. For a"
    " part that may fail, use `async with scope.session.begin_nested():` or SAVEPOINT"
)


def refuse_transaction_control(sql: str) -> None:
    """Raise UsageError if ``sql`` begins or ends a transaction."""
    words = _first_words(sql)
    command = words[0] if words else ""
    if command in _TRANSACTION_CONTROL or (command == "prepare" and words[1:2] == ["transaction"]):
        raise UsageError(CONTROL_REFUSED.format(command=" ".join(words[:2]).upper()))
    if command == "rollback" and "to" not in words[1:3]:  # ROLLBACK [WORK | TRANSACTION] TO
        raise UsageError(CONTROL_REFUSED.format(command="ROLLBACK"))


def may_deallocate(sql: str) -> bool:
    """Return whether ``sql`` may drop prepared statements, which no reset restores."""
    return _DROPS_PREPARED.search(sql) is not None


def _first_words(sql: str) -> list[str]:
    """Return up to three leading words in lower case, as PostgreSQL scans them."""
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
