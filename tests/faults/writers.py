"""Writers who note what they were told, so that it can be compared with what is stored."""

import time
from collections import Counter
from typing import Any
from uuid import UUID

from faceplate import Database, FaceplateError, Scope
from faceplate.services import messages


async def append_in_a_unit_of_ones_own(scope: Scope, *args: Any, **kwargs: Any) -> None:
    """As `append`, and not marked as replayable: what became of its COMMIT has to be found out."""
    await messages.append(scope, *args, **kwargs)


class Writer:
    """Says something new to a conversation each time, and notes what became of it."""

    def __init__(
        self, name: str, user_id: UUID, conversation_id: UUID, unit: Any = messages.append
    ) -> None:
        self.user_id = user_id
        self.conversation_id = conversation_id
        self.told: dict[str, str] = {}
        self.slowest_s = 0.0
        self._name = name
        self._unit = unit

    async def say(self, db: Database) -> FaceplateError | None:
        """Return the error, where there is one."""
        words = f"{self._name}.{len(self.told)}"
        started_s = time.monotonic()
        error = None
        try:
            await db.run(self.user_id, self._unit, self.conversation_id, role="user", content=words)
        except FaceplateError as raised:
            error = raised
        self.slowest_s = max(self.slowest_s, time.monotonic() - started_s)
        self.told[words] = type(error).__name__ if error else "stored"
        return error

    async def say_until_it_fails(self, db: Database) -> FaceplateError:
        while (error := await self.say(db)) is None:
            pass
        return error

    async def check(self, db: Database) -> None:
        """Raise unless what was acknowledged is there, once, and nothing that was said to fail."""
        async with db.begin(self.user_id) as scope:
            walk = messages.walk(scope, self.conversation_id)
            stored = Counter([message.content async for message in walk])
        assert not stored or set(stored.values()) == {1}
        kept = {words for words, word in self.told.items() if word == "stored"}
        doubtful = {words for words, word in self.told.items() if word == "CommitOutcomeUnknown"}
        assert kept <= stored.keys() <= kept | doubtful
