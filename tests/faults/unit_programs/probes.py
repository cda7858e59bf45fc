"""After a program: the other user's next units, on every connection of the pool at once."""

import asyncio
from typing import Any

from tests.faults.unit_programs import verbs
from tests.faults.unit_programs.ledger import Attempt, Finding, Invocation, Person, describe
from tests.faults.unit_programs.play import Play
from tests.faults.unit_programs.verbs import Use, text_statement

from faceplate import Scope, SystemScope
from faceplate._driver.preamble import ROLE

MEETING_S = 5.0
STATE = text_statement(
    """
    SELECT concat_ws(' | ',
      'user ' || coalesce(current_setting('faceplate.user_id', true), ''),
      'role ' || current_user,
      'search_path ' || current_setting('search_path'),
      'statement_timeout ' || current_setting('statement_timeout'),
      'lock_timeout ' || current_setting('lock_timeout'),
      'timezone ' || current_setting('timezone'),
      'read only ' || current_setting('default_transaction_read_only'),
      'level ' || current_setting('transaction_isolation'),
      'default level ' || current_setting('default_transaction_isolation'),
      'row_security ' || current_setting('row_security'),
      'word ' || nullif(current_setting('program.word', true), ''),
      (SELECT 'temporary ' || string_agg(relname, ',') FROM pg_class
        WHERE relnamespace = pg_my_temp_schema() AND relname LIKE 'program%'),
      (SELECT 'cursors ' || string_agg(name, ',') FROM pg_cursors WHERE is_holdable),
      (SELECT 'locks ' || count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid() HAVING count(*) > 0),
      (SELECT 'listens to ' || string_agg(c, ',') FROM pg_listening_channels() c),
      (SELECT 'prepared ' || string_agg(name, ',') FROM pg_prepared_statements
        WHERE name LIKE 'program%'))
    """
)
"""What a unit finds on its connection."""


class _Meeting:
    """Units wait here for each other, so that each has a connection. One may come twice."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._there: set[int] = set()
        self.all_there = asyncio.Event()

    def is_first(self, number: int) -> bool:
        """Whether this one may write where the others would have to wait for it."""
        return number == min(self._there)

    def arrive(self, number: int) -> None:
        self._there.add(number)
        if len(self._there) == self._size:
            self.all_there.set()


class Probe:
    """``expected`` is what a unit of nobody finds on a new connection."""

    def __init__(self) -> None:
        self.expected: dict[str, str] = {}

    async def run(self, play: Play) -> None:
        """Serve the other user on every connection of the pool, and then the system."""
        meeting = _Meeting(play.world.pool_size)
        # A block is not retried where a connection was lost.
        blocks = 0 if play.has_faults else len(play.program.body) % 2
        units = [
            self._serve(play, meeting, in_block=number < blocks)
            for number in range(play.world.pool_size)
        ]
        for error in await asyncio.gather(*units, return_exceptions=True):
            if isinstance(error, BaseException):
                play.find("the next unit of the other user failed", describe(error))
        try:
            await play.world.db.run_system(self._system, play)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            play.find("the next unit of the system failed", describe(error))
        if not play.has_faults:  # a plain session is not retried either
            await self._sessions(play)
        pool = play.world.db.pool()
        if pool.checked_out:
            play.find("a connection is not given back", str(pool))

    async def _serve(self, play: Play, meeting: _Meeting, *, in_block: bool) -> None:
        invocation = play.invocation(play.people["other_user"])
        user_id, db = invocation.person.user_id, play.world.db
        try:
            if in_block:
                async with db.begin(user_id) as scope:
                    await self._unit(scope, play, invocation, meeting)
            else:
                await db.run(user_id, self._unit, play, invocation, meeting)
        except BaseException as error:
            invocation.fail(error)
            meeting.arrive(invocation.number)
            raise

    async def _unit(
        self, scope: Scope, play: Play, invocation: Invocation, meeting: _Meeting
    ) -> None:
        attempt = Attempt()
        invocation.attempts.append(attempt)
        use = Use(scope, attempt, invocation)
        try:
            person = invocation.person
            self._compare(play, "unit", await scope.all(STATE), str(person.user_id), ROLE)
            meeting.arrive(invocation.number)
            async with asyncio.timeout(MEETING_S):
                await meeting.all_there.wait()
            await play.watch(use, "who", verbs.who, is_ordinary=True)
            for sql in (
                "select content from faceplate.messages",
                "select title from faceplate.tasks",
            ):
                await play.watch(use, "text", verbs.text, sql, is_ordinary=True)
            write = verbs.append if meeting.is_first(invocation.number) else verbs.create_task
            await play.watch(use, write.__name__, write, is_ordinary=True)
        finally:
            attempt.is_over = True

    async def _system(self, scope: SystemScope, play: Play) -> None:
        self._compare(play, "system", await scope.all(STATE), "", "")
        ids = [person.user_id for person in play.people.values()]
        seen = await scope.all(
            text_statement("select id::text from faceplate.users where id = any(:ids)"), ids=ids
        )
        if len(seen) != len(ids):
            play.find("the next unit of the system is not served right", f"it sees {len(seen)}")

    async def _sessions(self, play: Play) -> None:
        try:
            async with play.world.db.sessions() as session:
                found = (await session.execute(STATE.statement)).scalars().all()
                self._compare(play, "sessions", list(found), "", "")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            play.find("the next plain session failed", describe(error))

    def _compare(self, play: Play, kind: str, found: list[Any], user_id: str, role: str) -> None:
        state = found[0].replace(f"user {user_id} |", "user ok |")
        if role:
            state = state.replace(f"role {role} |", "role ok |")
        expected = self.expected.setdefault(kind, state)
        if state != expected:
            before, after = set(expected.split(" | ")), set(state.split(" | "))
            play.find(
                "state of the session is left",
                f"{kind}: {', '.join(sorted(after - before))}"
                f" in place of {', '.join(sorted(before - after))}",
            )


def not_as_before(play: Play, before: Any, after: Any) -> list[Finding]:
    """Compare what the two users had from the start with what they have now."""
    wrong = []
    user, other = play.people["user"], play.people["other_user"]
    if before.originals(other) - after.originals(other):
        wrong.append(Finding("a row of the other user was changed", _lost(before, after, other)))
    has_changed = any(
        write.kind != "insert" and write.told != "failed"
        for invocation in play.invocations
        if invocation.person is user and invocation.outcome != "undone"
        for attempt in invocation.attempts
        for write in attempt.writes
    )
    if not has_changed and before.originals(user) - after.originals(user):
        wrong.append(Finding("a unit that failed has changed rows", _lost(before, after, user)))
    return wrong


def _lost(before: Any, after: Any, person: Person) -> str:
    return "; ".join(sorted(before.originals(person) - after.originals(person)))[:200]
