"""Trying a program out, and making a smaller one of it that breaks the same promise."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from tests.faults.unit_programs.ledger import Finding, ProgramError, judge, judge_error
from tests.faults.unit_programs.play import Play
from tests.faults.unit_programs.probes import Probe, not_as_before
from tests.faults.unit_programs.program import Program, Step, script
from tests.faults.unit_programs.world import World

from faceplate import Contention

WARM_UP = Program(
    "run", (Step("append"), Step("update"), Step("who"), Step("session_read", "Task.title"))
)
"""A pool of a service that runs has served units of each kind before."""
TRIES = 3
SHRINKING_S = 60.0


class Bench:
    """Programs run on one world, one after the other, on the pool that those before have left."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._probe = Probe()
        self._is_warm = False
        self.told = ""
        """What the caller of the last program's unit was told: kept, undone or unknown."""

    async def try_out(self, program: Program) -> list[Finding]:
        """Run a program, and return every promise that it has broken."""
        for _ in range(TRIES):
            if not self._is_warm:
                await self.world.renew()
                self._probe = Probe()
                await self._try_out(WARM_UP)
            wrong = await self._try_out(program)
            self._is_warm = not wrong
            if not self.world.relay.is_cut_off:
                return wrong
            self._is_warm = False  # a pooler that has crashed says nothing of the program
        raise ConnectionError("the server or the pooler is gone each time")

    async def _try_out(self, program: Program) -> list[Finding]:
        world = self.world
        user, other = await world.settle("A"), await world.settle("B")
        play = Play(world, program, user, other)
        before = await world.snapshot(user, other)
        invocation = await play.main()
        await world.calm_down()
        await play.finish()
        gate = "during the other user's unit"
        if play.waits(gate):
            await play.other_unit(gate)
        await play.end()
        await world.calm_down()  # a step may have been run just now
        if not any(finding.kind == "a program hangs" for finding in play.wrong):
            play.wrong += judge_error(invocation, cut=program.cut, may_fail=program.fails)
        play.wrong += _judge_ordinary(play, program)
        await self._probe.run(play)
        if busy := await world.busy():
            play.find("a transaction is left open", busy)
        if world.unseen:
            play.find("an error that nobody has caught", world.unseen.pop())
            world.unseen.clear()
        after = await world.snapshot(user, other)
        play.wrong += judge(play.invocations, after.stored)
        play.wrong += [*not_as_before(play, before, after), *after.miscounted()]
        await world.forget(user, other)
        self.told = invocation.outcome
        return play.wrong

    async def report(self, program: Program, wrong: list[Finding]) -> str:
        """Return what a program has broken, with the smallest program that breaks it, too."""
        lines = [*map(str, wrong), script(program)]
        kind = wrong[0].kind
        if not await self.breaks(program, kind):
            return "\n".join([*lines, "Alone and on a new pool it does not happen again."])
        smallest = await self.shrink(program, kind)
        return "\n".join([*lines, f"The smallest program found, for: {kind}", script(smallest)])

    async def breaks(self, program: Program, kind: str) -> bool:
        """Whether a program breaks a promise again, alone and on a new pool."""
        for _ in range(TRIES):
            self._is_warm = False
            if any(finding.kind == kind for finding in await self.try_out(program)):
                return True
        return False

    async def shrink(self, program: Program, kind: str, limit_s: float = SHRINKING_S) -> Program:
        """Return the smallest program found that breaks the same promise."""
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        is_smaller = True
        while is_smaller and loop.time() < until:
            is_smaller = False
            for candidate in smaller(program):
                if loop.time() > until:
                    break
                if await self.breaks(candidate, kind):
                    program, is_smaller = candidate, True
                    break
        return program


def _judge_ordinary(play: Play, program: Program) -> list[Finding]:
    """A unit in which all went well is not refused at its end."""
    wrong = []
    for invocation in play.invocations:
        attempts = invocation.attempts
        is_fine = bool(attempts) and attempts[-1].is_ordinary and not play.has_faults
        error = invocation.error
        is_meant = isinstance(error, ProgramError | Contention) or bool(program.cut)
        if is_fine and isinstance(error, Exception) and not is_meant:
            wrong.append(Finding("an ordinary unit failed", f"{type(error).__name__}: {error}"))
    return wrong


def smaller(program: Program) -> Iterator[Program]:
    """Yield programs with a little less in them."""
    for body in _smaller(program.body):
        yield replace(program, body=body)
    if program.fails:
        yield replace(program, fails=False)
    if program.cut:
        yield replace(program, cut="", cut_after_s=0.0)
    if program.beside:
        yield replace(program, beside=False)
    if program.mark:
        yield replace(program, mark="")
    if program.isolation != "read committed":
        yield replace(program, isolation="read committed")
    if program.entry == "begin":
        yield replace(program, entry="run")


def _smaller(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for size in (len(steps) // 2, 1):
        if size:
            for start in range(0, len(steps), size):
                yield steps[:start] + steps[start + size :]
    for place, step in enumerate(steps):
        before, after = steps[:place], steps[place + 1 :]
        if step.body:
            yield before + step.body + after
            for body in _smaller(step.body):
                if body:
                    yield (*before, replace(step, body=body), *after)
