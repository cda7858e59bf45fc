"""What the campaigns share: a server that none of them kills."""

from collections.abc import Iterator

import pytest
from tests.faults.plans import TABLES
from tests.faults.servers import OwnServer, own_server

# A crash of the machine is no part of this suite.
QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@pytest.fixture(scope="session")
def steady_server() -> Iterator[OwnServer]:
    """A server that runs on; its connections are what breaks."""
    with own_server(script=TABLES, **QUICK) as server:
        yield server
