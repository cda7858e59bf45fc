"""What every caller in a program was told, and whether the database agrees."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import UUID

from faceplate import CommitOutcomeUnknown, FaceplateError, was_committed

WriteKind = Literal["insert", "change", "delete"]


class Finding(NamedTuple):
    """``kind`` is the promise that was broken, ``detail`` how."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Person:
    """A user whose every text holds ``mark``."""

    name: str
    user_id: UUID
    mark: str
    conversation_id: UUID
    message_id: UUID
    task_id: UUID
    config_id: UUID


class ProgramError(Exception):
    """What a unit of a program raises by itself."""


@dataclass
class Write:
    """``told`` is what the step that wrote was told."""

    token: str
    kind: WriteKind
    told: Literal["done", "failed", "unknown"] = "unknown"


@dataclass
class Attempt:
    """One call of the unit. ``is_over`` from the moment the unit has returned or raised."""

    writes: list[Write] = field(default_factory=list)
    is_over: bool = False
    is_ordinary: bool = True
    """Whether every step so far was one that has to succeed, and did."""
    running: int = 0
    is_shared: bool = False
    """Whether several tasks have used its scope."""
    took_control: str = ""
    """A BEGIN, COMMIT or ROLLBACK as text that was not refused."""


@dataclass
class Invocation:
    """One call of `Database.run`, `run_system` or `begin`, and what its caller was told."""

    number: int
    person: Person
    is_system: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    error: BaseException | None = None
    outcome: Literal["kept", "undone", "unknown"] = "kept"

    def token(self, attempt: Attempt) -> str:
        """Return a text that no other write has, but the same write of a retried attempt."""
        return f"~{self.person.mark}~{self.number}.{len(attempt.writes)}"

    def fail(self, error: BaseException) -> None:
        """Note what the caller was told, now: a unit around this one says it of itself, by the
        same error."""
        self.error = error
        if was_committed(error):
            self.outcome = "kept"
        else:
            self.outcome = "unknown" if isinstance(error, CommitOutcomeUnknown) else "undone"


def expected(invocation: Invocation) -> dict[str, tuple[int, int]]:
    """Return how often the token of each insert may be stored, at least and at most."""
    bounds: dict[str, tuple[int, int]] = {}
    for attempt in invocation.attempts:
        is_last = attempt is invocation.attempts[-1]
        for write in attempt.writes:
            if write.kind == "delete":
                continue
            allowed = _bounds(invocation, write) if is_last else (0, 0)
            bounds[write.token] = max(bounds.get(write.token, (0, 0)), allowed)
    return bounds


def _bounds(invocation: Invocation, write: Write) -> tuple[int, int]:
    if invocation.outcome == "undone":
        return 0, 0
    most = 1 if write.kind == "insert" else 1_000_000
    is_sure = invocation.outcome == "kept" and write.kind == "insert"
    match write.told:
        case "done":
            return int(is_sure), most
        case "failed":
            return 0, 0
    return 0, most


def judge(invocations: list[Invocation], stored: Counter[str]) -> list[Finding]:
    """Compare what the callers were told with the tokens that are stored."""
    wrong: list[Finding] = []
    for invocation in invocations:
        who = f"unit {invocation.number} of {invocation.person.name}"
        told = "done" if invocation.error is None else type(invocation.error).__name__
        for token, (least, most) in expected(invocation).items():
            count = stored[token]
            where = f"{token} of {who} (told: {told}) is there {count} times"
            if count < least:
                wrong.append(Finding("what was acknowledged is lost", where))
            elif count > most:
                kind = "doubled" if most else "reported as failed, and there"
                wrong.append(Finding(f"what was written is {kind}", where))
        wrong += _judge_whole(invocation, stored, who)
        if invocation.error is None and invocation.attempts:
            control = invocation.attempts[-1].took_control
            if control:
                wrong.append(Finding("a unit went on after its transaction", f"{who}: {control}"))
    return wrong


def _judge_whole(invocation: Invocation, stored: Counter[str], who: str) -> list[Finding]:
    """A unit whose outcome is unknown is there as a whole, or not at all."""
    if invocation.outcome != "unknown" or not invocation.attempts:
        return []
    writes = [w for w in invocation.attempts[-1].writes if w.kind == "insert" and w.told == "done"]
    if len({bool(stored[write.token]) for write in writes}) > 1:
        return [Finding("a part of a unit is there", who)]
    return []


def judge_error(invocation: Invocation, *, cut: str, may_fail: bool) -> list[Finding]:
    """Judge the error that the caller of a unit has got."""
    error = invocation.error
    who = f"unit {invocation.number} of {invocation.person.name}"
    what = f"{who} raised {describe(error)}"
    match error:
        case None | FaceplateError():
            pass
        case asyncio.CancelledError() if cut == "timeout":
            return [Finding("asyncio.timeout around a unit raised no TimeoutError", what)]
        case asyncio.CancelledError() if cut == "cancel":
            pass
        case TimeoutError() if cut == "timeout":
            pass
        case ProgramError() if may_fail:
            pass
        case Warning():  # which pytest makes an error of: SQLAlchemy warns of a session's misuse
            pass
        case _:
            return [Finding("an error that is not faceplate's left a unit", what)]
    return []


def describe(error: Any) -> str:
    """The class and the first line of an error."""
    return f"{type(error).__module__}.{type(error).__name__}: {str(error).partition(chr(10))[0]}"
