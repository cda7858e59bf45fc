"""The errors themselves: the tree as it is drawn, their words, their way between processes."""

import pickle
import re
from collections.abc import Iterator
from uuid import UUID

import pytest

from faceplate import errors, records
from faceplate.errors import (
    CommitOutcomeUnknown,
    Conflict,
    FaceplateError,
    InvalidInput,
    NotErased,
    NotFound,
    Unavailable,
)


def parents(kind: type[Exception]) -> Iterator[tuple[str, str]]:
    for child in kind.__subclasses__():
        yield child.__name__, kind.__name__
        yield from parents(child)


def test_the_tree_that_is_drawn_is_the_one_that_is_there() -> None:
    """Else somebody catches a class that does not cover what they read it covers."""
    assert errors.__doc__
    above = ["FaceplateError"]
    drawn = []
    for branch, name in re.findall(r"^    ([│ ]*[├└]── )(\w+)", errors.__doc__, re.MULTILINE):
        del above[len(branch) // 4 :]
        drawn.append((name, above[-1]))
        above.append(name)
    assert sorted(drawn) == sorted(parents(FaceplateError))


@pytest.mark.parametrize(
    "error",
    [
        FaceplateError("no", sqlstate="XX000"),
        InvalidInput("tasks.title", "must not be blank", sqlstate="23514"),
        NotFound(records.McpConfig),
        NotFound(None, "the row does not exist", constraint="fk_a_b", sqlstate="23503"),
        Conflict("taken", constraint="uq_users_email", sqlstate="23505"),
        NotErased(rows={}, user=True, left={"public.notes": 1}, unproven={"a.b": "hidden"}),
        Unavailable("down"),
        CommitOutcomeUnknown("who knows", ids=[UUID(int=1)]),
    ],
)
def test_an_error_arrives_whole_in_another_process(error: FaceplateError) -> None:
    """Else a task queue that hands errors back loses what they say, or fails over them."""
    error.unit = "messages.append"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_an_error_says_where_what_and_the_servers_code() -> None:
    """Else two services on one log cannot be told apart, and nobody can look the code up."""
    error = Conflict("this email is taken", sqlstate="23505")
    assert str(error) == "this email is taken [SQLSTATE 23505]"
    error.unit = "users.create"
    assert str(error) == "users.create: this email is taken [SQLSTATE 23505]"
    assert str(NotFound(records.McpConfig)) == "mcp config not found"


def test_the_errors_of_python_cover_ours_where_they_mean_the_same() -> None:
    """Else `except ValueError` around a handler's input, or LookupError, has to be written anew."""
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(NotFound, LookupError)
