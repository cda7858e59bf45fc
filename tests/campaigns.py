"""Campaigns: tests that do as much as ``--faults`` says, and cast dice that ``--seed`` sets."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Campaign:
    """``dice`` decide everything that is left to chance; the seed makes them fall the same."""

    seed: int
    is_long: bool
    dice: random.Random

    def size(self, short: int, long: int) -> int:
        """How much to do."""
        return long if self.is_long else short
