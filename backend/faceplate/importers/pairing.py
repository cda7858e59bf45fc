"""The pairing of tool calls and their results, along each path of a chat.

A tool result must name the id of its call. Few sources have ids, and many have calls without a
result or results without a call. So a result answers a call between the same two messages of the
user: the one that it names, or else the oldest open one of its tool.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from faceplate.importers.turns import Step, Turn, can_be_stored, ids_of, name_of

_MAX_PENDING: Final = 100  # calls on a path; an older one is not answered any more
_NUMBER: Final = re.compile(r" \(\d+\)\Z")  # what `ids_of` puts behind an id

Call = tuple[int, int]
"""The index of a step, and the place of the call in its turn."""

_Pending = dict[str, tuple[Call, str]]
"""The calls by their ids, each with the name of its tool; the newest last."""


class Answers(NamedTuple):
    """The calls that stay calls."""

    calls: dict[int, str]
    """The id of the call of each result, by the index of its step."""
    kept: dict[Call, str]
    """The calls that have a result, or may still get one, with an id for each."""


def find_answers(steps: Sequence[Step], *, keeps_open_calls: bool) -> Answers:
    """Return which result answers which call.

    A call that is not answered on each path through it has no result: on the other paths it would
    look pending. With ``keeps_open_calls`` a call at the end of its only path is kept.
    """
    parents = [parent for _, parent in steps]
    branch_points = {parent for index, parent in enumerate(parents) if parent != index - 1}
    pairing_at: dict[int | None, _Pending] = {None: {}}
    pairing = _Pairing()
    for index, (turn, parent) in enumerate(steps):
        if parent is None or parent != index - 1:
            pairing.give_up()
            pairing.pending = dict(pairing_at[parent])
        if turn is not None:
            pairing.take(index, turn)
        if index in branch_points:
            pairing_at[index] = dict(pairing.pending)
    has_one_path = branch_points <= {None} and parents.count(None) == 1
    waits = keeps_open_calls and has_one_path
    waiting = {call: id_ for id_, (call, _) in pairing.pending.items()} if waits else {}
    pairing.give_up()
    found = {index: each for index, each in pairing.answers.items() if each[0] not in pairing.lone}
    calls = {index: call_id for index, (_, call_id) in found.items()}
    return Answers(calls, dict(found.values()) | waiting)


class _Pairing:
    """The calls of a path that wait for their results, and what was found on all paths."""

    def __init__(self) -> None:
        self.pending: _Pending = {}
        self.answers: dict[int, tuple[Call, str]] = {}
        self.lone: set[Call] = set()
        """The calls that have no result on some path."""

    def give_up(self) -> None:
        """Begin without pending calls; those until now have no result."""
        self.lone.update(call for call, _ in self.pending.values())
        self.pending = {}

    def take(self, index: int, turn: Turn) -> None:
        """Pair the calls or the result of the next turn of the path."""
        if turn.role == "user" and turn.is_shown:
            self.give_up()
        elif turn.role == "assistant" and turn.is_shown:
            for place, call in enumerate(turn.calls):
                other = {**call, "id": self._free_id(call["id"])}
                if can_be_stored(other):
                    self._wait(other["id"], (index, place), name_of(call))
        elif turn.role == "tool":
            if turn.call_id:
                call_id = _find_named(turn.call_id, self.pending)
            else:
                names = {id_: tool for id_, (_, tool) in self.pending.items()}
                call_id = _find_call(turn.tool, names)
            if call_id is not None:
                self.answers[index] = self.pending.pop(call_id)[0], call_id

    def _free_id(self, call_id: str) -> str:
        """Return the id, or another one if a call that waits has it."""
        return next(id_ for id_ in ids_of(call_id) if id_ not in self.pending)

    def _wait(self, call_id: str, call: Call, tool: str) -> None:
        self.pending[call_id] = call, tool
        if len(self.pending) > _MAX_PENDING:
            self.lone.add(self.pending.pop(next(iter(self.pending)))[0])


def _find_named(call_id: str, pending: _Pending) -> str | None:
    """Return the pending call that a result with this id of the source answers.

    It is the oldest one. If a later message calls that tool again with the id, it is the first call
    of the last message that does.
    """
    found = [
        (call, tool, id_)
        for id_, (call, tool) in pending.items()
        if id_ == call_id or _NUMBER.sub("", id_) == call_id
    ]
    if not found:
        return None
    _, oldest_tool, _ = min(found)
    same = [(call, id_) for call, tool, id_ in found if tool == oldest_tool]
    last_message = max(message for (message, _), _ in same)
    return min(each for each in same if each[0][0] == last_message)[1]


def _find_call(tool: str, pending: Mapping[str, str]) -> str | None:
    """Return the oldest pending call of this tool or its family; ``pending`` has the names.

    ``web.run`` belongs to the family ``web``. Without a tool's name it is the oldest call of any
    tool.
    """
    if not tool:
        return next(iter(pending), None)
    same = [id_ for id_, name in pending.items() if name == tool]
    family = tool.partition(".")[0]
    related = [id_ for id_, name in pending.items() if name.partition(".")[0] == family]
    return next(iter(same or related), None)
