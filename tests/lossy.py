"""A database whose connection a test loses when it likes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from pydantic import SecretStr

from faceplate import Database, Settings
from faceplate.testing import Faults
from faceplate.testing._faults import POINTS
from faceplate.testing._proxy import Fault, Proxy

LOSSES = ("statement", "commit", "answer")


class Lossy(NamedTuple):
    db: Database
    faults: Faults

    def lose(self, what: str) -> None:
        """Lose the connection before the next statement or COMMIT, or the answer to a COMMIT."""
        if what == "answer":
            self.faults._plan(Fault(POINTS["commit"], is_lost_after=True))
        elif what == "statement":
            self.faults.lose_connection("statement")
        else:
            self.faults.lose_connection("commit")


@asynccontextmanager
async def lossy_database(settings: Settings) -> AsyncIterator[Lossy]:
    """Open a `Database` through a proxy that loses connections."""
    assert isinstance(settings.database_url, SecretStr)
    proxy = Proxy(settings.database_url.get_secret_value())
    async with proxy.listening() as url:
        through = settings.model_copy(update={"database_url": SecretStr(url)})
        async with Database(through) as db:
            yield Lossy(db, Faults(proxy))
