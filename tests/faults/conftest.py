"""What the campaigns share: a server that none of them kills, and the dice."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.faults.plans import TABLES
from tests.faults.servers import OwnServer, own_server

# A crash of the machine is no part of this suite.
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(frozen=True)
class Campaign:
    """``dice`` decide everything that is left to chance; the seed makes them fall the same."""

    seed: int
    is_long: bool
    dice: random.Random

    def size(self, short: int, long: int) -> int:
        """How much to do."""
        return long if self.is_long else short


@pytest.fixture
def campaign(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Campaign:
    seed, length = pytestconfig.option.seed, pytestconfig.option.faults
    print(f"{request.node.name}: --faults={length} --seed={seed}")  # noqa: T201 - for whom it fails
    return Campaign(seed, length == "long", random.Random(f"{seed} {request.node.name}"))


@pytest.fixture(scope="session")
def steady_server() -> Iterator[OwnServer]:
    """A server that runs on; its connections are what breaks."""
    with own_server(script=TABLES, **QUICK) as server:
        yield server
