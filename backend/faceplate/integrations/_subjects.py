"""The users of a program that names them with each call, by any text.

The text is the subject of a user. It is looked up once, and remembered.
"""

from collections.abc import Awaitable, Callable
from typing import Concatenate, Final, ParamSpec, TypeVar
from uuid import UUID

from faceplate.database import Database
from faceplate.errors import NotFound
from faceplate.records import User
from faceplate.scope import Scope
from faceplate.services import users

P = ParamSpec("P")
T = TypeVar("T")

MOST_REMEMBERED: Final = 100_000


class Subjects:
    """The ids of users by their subjects, and the running of units for them."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._ids: dict[str, UUID] = {}

    async def find(self, subject: str) -> UUID:
        """Return the id of a user. Raises NotFound, InvalidInput."""
        known = self._ids.get(subject)
        return known or self._noted(await self.db.run_system(users.by_subject, subject))

    async def ensure(self, subject: str) -> UUID:
        """Return the id of a user, who is made if there is none. Raises InvalidInput."""
        known = self._ids.get(subject)
        return known or self._noted(await self.db.run_system(users.ensure, subject))

    async def run(
        self,
        look_up: Callable[[str], Awaitable[UUID]],
        subject: str,
        unit: Callable[Concatenate[Scope, P], Awaitable[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a unit for a user, whom `find` or `ensure` looks up.

        Raises what they raise, and what `Database.run` raises.
        """
        return await self.call(
            look_up, subject, lambda user_id: self.db.run(user_id, unit, *args, **kwargs)
        )

    async def call(
        self,
        look_up: Callable[[str], Awaitable[UUID]],
        subject: str,
        act: Callable[[UUID], Awaitable[T]],
    ) -> T:
        """Call a function with the id of a user, whom `find` or `ensure` looks up.

        It is called again with the id of who has the subject now, where it raises NotFound for one
        that was remembered: ``act`` may have changed nothing then.
        """
        was_known = subject in self._ids
        user_id = await look_up(subject)
        try:
            return await act(user_id)
        except NotFound:
            if not was_known:
                raise
            # The user may have been erased since, and made again.
            self._ids.pop(subject, None)
            again = await look_up(subject)
            if again == user_id:
                raise
        return await act(again)

    def _noted(self, user: User) -> UUID:
        if len(self._ids) >= MOST_REMEMBERED:
            self._ids.clear()
        self._ids[user.subject_id] = user.id
        return user.id
