"""The OpenAI Agents SDK: its `SQLAlchemySession`, and the session over faceplate."""

from collections.abc import Sequence
from typing import Any

from benchmarks.data import Data, Place
from benchmarks.peers.openai_agents import OpenAiAgents
from benchmarks.sdks.base import SdkSide, make_users
from benchmarks.sides.base import Turn
from faceplate import Database, Settings
from faceplate.integrations.openai_agents import FaceplateSession


class OwnStore(OpenAiAgents, SdkSide):
    imports = False

    async def add(self, place: Place, turn: Turn) -> None:
        question: Any = {"role": "user", "content": turn.question}
        answer: Any = {"role": "assistant", "content": turn.answer}
        await self._session(place).add_items([question, answer])

    async def everything(self, place: Place) -> Sequence[object]:
        items: list[Any] = await self._session(place).get_items()
        return items


class OverFaceplate(OwnStore):
    name = "faceplate"
    package = "faceplate"
    note = "`FaceplateSession` over `Database`, with every safeguard at its default."
    db: Database

    async def load(self, url: str, data: Data) -> None:
        await make_users(url, data)
        await self.open(url, 1)
        for place, count in data.conversations():
            lines = data.lines(place, count)
            items: list[Any] = [{"role": line.role, "content": line.content} for line in lines]
            await self._session(place).add_items(items)
        await self.close()

    async def open(self, url: str, connections: int) -> None:
        # As many connections as by default, all of which the pool may keep, as the other side's.
        self.db = Database(Settings(database_url=url, pool_size=connections, max_overflow=0))
        await self.db.__aenter__()
        self._ours: dict[Place, FaceplateSession] = {}

    async def close(self) -> None:
        await self.db.dispose()

    def _session(self, place: Place) -> Any:
        session = self._ours.get(place)
        if session is None:
            session = self._ours[place] = FaceplateSession(
                self.db, place.user_id, str(place.conversation_id)
            )
        return session


SIDES = (OwnStore, OverFaceplate)
