"""The pairing of tool calls and their results, along each path of a chat.

A tool result must name the id of its call. Few sources have ids, and many have calls without a
result or results without a call. So a result answers a call between the same two messages of the
user: the one that it names, or else the oldest open one of its tool. One that names a call answers
no other, but for a call that has no id.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from faceplate.importers.turns import (
    Step,
    Turn,
    can_be_stored,
    has_given_id,
    ids_of,
    name_of,
)

_MAX_PENDING: Final = 100  # calls on a path; an older one is not answered any more
_NUMBER: Final = re.compile(r"(?: \(\d+\))?")
"""What `ids_of` puts behind an id."""

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
    pairing = _Pairing(steps)
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

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self.pending: _Pending = {}
        self.answers: dict[int, tuple[Call, str]] = {}
        self.lone: set[Call] = set()
        """The calls that have no result on some path."""
        self._unnamed: set[Call] = set()
        """The calls that have no id in the source."""

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
                    if has_given_id(call, turn):
                        self._unnamed.add((index, place))
                    self._wait(other["id"], (index, place), name_of(call))
        elif turn.role == "tool":
            call_id = self._find_named(turn.call_id, index) if turn.call_id else None
            if call_id is None:
                call_id = _find_call(turn.tool, self._names(are_unnamed=bool(turn.call_id)))
            if call_id is not None:
                self.answers[index] = self.pending.pop(call_id)[0], call_id

    def _names(self, *, are_unnamed: bool) -> dict[str, str]:
        """Return the tools of the pending calls, or of those alone that the source gave no id."""
        return {
            id_: tool
            for id_, (call, tool) in self.pending.items()
            if call in self._unnamed or not are_unnamed
        }

    def _find_named(self, call_id: str, index: int) -> str | None:
        """Return the pending call that the result at ``index`` answers, which names this id.

        Of several with the id, the newest are answered, in their order: a call without a result,
        which the model repeats, has none. Calls of one message are answered from the first on.
        """
        same = [id_ for id_ in self.pending if is_id_of(id_, call_id)]
        if len(same) <= 1:
            return next(iter(same), None)
        count = _count_results(self._steps, index, call_id)
        message, _ = self.pending[same[max(len(same) - count, 0)]][0]
        return next(id_ for id_ in same if self.pending[id_][0][0] == message)

    def _free_id(self, call_id: str) -> str:
        """Return the id, or another one if a call that waits has it."""
        return next(id_ for id_ in ids_of(call_id) if id_ not in self.pending)

    def _wait(self, call_id: str, call: Call, tool: str) -> None:
        self.pending[call_id] = call, tool
        if len(self.pending) > _MAX_PENDING:
            self.lone.add(self.pending.pop(next(iter(self.pending)))[0])


def is_id_of(id_: str, call_id: str) -> bool:
    """Return whether a call with this id has ``call_id`` in the source."""
    return id_.startswith(call_id) and _NUMBER.fullmatch(id_, len(call_id)) is not None


def _count_results(steps: Sequence[Step], index: int, call_id: str) -> int:
    """Return how many of the results in a row, from the one at ``index`` on, name this id."""
    count = 0
    for place in range(index, min(index + _MAX_PENDING, len(steps))):
        turn, parent = steps[place]
        if turn is None or turn.role != "tool" or (place > index and parent != place - 1):
            break
        count += turn.call_id == call_id
    return count


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
