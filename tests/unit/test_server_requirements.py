"""Which servers and databases are refused, by what they say of themselves."""

import pytest

from faceplate._driver import server_version
from faceplate._schema import server_requirements
from faceplate._schema.server_requirements import Facts

SOUND = Facts("UTF8", folds_case=True)


def test_a_database_that_will_do_has_no_problem() -> None:
    """Else nobody can migrate where everything is right."""
    assert server_requirements.problems(SOUND) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoding": "SQL_ASCII"}, "the database's encoding is SQL_ASCII"),
        ({"encoding": "LATIN1"}, "the database's encoding is LATIN1"),
        ({"folds_case": False}, "the database's locale does not take"),
    ],
)
def test_what_will_not_do_is_named_with_its_cure(change: dict[str, object], words: str) -> None:
    """Else the first to know is a user whose text is refused."""
    [problem] = server_requirements.problems(SOUND._replace(**change))  # type: ignore[arg-type]  # one of its fields
    assert problem.startswith(words)
    assert "CREATE DATABASE" in problem


@pytest.mark.parametrize("major", [15, 16, 17, 18, 19])
def test_a_version_that_will_do_has_no_problem(major: int) -> None:
    """A version that is newer than this package is no reason to stop a program."""
    assert server_version.problem(major, f"{major}.1") is None


@pytest.mark.parametrize(
    ("major", "version"), [(14, "14.23 (Debian 14.23-1)"), (9, "9.6.24"), (8, "8.0.2")]
)
def test_a_version_that_is_too_old_is_named_with_its_cure(major: int, version: str) -> None:
    """Else the first query that it does not understand is what an operator reads."""
    problem = server_version.problem(major, version)
    assert problem is not None
    assert problem.startswith(f"PostgreSQL {version} is too old: faceplate needs 15 or newer")
    assert problem.endswith(": upgrade the server")
