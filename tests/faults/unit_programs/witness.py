"""Looking into everything that a step returns or raises."""

import asyncio
from typing import Any

import asyncpg
import sqlalchemy as sa
from tests.faults.unit_programs.ledger import Finding, Person, describe
from tests.faults.unit_programs.verbs import Use, Verb
from tests.faults.unit_programs.world import MARK

from faceplate import Contention, Unavailable, UsageError
from faceplate._driver.preamble import ROLE
from faceplate.errors import SchemaChanged

READS = {
    *("get_chat", "history", "page_chats", "page_tasks", "read", "read_locked"),
    *("stream", "stream_first", "session_read", "session_get", "session_stream"),
}
"""Verbs that always find something of the user's."""
RETRIED = (Contention, Unavailable, SchemaChanged)
"""After these the whole unit is retried, and it is the retry that has to succeed."""


class Witness:
    """``wrong`` is every promise that was seen broken."""

    def __init__(self, people: dict[str, Person]) -> None:
        self.people = people
        self.wrong: list[Finding] = []
        self.has_faults = False
        """Whether something has struck: then a step that is ordinary may fail."""

    async def watch(
        self, use: Use, name: str, verb: Verb, detail: str = "", *, is_ordinary: bool = False
    ) -> None:
        """Await one use of a scope, and judge what it returns or raises."""
        attempt, name = use.attempt, f"{name} {detail}".strip()
        use = use._replace(own=[])
        is_late = attempt.is_over
        must_succeed = is_ordinary and attempt.is_ordinary and not self.has_faults and not is_late
        attempt.running += 1
        attempt.is_ordinary &= is_ordinary and attempt.running == 1
        must_succeed &= attempt.running == 1
        told: Any = "unknown"
        try:
            result = await verb(use, detail)
            told = "unknown" if is_late else "done"
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, TimeoutError | Unavailable):
                told = "failed"
            must_succeed &= attempt.is_ordinary and not self.has_faults
            attempt.is_ordinary = False
            self._judge_error(error, name, is_late=is_late, must_succeed=must_succeed)
            raise
        finally:
            attempt.running -= 1
            for write in use.own:
                write.told = told
        self.look_into(use, name, result)
        if must_succeed and name.split()[0] in READS and use.person.mark not in _show(result):
            self.find("a row of the user's own was not seen", name)
        if is_late:
            self.find("a scope was used after its unit", f"{name} -> {_show(result)[:100]}")

    def _judge_error(
        self, error: BaseException, name: str, *, is_late: bool, must_succeed: bool
    ) -> None:
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if is_late and not isinstance(error, UsageError) and not is_cancelled:
            self.find("a closed scope raised no UsageError", f"{name}: {describe(error)}")
        elif must_succeed and not is_cancelled and not isinstance(error, RETRIED):
            self.find("an ordinary step failed", f"{name}: {describe(error)}")
        is_the_drivers = name.startswith("raw ")  # whose method the unit has called itself
        if not is_the_drivers and isinstance(
            error, asyncpg.PostgresError | asyncpg.InterfaceError | sa.exc.DBAPIError
        ):
            self.find("an error of the driver inside a unit", f"{name}: {describe(error)}")
        if any(each.mark in str(error) for each in self.people.values()):
            self.find("an error tells a user's content", f"{name}: {describe(error)}")

    def look_into(self, use: Use, name: str, result: Any) -> None:
        """Find the other user's marks in what a step has returned."""
        shown = _show(result)
        if not use.invocation.is_system:
            others = [each for each in self.people.values() if each is not use.person]
            for each in others:
                if f"~{each.mark}~" in shown or str(each.user_id) in shown:
                    self.find("a row of the other user was seen", f"{name} -> {shown}, {each}")
            if set(MARK.findall(shown)) - {each.mark for each in self.people.values()}:
                self.find("a row of somebody else was seen", name)
            if name == "who":
                self._judge_identity(use, result[0])

    def _judge_identity(self, use: Use, found: str) -> None:
        role, _, user_id = found.partition(" ")
        right = (
            {"", str(use.person.user_id)}
            if not use.attempt.is_ordinary
            else {str(use.person.user_id)}
        )
        if role != ROLE or user_id not in right:
            self.find("a unit ran as another role or user", found)

    def find(self, kind: str, detail: str) -> None:
        self.wrong.append(Finding(kind, detail))


def _show(result: Any) -> str:
    """Return all that is in a result: the repr of a record shows no content."""
    if isinstance(result, list | tuple):
        return ", ".join(map(_show, result))
    return str(result)
