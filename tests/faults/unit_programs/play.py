"""One run of a program: it does the steps and looks into everything that comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tests.faults.unit_programs import verbs
from tests.faults.unit_programs.generation import AT_CONNECT, CONTROL, READS
from tests.faults.unit_programs.ledger import (
    Attempt,
    Invocation,
    Person,
    ProgramError,
    describe,
)
from tests.faults.unit_programs.program import Program, Step
from tests.faults.unit_programs.verbs import Use
from tests.faults.unit_programs.witness import Witness
from tests.faults.unit_programs.world import World

from faceplate import TimedOut, Unavailable, isolation_level, one_statement, replayable

GATE_S = 2.0
HANG_S = 20.0
OTHERS = (Step("who"), Step("append"), Step("create_task"), Step("history"), Step("session_add"))
"""What the other user's unit does."""


class Play(Witness):
    """``invocations`` and ``wrong`` are what came of it."""

    def __init__(self, world: World, program: Program, user: Person, other: Person) -> None:
        super().__init__({"user": user, "other_user": other})
        self.world = world
        self.program = program
        self.invocations: list[Invocation] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._tasks: list[tuple[str, asyncio.Task[None]]] = []
        self._killed = False

    async def main(self) -> Invocation:
        """Run the program's unit as its caller does. Errors are noted, not raised."""
        if not self.program.beside:
            return await self._main()
        beside = asyncio.create_task(self._beside())
        invocation = await self._main()
        await beside
        return invocation

    async def _beside(self) -> None:
        """Let the other user's unit run. It may have to give up: a connection may not be free."""
        invocation = self.invocation(self.people["other_user"])
        try:
            await self._call(invocation, "run", OTHERS)
        except (Unavailable, TimedOut) as error:
            invocation.fail(error)
        except BaseException as error:  # noqa: BLE001 - it is judged
            invocation.fail(error)
            self.find("a unit beside failed", describe(error))

    async def _main(self) -> Invocation:
        program = self.program
        is_system = program.entry == "run_system"
        invocation = self.invocation(self.people["user"], is_system=is_system)
        task = asyncio.create_task(self._called(invocation))
        try:
            async with asyncio.timeout(HANG_S):
                if program.cut == "cancel":
                    await asyncio.wait({task}, timeout=program.cut_after_s)
                    task.cancel()
                await asyncio.wait({task})
        except TimeoutError:
            self.find("a program hangs", "its caller gets no answer")
            task.cancel()
            await asyncio.wait({task}, timeout=GATE_S)
            invocation.fail(TimeoutError())
        return invocation

    async def _called(self, invocation: Invocation) -> None:
        program = self.program
        try:
            async with asyncio.timeout(program.cut_after_s if program.cut == "timeout" else None):
                await self._call(invocation, program.entry, program.body, fails=program.fails)
        except BaseException as error:  # noqa: BLE001 - it is judged
            invocation.fail(error)
        task = asyncio.current_task()
        assert task is not None
        if task.cancelling() and program.cut != "cancel":
            self.find("a cancellation is left over", "after the call of the unit")

    async def other_unit(self, gate: str) -> None:
        """Let the other user's unit be served while what waits for ``gate`` goes on."""
        invocation = self.invocation(self.people["other_user"])

        async def meanwhile() -> None:
            await self.release(gate)

        try:
            await self._call(invocation, "run", OTHERS, between=meanwhile)
        except BaseException as error:  # noqa: BLE001 - it is judged
            invocation.fail(error)
            if not (self.has_faults and isinstance(error, Unavailable | TimedOut)):
                self.find("the next unit of the other user failed", describe(error))

    def invocation(self, person: Person, *, is_system: bool = False) -> Invocation:
        made = Invocation(len(self.invocations), person, is_system=is_system)
        self.invocations.append(made)
        return made

    async def _call(
        self,
        invocation: Invocation,
        entry: str,
        body: tuple[Step, ...],
        *,
        fails: bool = False,
        between: Callable[[], Awaitable[None]] | None = None,
        outer: Use | None = None,
    ) -> None:
        async def unit(scope: Any) -> None:
            attempt = Attempt()
            # The unit around it may hold a lock that this one needs.
            attempt.is_ordinary = outer is None or outer.person is not invocation.person
            invocation.attempts.append(attempt)
            use = Use(scope, attempt, invocation, outer=outer)
            try:
                for number, step in enumerate(body):
                    await self.step(use, step)
                    if between is not None and number == 1:
                        await between()
                if fails:
                    raise ProgramError
            finally:
                attempt.is_over = True
                self.gate("as the unit ends").set()

        db, user_id = self.world.db, invocation.person.user_id
        level = self.program.isolation if invocation.number == 0 else "read committed"
        if entry == "begin":
            async with db.begin(user_id, isolation=level) as scope:
                await unit(scope)
        elif entry == "run_system":
            await db.run_system(unit)
        else:
            marks = {"replayable": replayable, "one_statement": one_statement}
            mark = marks.get(self.program.mark) if invocation.number == 0 else None
            marked = isolation_level(level)(unit)
            await db.run(user_id, marked if mark is None else mark(marked))

    # Steps

    async def steps(self, use: Use, steps: tuple[Step, ...]) -> None:
        for step in steps:
            await self.step(use, step)

    async def step(self, use: Use, step: Step) -> None:
        compound = getattr(self, f"_{step.verb}", None)
        if compound is not None:
            await compound(use, step)
            return
        is_ordinary = step.verb in verbs.ORDINARY or step.detail in READS
        verb = verbs.ORDINARY.get(step.verb) or verbs.ROUGH[step.verb]
        detail = step.detail.replace("{user}", str(use.person.user_id))
        detail = detail.replace("{lock}", str(int(use.person.mark, 16)))
        await self.watch(use, step.verb, verb, detail, is_ordinary=is_ordinary)
        if step.detail in CONTROL:
            use.attempt.took_control = use.attempt.took_control or step.detail

    # Compound steps

    async def _pause(self, use: Use, step: Step) -> None:  # noqa: ARG002 - as the others
        await asyncio.sleep(step.number)

    async def _attempt(self, use: Use, step: Step) -> None:
        with suppress(Exception):
            await self.steps(use, step.body)

    async def _gather(self, use: Use, step: Step) -> None:
        use.attempt.is_ordinary = False  # what comes at the same time may be refused
        use.attempt.is_shared = True
        parts = [self.step(use, part) for part in step.body]
        await asyncio.gather(*parts, return_exceptions=step.detail == "return_exceptions")

    async def _timeout(self, use: Use, step: Step) -> None:
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            async with asyncio.timeout(step.number):
                await self.steps(use, step.body)
        except TimeoutError:
            use.attempt.is_ordinary = False
        if task.cancelling() > before and self.program.cut != "cancel":
            self.find("a cancellation is left over", "after a timeout of the unit's own")

    async def _savepoint(self, use: Use, step: Step) -> None:
        first = len(use.attempt.writes)
        try:
            async with use.scope.session.begin_nested():
                await self.steps(use, step.body)
        except BaseException as error:
            use.attempt.is_ordinary = False
            # A cancellation may come when the part is released already, and what another task
            # writes may be a part of it or not.
            is_undone = isinstance(error, Exception) and not use.attempt.is_shared
            for write in use.attempt.writes[first:]:
                write.told = "failed" if is_undone else "unknown"
            raise

    async def _spawn(self, use: Use, step: Step) -> None:
        async def task() -> None:
            await self.gate(step.detail).wait()
            await self.steps(use, step.body)

        use.attempt.is_ordinary = False
        use.attempt.is_shared = True
        self.spawn(step.detail, task())

    async def _keep_stream(self, use: Use, step: Step) -> None:
        stream = use.scope.stream(verbs.CONTENTS)
        if step.number:
            read: list[Any] = []

            async def first(*_: Any) -> Any:
                read.append(await anext(stream, None))
                return read

            await self.watch(use, "keep_stream", first, is_ordinary=True)
            if read == [None]:
                return  # it has come to its end, so that nothing of it is left to be used
        use.attempt.is_ordinary = False

        async def task() -> None:
            await self.gate(step.detail).wait()
            await self.watch(use, "the rest of a stream", lambda *_: verbs.rest_of(stream))

        self.spawn(step.detail, task())

    async def _keep_session(self, use: Use, step: Step) -> None:
        session = use.scope.session
        use.attempt.is_ordinary = False

        async def task() -> None:
            await self.gate(step.detail).wait()
            await self.watch(use, "a kept session", lambda *_: verbs.read_by(session))

        self.spawn(step.detail, task())

    async def _outer(self, use: Use, step: Step) -> None:
        use.attempt.is_ordinary = False  # an error of the outer scope may end this unit
        await self.steps(use.outer or use, step.body)

    async def _nested_run(self, use: Use, step: Step) -> None:
        await self._nested(use, "run", step)

    async def _nested_begin(self, use: Use, step: Step) -> None:
        await self._nested(use, "begin", step)

    async def _nested(self, use: Use, entry: str, step: Step) -> None:
        invocation = self.invocation(self.people[step.detail])
        use.attempt.is_ordinary = False  # no connection may be left for it
        try:
            await self._call(invocation, entry, step.body, outer=use)
        except BaseException as error:
            invocation.fail(error)
            raise

    async def _kill(self, use: Use, _: Step) -> None:
        use.attempt.is_ordinary = False
        self.has_faults = True
        if not self._killed:
            self._killed = True
            await self.world.kill()

    async def _block(self, use: Use, step: Step) -> None:
        use.attempt.is_ordinary = False
        self.has_faults = True
        await self.world.block(step.detail)

    async def _fatal(self, use: Use, step: Step) -> None:
        use.attempt.is_ordinary = False
        if self.has_faults:
            return
        self.has_faults = True
        code, _, moment = step.detail.partition(" ")
        if moment == AT_CONNECT:
            self.world.relay.refuse(code)
            await self.world.kill()
        else:
            passes_on = moment == "which was run"
            self.world.relay.strike(int(step.number), code, passes_on=passes_on)

    # Tasks that outlive a step

    def gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    def spawn(self, gate: str, work: Any) -> None:
        if gate == "at once":
            self.gate(gate).set()
        self._tasks.append((gate, asyncio.create_task(work)))

    async def release(self, gate: str) -> None:
        """Let what waits for ``gate`` go on, and wait until it is done."""
        self.gate(gate).set()
        tasks = [task for name, task in self._tasks if name == gate]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=GATE_S)
            for task in pending:
                self.find("a program hangs", f"a task that goes on {gate}")
                task.cancel()

    def waits(self, gate: str) -> bool:
        return any(name == gate for name, _ in self._tasks)

    async def finish(self) -> None:
        """Wait for every task, and take its error, which was judged when it was raised."""
        for gate in ("at once", "as the unit ends", "after the unit"):
            await self.release(gate)

    async def end(self) -> None:
        for _, task in self._tasks:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks), return_exceptions=True)
