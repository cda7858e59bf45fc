"""Users. These units work across users: run them with `Database.run_system`."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.errors import NotFound
from faceplate.models import User
from faceplate.scope import Statement, SystemScope

_by_id = User.id == bindparam("id")
_new = insert(User).values(
    id=bindparam("id"), subject_id=bindparam("subject_id"), email=bindparam("email")
)

CREATE = Statement(records.User, _new.returning(*User.columns()))
ENSURE = Statement(
    records.User,
    _new.on_conflict_do_update(
        index_elements=[User.subject_id],
        # An absent email says nothing about the one that is known.
        set_={
            "email": func.coalesce(_new.excluded.email, User.email),
            "updated_at": func.now(),
        },
        # A sign-in that changes nothing writes nothing; then no row comes back.
        where=_new.excluded.email.is_distinct_from(User.email) & _new.excluded.email.is_not(None),
    ).returning(*User.columns()),
)
GET = Statement(records.User, sa.select(*User.columns()).where(_by_id))
BY_SUBJECT = Statement(
    records.User, sa.select(*User.columns()).where(User.subject_id == bindparam("subject_id"))
)
BY_EMAIL = Statement(
    records.User,
    sa.select(*User.columns()).where(
        func.lower(User.email) == func.lower(bindparam("email", type_=User.email.type))
    ),
)
CHANGE_EMAIL = Statement(
    records.User,
    sa.update(User).where(_by_id).values(email=bindparam("new_email")).returning(*User.columns()),
)
DELETE = Statement(records.User, sa.delete(User).where(_by_id))


async def create(scope: SystemScope, *, subject_id: str, email: str | None = None) -> records.User:
    """Create a user and return it.

    ``subject_id`` is the identity provider's ``sub``, 1 to 255 characters, not blank; ``email``
    has at most 320 and is unique without regard to case.

    Raises Conflict where either is taken, InvalidInput.
    """
    return await scope.one(CREATE, id=scope.new_id(), subject_id=subject_id, email=email)


async def ensure(scope: SystemScope, subject_id: str, *, email: str | None = None) -> records.User:
    """Return the user with ``subject_id``, made on first sight and once, however many race.

    Where ``email`` is given and is not the one known, it replaces it.

    Raises Conflict where the email is another user's, InvalidInput.
    """
    new_id = scope.new_id()
    user = await scope.first(ENSURE, id=new_id, subject_id=subject_id, email=email)
    if user is not None:
        return user
    return await scope.one(BY_SUBJECT, subject_id=subject_id)


async def get(scope: SystemScope, user_id: UUID) -> records.User:
    """Return a user. Raises NotFound, InvalidInput."""
    return await scope.one(GET, id=user_id)


async def by_subject(scope: SystemScope, subject_id: str) -> records.User:
    """Return the user with the identity provider's ``sub``. Raises NotFound, InvalidInput."""
    return await scope.one(BY_SUBJECT, subject_id=subject_id)


async def by_email(scope: SystemScope, email: str) -> records.User:
    """Return the user with ``email``, without regard to case. Raises NotFound, InvalidInput."""
    return await scope.one(BY_EMAIL, email=email)


async def change_email(scope: SystemScope, user_id: UUID, email: str | None) -> records.User:
    """Set or, with None, remove a user's email; return the user.

    Raises NotFound, Conflict where the email is another user's, InvalidInput.
    """
    return await scope.one(CHANGE_EMAIL, id=user_id, new_email=email)


async def delete(scope: SystemScope, user_id: UUID) -> None:
    """Delete a user and everything of theirs.

    Raises NotFound, InvalidInput.
    """
    if not await scope.execute(DELETE, id=user_id):
        raise NotFound(records.User)
