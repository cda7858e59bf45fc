"""The requirements on a database: the encoding and the locale."""

from typing import NamedTuple

# With code points, not characters: an encoding that lacks the characters would refuse the query.
QUERY = """
SELECT pg_encoding_to_char(encoding) AS encoding,
    lower('I') = 'i' AND lower(chr(CASE WHEN encoding = 6 THEN 196 ELSE 65 END))
        = chr(CASE WHEN encoding = 6 THEN 228 ELSE 97 END) AS folds_case
FROM pg_database WHERE datname = current_database()
"""
CREATE = "CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'"


class Facts(NamedTuple):
    """A row of `QUERY`."""

    encoding: str
    folds_case: bool
    """Whether lower() turns I into i and Ä into ä, which comparing e-mail addresses needs."""


def encoding_problem(encoding: str) -> str | None:
    """Return why a database with ``encoding`` cannot be used, or None."""
    if encoding == "UTF8":
        return None
    return (
        f"the database's encoding is {encoding}: it refuses some characters, or counts bytes in"
        f" their place: create another database, {CREATE}, and move the data there"
    )


def case_problem(*, folds_case: bool) -> str | None:
    """Return why the locale of a database should be changed, or None."""
    if folds_case:
        return None
    return (
        "the database's locale does not take Ä and ä, or I and i, for the same letter, so that two"
        f" users may have the same e-mail address: create another database, {CREATE} LOCALE"
        " 'C.UTF-8', and move the data there"
    )


def problems(facts: Facts) -> list[str]:
    """Return why tables must not be created here, a sentence each."""
    return [
        problem
        for problem in (
            encoding_problem(facts.encoding),
            case_problem(folds_case=facts.folds_case),
        )
        if problem is not None
    ]
