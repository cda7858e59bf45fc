"""Writers in processes of their own that are killed, and calls that are cancelled, midway."""

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeVar

import pytest
from pydantic import SecretStr
from tests.campaigns import Campaign
from tests.ends import end_of

from faceplate import Database, Settings

T = TypeVar("T")

Write = Callable[[Database, str, str, Callable[[], None]], Coroutine[Any, Any, None]]
"""Writes for an owner under a label, for ever, and calls the function after each stored unit."""

DEADLINE_S = 60.0
_FORKS = multiprocessing.get_context("forkserver")  # one process imports the SDK for all of them


class Life(NamedTuple):
    """Whose writer it is, and how many units and seconds after them it is killed."""

    owner: str
    label: str
    units: int
    pause_s: float


class Writer(NamedTuple):
    """A process that was killed. Each name of what it wrote begins with its label and a colon."""

    owner: str
    label: str
    acknowledged: int
    """How many units its SDK has told it are stored."""


async def kill_writers(
    write: Write, url: str, owners: Sequence[str], campaign: Campaign
) -> list[Writer]:
    """Let a process write for each of ``owners`` at the same time, kill all of them, and again."""
    _import_for_all(write.__module__)
    dice, killed = campaign.dice, list[Writer]()
    for number in range(campaign.size(4, 20)):
        lives = [
            Life(owner, f"{number}-{place}", dice.randrange(1, 8), dice.random() * 0.03)
            for place, owner in enumerate(owners)
        ]
        killed += await asyncio.gather(
            *(asyncio.to_thread(_live, write, url, life) for life in lives)
        )
    return killed


def _import_for_all(module: str) -> None:
    """Import a module, which may take seconds, in the process from which writers are forked."""
    _FORKS.set_forkserver_preload(["__main__", __name__, module])
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # it does not take it over
        forkserver.ensure_running()


def _live(write: Write, url: str, life: Life) -> Writer:
    """Start a writer and kill it."""
    told, tells = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_program, args=(write, url, life, tells))
    process.start()
    tells.close()
    count = 0
    try:
        while count < life.units:
            assert told.poll(DEADLINE_S), f"{life} has stored {count}"
            told.recv()
            count += 1
        time.sleep(life.pause_s)  # the random moment of the kill
    finally:
        process.kill()
        process.join()
    while _is_told(told):
        count += 1
    told.close()
    assert process.exitcode == -signal.SIGKILL
    return Writer(life.owner, life.label, count)


def _is_told(told: Connection) -> bool:
    try:
        told.recv()
    except EOFError:
        return False
    return True


def _program(write: Write, url: str, life: Life, tells: Connection) -> None:
    async def run() -> None:
        async with Database(Settings(database_url=SecretStr(url))) as db:
            await write(db, life.owner, life.label, lambda: tells.send(None))

    asyncio.run(run())


def check_units(
    names: Sequence[str],
    owner: str,
    killed: Sequence[Writer],
    units: Callable[[str], Iterator[list[str]]],
) -> None:
    """Check what an owner has: ``units`` returns what a writer stores, by its label.

    What was acknowledged is there once and in order, of the next unit all or nothing, and nothing
    of another owner.
    """
    mine = {writer.label: writer for writer in killed if writer.owner == owner}
    for label, writer in mine.items():
        stored = [name for name in names if name.startswith(f"{label}:")]
        *told, in_doubt = islice(units(label), writer.acknowledged + 1)
        wanted = [name for unit in told for name in unit]
        assert stored in (wanted, wanted + in_doubt), f"{writer} stored {stored}"
    strange = [name for name in names if name.partition(":")[0] not in mine]
    assert not strange, f"{owner} has {strange}"
    rounds = [int(name.partition("-")[0]) for name in names]
    assert rounds == sorted(rounds), f"{names} are out of order"


class Canceller:
    """Cancels each call at a random moment, but the first, which shows how long a call takes."""

    def __init__(self, campaign: Campaign) -> None:
        self._dice = campaign.dice
        self._takes_s: float | None = None

    async def call(self, call: Coroutine[Any, Any, T]) -> T | BaseException:
        """Return the result of a call, or what it raised."""
        task, begun_at = asyncio.create_task(call), time.monotonic()
        if self._takes_s is not None:
            await asyncio.wait({task}, timeout=self._takes_s * self._dice.random() * 1.2)
            task.cancel()
        outcome = await end_of(task)
        if not isinstance(outcome, BaseException):
            self._takes_s = time.monotonic() - begun_at
        return outcome
