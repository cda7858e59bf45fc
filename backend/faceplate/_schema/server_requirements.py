"""What a server and a database must be for faceplate's data to be safe in them."""

from typing import NamedTuple

OLDEST_VERSION, TESTED_VERSION = 16, 18

# By code points and not by characters: an encoding that lacks them would refuse the query.
QUERY = """
SELECT current_setting('server_version') AS version,
    current_setting('server_version_num')::int / 10000 AS major,
    pg_encoding_to_char(encoding) AS encoding,
    lower('I') = 'i' AND lower(chr(CASE WHEN encoding = 6 THEN 196 ELSE 65 END))
        = chr(CASE WHEN encoding = 6 THEN 228 ELSE 97 END) AS folds_case
FROM pg_database WHERE datname = current_database()
"""
CREATE = "CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'"


class Server(NamedTuple):
    """A row of `QUERY`."""

    version: str
    major: int
    encoding: str
    folds_case: bool
    """Whether lower() makes an i of I and an ä of Ä, as comparing e-mail addresses needs."""


def version_problem(major: int, version: str) -> str | None:
    """Return why PostgreSQL ``version`` cannot be used, or None."""
    if major >= OLDEST_VERSION:
        return None
    return (
        f"PostgreSQL {version} is too old: faceplate needs {OLDEST_VERSION} or newer, and is"
        f" tested with {TESTED_VERSION}: upgrade the server"
    )


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


def problems(server: Server) -> list[str]:
    """Return why the tables of a new database must not be made here, a sentence each."""
    return [
        problem
        for problem in (
            version_problem(server.major, server.version),
            encoding_problem(server.encoding),
            case_problem(folds_case=server.folds_case),
        )
        if problem is not None
    ]
