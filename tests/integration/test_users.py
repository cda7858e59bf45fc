"""Users: a person who signs in is one row, found by the identity provider's subject."""

import secrets
from typing import Any
from uuid import UUID

import pytest
from tests.units import everything_of, settle_in
from uuid6 import uuid7

from faceplate import Conflict, Database, InvalidInput, NotFound, User
from faceplate.services import users


async def test_a_user_is_found_by_id_subject_and_email(db: Database, user: User) -> None:
    assert user.email is not None
    assert await db.run_system(users.get, user.id) == user
    assert await db.run_system(users.by_subject, user.subject_id) == user
    assert await db.run_system(users.by_email, user.email.upper()) == user


async def test_users_are_listed_newest_first_in_pages(db: Database) -> None:
    """Else an operator finds nobody on a server with many users."""
    made = [await db.run_system(users.create, subject_id=secrets.token_hex()) for _ in range(5)]
    [first] = await db.run_system(users.page, limit=1)
    read: list[User] = []
    before: UUID = uuid7()
    while made[0] not in read:
        page = await db.run_system(users.page, limit=2, before=before)
        read += page
        before = page[-1].id
    assert [row for row in read if row in made] == made[::-1]
    assert first.id >= made[-1].id
    with pytest.raises(InvalidInput):
        await db.run_system(users.page, limit=201)


async def test_users_without_an_email_do_not_rule_each_other_out(db: Database) -> None:
    for _ in range(2):
        user = await db.run_system(users.create, subject_id=secrets.token_hex())
        assert user.email is None


async def test_one_account_cannot_be_made_twice(db: Database, user: User) -> None:
    assert user.email is not None
    with pytest.raises(Conflict, match="subject_id exists already") as conflict:
        await db.run_system(users.create, subject_id=user.subject_id)
    assert (conflict.value.constraint, conflict.value.sqlstate) == ("uq_users_subject_id", "23505")
    with pytest.raises(Conflict, match="email exists already") as conflict:
        await db.run_system(users.create, subject_id=secrets.token_hex(), email=user.email.upper())
    assert conflict.value.constraint == "uq_users_email"


async def test_signing_in_makes_a_user_once_and_keeps_the_email_fresh(db: Database) -> None:
    subject_id, name = secrets.token_hex(), secrets.token_hex(8)
    first = await db.run_system(users.ensure, subject_id)
    assert first.email is None

    known = await db.run_system(users.ensure, subject_id, email=f"{name}@example.com")
    assert (known.id, known.email) == (first.id, f"{name}@example.com")
    assert await db.run_system(users.ensure, subject_id, email=known.email) == known
    assert await db.run_system(users.ensure, subject_id) == known

    moved = await db.run_system(users.ensure, subject_id, email=f"{name}@example.org")
    assert (moved.id, moved.email) == (first.id, f"{name}@example.org")
    assert moved.updated_at > known.updated_at


@pytest.mark.parametrize("is_known", [True, False])
async def test_signing_in_does_not_take_over_the_email_of_somebody_else(
    db: Database, user: User, other_user: User, *, is_known: bool
) -> None:
    subject_id = user.subject_id if is_known else secrets.token_hex()
    with pytest.raises(Conflict, match="email exists already") as conflict:
        await db.run_system(users.ensure, subject_id, email=other_user.email)
    assert conflict.value.constraint == "uq_users_email"
    assert await db.run_system(users.get, other_user.id) == other_user


async def test_an_email_is_changed_or_taken_away(
    db: Database, user: User, other_user: User
) -> None:
    assert user.email is not None
    cased = await db.run_system(users.change_email, user.id, user.email.upper())
    assert cased.email == user.email.upper()
    with pytest.raises(Conflict, match="email exists already"):
        await db.run_system(users.change_email, user.id, other_user.email)
    assert await db.run_system(users.get, user.id) == cased
    assert (await db.run_system(users.change_email, user.id, None)).email is None


async def test_a_deleted_user_leaves_nothing_and_takes_nothing_along(
    keyed: Database,
) -> None:
    leaving, staying = await settle_in(keyed), await settle_in(keyed)
    before = await everything_of(keyed, staying.user_id)
    await keyed.run_system(users.delete, leaving.user_id)
    assert not any((await everything_of(keyed, leaving.user_id)).values())
    assert await everything_of(keyed, staying.user_id) == before


@pytest.mark.parametrize(
    ("unit", "given"),
    [
        (users.get, (uuid7(),)),
        (users.by_subject, ("nobody's",)),
        (users.by_email, ("nobody@example.com",)),
        (users.change_email, (uuid7(), None)),
        (users.delete, (uuid7(),)),
    ],
)
async def test_a_user_who_is_not_there_is_not_found(
    db: Database, unit: Any, given: tuple[UUID | str, ...]
) -> None:
    with pytest.raises(NotFound, match=r"user not found$"):
        await db.run_system(unit, *given)


@pytest.mark.parametrize(
    ("unit", "given", "field"),
    [
        (users.create, {"subject_id": " \n"}, "users.subject_id"),
        (users.create, {"subject_id": "a" * 256}, "users.subject_id"),
        (users.create, {"subject_id": 7}, "users.subject_id"),
        (users.create, {"subject_id": None}, "users.subject_id"),
        (users.create, {"subject_id": "a", "email": "nobody"}, "users.email"),
        (users.create, {"subject_id": "a", "email": "a@" + "b" * 319}, "users.email"),
        (users.ensure, {"subject_id": ""}, "users.subject_id"),
        (users.ensure, {"subject_id": secrets.token_hex(), "email": "a b@c"}, "users.email"),
        (users.get, {"user_id": "7"}, "users.id"),
        (users.by_subject, {"subject_id": "\x00"}, "users.subject_id"),
        (users.by_email, {"email": "@"}, "users.email"),
        (users.change_email, {"user_id": uuid7(), "email": ""}, "users.email"),
        (users.delete, {"user_id": 7}, "users.id"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    db: Database, unit: Any, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run_system(unit, **given)
    assert refusal.value.field == field
