"""Which servers and databases are refused, by what they say of themselves."""

import pytest

from faceplate._schema import server_requirements
from faceplate._schema.server_requirements import Server

SOUND = Server("18.6", 18, "UTF8", folds_case=True)


@pytest.mark.parametrize("major", [16, 17, 18, 19])
def test_a_database_that_will_do_has_no_problem(major: int) -> None:
    """Else nobody can migrate where everything is right."""
    assert server_requirements.problems(SOUND._replace(major=major)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "15.20 (Debian)", "major": 15}, "PostgreSQL 15.20 (Debian) is too old"),
        ({"version": "9.6.24", "major": 9}, "PostgreSQL 9.6.24 is too old"),
        ({"encoding": "SQL_ASCII"}, "the database's encoding is SQL_ASCII"),
        ({"encoding": "LATIN1"}, "the database's encoding is LATIN1"),
        ({"folds_case": False}, "the database's locale does not take"),
    ],
)
def test_what_will_not_do_is_named_with_its_cure(change: dict[str, object], words: str) -> None:
    """Else the first to know is a user whose text is refused."""
    [problem] = server_requirements.problems(SOUND._replace(**change))  # type: ignore[arg-type]  # one of its fields
    assert problem.startswith(words)
    assert ": upgrade the server" in problem or "CREATE DATABASE" in problem
