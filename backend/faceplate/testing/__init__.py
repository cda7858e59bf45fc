"""Tests of a service on faceplate: the types of the fixtures that its pytest plugin provides.

The plugin ``pytest_faceplate`` is loaded by an entry point; a test names the fixtures and imports
nothing. This module has the types to annotate them with::

    async def test_hello(
        faceplate_client: httpx.AsyncClient, faceplate_runner: UserRunner, faceplate_faults: Faults
    ) -> None: ...

docs/testing.md lists the fixtures.
"""

from faceplate.testing._clock import Clock
from faceplate.testing._faults import Faults
from faceplate.testing._server import Server

__all__ = ["Clock", "Faults", "Server"]
