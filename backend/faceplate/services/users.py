"""Users. These units work across users: run them with `Database.run_system`."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert

from faceplate import records
from faceplate.errors import Conflict, NotFound
from faceplate.models import User
from faceplate.pagination import DEFAULT_LIMIT, check_limit
from faceplate.scope import SystemScope, one_statement, replayable
from faceplate.statement import Statement

_AFTER_EVERY_ID = UUID(int=2**128 - 1)
_by_id = User.id == bindparam("id")
_new = insert(User).values(
    id=bindparam("id"), subject_id=bindparam("subject_id"), email=bindparam("email")
)

CREATE = Statement(records.User, _new.returning(*User.columns()))
# Not ON CONFLICT (subject_id) DO UPDATE: of two concurrent inserts of the same user, one could
# violate the unique email before it sees the subject_id, and fail.
CREATE_ONCE = Statement(records.User, _new.on_conflict_do_nothing().returning(*User.columns()))
GET = Statement(records.User, sa.select(*User.columns()).where(_by_id))
PAGE = Statement(
    records.User,
    sa.select(*User.columns())
    .where(User.id < bindparam("before_id", type_=User.id.type))
    .order_by(User.id.desc())
    .limit(bindparam("limit", type_=sa.Integer())),
)
BY_SUBJECT = Statement(
    records.User, sa.select(*User.columns()).where(User.subject_id == bindparam("subject_id"))
)
BY_EMAIL = Statement(
    records.User,
    sa.select(*User.columns()).where(
        func.lower(User.email) == func.lower(bindparam("email", type_=User.email.type.required()))
    ),
)
CHANGE_EMAIL = Statement(
    records.User,
    sa.update(User).where(_by_id).values(email=bindparam("new_email")).returning(*User.columns()),
)
DELETE = Statement(records.User, sa.delete(User).where(_by_id))


async def create(scope: SystemScope, *, subject_id: str, email: str | None = None) -> records.User:
    """Create a user and return it.

    ``subject_id`` is the identity provider's ``sub``: 1 to 255 characters, not blank. ``email`` has
    at most 320 characters and is unique without regard to case.

    Raises Conflict if either is taken, InvalidInput.
    """
    return await scope.one(CREATE, id=scope.new_id(), subject_id=subject_id, email=email)


@one_statement
async def ensure(scope: SystemScope, subject_id: str, *, email: str | None = None) -> records.User:
    """Return the user with ``subject_id``; create it if there is none.

    Concurrent calls create one user. An ``email`` that differs from the stored one replaces it.

    Raises Conflict if another user has the email, InvalidInput.
    """
    new_id = scope.new_id()
    user = await scope.first(BY_SUBJECT, subject_id=subject_id)
    if user is None:
        user = await scope.first(CREATE_ONCE, id=new_id, subject_id=subject_id, email=email)
    if user is None:  # another call was faster, or another user has the email
        user = await scope.first(BY_SUBJECT, subject_id=subject_id)
    if user is None:
        raise Conflict("a user with this email exists already", constraint="uq_users_email")
    if email is None or email == user.email:
        return user
    return await change_email(scope, user.id, email)


async def get(scope: SystemScope, user_id: UUID) -> records.User:
    """Return a user. Raises NotFound, InvalidInput."""
    return await scope.one(GET, id=user_id)


async def page(
    scope: SystemScope, *, limit: int = DEFAULT_LIMIT, before: UUID | None = None
) -> list[records.User]:
    """Return up to ``limit`` users (1 to 200) in descending order of their ids.

    New ids ascend, so that the newest user comes first. ``before`` is the id of the last user of
    the page before.

    Raises InvalidInput.
    """
    before_id = _AFTER_EVERY_ID if before is None else before
    return await scope.all(PAGE, before_id=before_id, limit=check_limit(limit))


async def by_subject(scope: SystemScope, subject_id: str) -> records.User:
    """Return the user with the identity provider's ``sub``.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(BY_SUBJECT, subject_id=subject_id)


@replayable
async def by_email(scope: SystemScope, email: str) -> records.User:
    """Return the user with ``email``, without regard to case.

    Raises NotFound, InvalidInput.
    """
    return await scope.one(BY_EMAIL, email=email)


async def change_email(scope: SystemScope, user_id: UUID, email: str | None) -> records.User:
    """Set or, with None, remove a user's email; return the user.

    Raises NotFound, Conflict if another user has the email, InvalidInput.
    """
    return await scope.one(CHANGE_EMAIL, id=user_id, new_email=email)


async def delete(scope: SystemScope, user_id: UUID) -> None:
    """Delete a user with all their rows. Raises NotFound, InvalidInput."""
    if not await scope.execute(DELETE, id=user_id):
        raise NotFound(records.User)
