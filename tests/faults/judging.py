"""What the campaigns on exactly once share: what a unit does without a fault, and the verdict."""

from tests.faults.plans import GIVEN_IDS, plans
from tests.faults.proxy import Action, Fault, is_commit, is_committed
from tests.faults.trials import Bench, Trial, Use
from tests.units import nobodys

from faceplate import CommitOutcomeUnknown

PLANS = list(plans(nobodys()))
OWN = [name for name in PLANS if name.startswith("own, ")]
AROUND_COMMIT = [
    Fault(Action.DROP_BEFORE, is_commit),  # which does not take effect
    Fault(Action.DROP_AFTER, is_commit),  # which does
    Fault(Action.DROP_BEFORE, is_committed),
]

_known: dict[tuple[str, Use, bool], Trial] = {}


async def learn(wire: Bench, name: str, *, used_for: Use = "writing") -> Trial:
    """Return what the plan does without a fault, as the measure of the others."""
    key = name, used_for, wire.db.settings.pgbouncer
    if key not in _known:
        trial = await wire.try_out(name, used_for=used_for)
        assert trial.error is None, name
        _known[key] = trial
    return _known[key]


class Book:
    """What went wrong, so that one failure does not hide the others."""

    def __init__(self) -> None:
        self._wrong: list[str] = []
        self._ends: dict[str, int] = {}

    def judge(self, name: str, known: Trial, trial: Trial, *allowed: type) -> None:
        """Note a trial that is neither as it was without a fault, nor an error of ``allowed``.

        After CommitOutcomeUnknown a unit may have taken effect, once; after another error, not.
        """
        written, kept_out = trial.after == known.after, trial.after == known.before
        match trial.error:
            case None:
                right = written and trial.result == known.result
            case CommitOutcomeUnknown() as unknown:
                has_ids = not written or trial.new_ids <= {*unknown.ids, *GIVEN_IDS}
                right = CommitOutcomeUnknown in allowed and (written or kept_out) and has_ids
            case error:
                right = isinstance(error, allowed) and kept_out
        end = "acknowledged" if trial.error is None else type(trial.error).__name__
        self._ends[end] = self._ends.get(end, 0) + 1
        if not right:
            state = "written" if written else "not written" if kept_out else "another state"
            self._wrong.append(
                f"{name}, {trial.faults}, struck {trial.struck}:"
                f" {trial.error or end}, {state}, returned {trial.result}"
            )

    def check(self) -> None:
        print(self._ends)  # noqa: T201 - shows how a campaign went, and that it had any strength
        assert not self._wrong, "\n".join([f"{len(self._wrong)} went wrong:", *self._wrong])
