"""What a database must be for faceplate's data to be safe in it."""

from typing import NamedTuple

# By code points and not by characters: an encoding that lacks them would refuse the query.
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
    """Whether lower() makes an i of I and an ä of Ä, as comparing e-mail addresses needs."""


def encoding_problem(encoding: str) -> str | None:
    """Return what a database with ``encoding`` does to text, or None."""
    if encoding == "UTF8":
        return None
    return (
        f"the database's encoding is {encoding}: it refuses characters that people write, or"
        f" counts bytes in their place: make another one, {CREATE}, and move the data there"
    )


def case_problem(*, folds_case: bool) -> str | None:
    """Return what a locale does to e-mail addresses, or None."""
    if folds_case:
        return None
    return (
        "the database's locale does not take Ä and ä, or I and i, for the same letter: one e-mail"
        f" address may then belong to two users: make another one, {CREATE} LOCALE 'C.UTF-8', and"
        " move the data there"
    )


def problems(facts: Facts) -> list[str]:
    """Return why the tables of a new database must not be made here, a sentence each."""
    return [
        problem
        for problem in (
            encoding_problem(facts.encoding),
            case_problem(folds_case=facts.folds_case),
        )
        if problem is not None
    ]
