"""Google's ADK: its `DatabaseSessionService`, and the service over faceplate."""

import asyncio
from collections.abc import Sequence

from google.adk.sessions.base_session_service import GetSessionConfig

from benchmarks.data import Data, Place
from benchmarks.peers.google_adk import GoogleAdk, event_of, key_of
from benchmarks.sdks.base import SdkSide, make_users
from benchmarks.sides.base import Turn
from faceplate import Database, Settings
from faceplate.integrations.google_adk import FaceplateSessionService

CONNECTIONS = 20
"""With which the data is loaded, a conversation on each."""


class OwnStore(GoogleAdk, SdkSide):
    lists = False
    imports = False

    async def add(self, place: Place, turn: Turn) -> None:
        await self.append(place, turn.question)
        await self.service.append_event(self._kept[place], event_of("assistant", turn.answer))

    async def everything(self, place: Place) -> Sequence[object]:
        session = await self.service.get_session(
            **key_of(place), session_id=str(place.conversation_id), config=GetSessionConfig()
        )
        assert session is not None
        return list(session.events)


class OverFaceplate(OwnStore):
    name = "faceplate"
    package = "faceplate"
    note = (
        "`FaceplateSessionService` over `Database`, with every safeguard at its default; used as"
        " the other one."
    )
    db: Database

    async def load(self, url: str, data: Data) -> None:
        await make_users(url, data)
        await self.open(url, CONNECTIONS)
        waiting = list(data.conversations())

        async def load_some() -> None:
            while waiting:
                place, count = waiting.pop()
                await self.bring(place, list(data.lines(place, count)))

        await asyncio.gather(*(load_some() for _ in range(CONNECTIONS)))
        await self.close()

    async def open(self, url: str, connections: int) -> None:
        self.db = Database(Settings(database_url=url, pool_size=connections, max_overflow=0))
        await self.db.__aenter__()
        self.service = FaceplateSessionService(self.db)
        self._kept = {}

    async def close(self) -> None:
        await self.db.dispose()


SIDES = (OwnStore, OverFaceplate)
