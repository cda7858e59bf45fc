"""What a worker's error says, in the words that Citus passes on, and what follows a user."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest

import faceplate.models  # noqa: F401 - its tables register their constraints
from faceplate._driver import citus, preamble

WORKER = "while executing command on 127.0.0.1:9701"
USER = UUID(int=1)


def error(state: str, message: str, context: str | None = WORKER) -> Any:
    fields = {"C": state, "M": message, "S": "ERROR", "V": "ERROR"}
    return asyncpg.PostgresError.new(fields if context is None else fields | {"W": context})


@pytest.mark.parametrize(
    ("state", "message", "named"),
    [
        (
            "23505",
            'duplicate key value violates unique constraint "pk_messages_102017"',
            ("faceplate", "messages", "pk_messages"),
        ),
        (
            "23503",
            (
                'insert or update on table "conversations_102015" violates foreign key'
                ' constraint "fk_conversations_users_102015"'
            ),
            ("faceplate", "conversations", "fk_conversations_users"),
        ),
        (
            "23514",
            'new row for relation "notes_102013" violates check constraint "ck_notes_title"',
            (None, "notes", "ck_notes_title"),
        ),
    ],
)
def test_a_workers_error_names_the_constraint(
    state: str, message: str, named: tuple[str | None, ...]
) -> None:
    """Else a user is told of a shard, or a retry takes a message that is stored for another."""
    failure = error(state, message)
    citus.name_constraint(failure)
    fields = ("schema_name", "table_name", "constraint_name")
    assert tuple(getattr(failure, field, None) for field in fields) == named
    assert failure.context is None


def test_the_coordinators_own_names_stay() -> None:
    """A table may end in a date."""
    failure = error("23505", 'violates unique constraint "uq_events_20260101"', None)
    failure.constraint_name = "uq_events_20260101"
    citus.name_constraint(failure)
    assert failure.constraint_name == "uq_events_20260101"


@pytest.mark.parametrize(
    ("state", "at_commit", "is_loss"),
    [
        ("08006", False, True),
        ("XX000", True, True),
        ("XX000", False, False),
        ("23505", True, False),
    ],
)
def test_a_lost_worker_is_told_from_a_refusal(
    state: str,
    at_commit: bool,  # noqa: FBT001 - pytest gives it by name
    is_loss: bool,  # noqa: FBT001 - pytest gives it by name
) -> None:
    assert (citus.loss(error(state, "-"), may_commit=at_commit) is not None) is is_loss


def test_a_user_goes_on_to_the_workers_and_nothing_more_elsewhere() -> None:
    """Else no row is found on Citus, or each unit on plain PostgreSQL pays for it."""
    plain, on_workers = preamble.enter(USER), preamble.enter(USER, on_workers=True)
    assert on_workers.messages.startswith(plain.messages)
    assert f"SET LOCAL faceplate.user_id = '{USER}'".encode() in on_workers.messages
    assert b"SET LOCAL" not in plain.messages
