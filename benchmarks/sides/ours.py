"""faceplate: its units with every safeguard at its default, and a unit of a user's own."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import func, select

from benchmarks.data import LAST, LISTED, TITLE, Data, Line, Place
from benchmarks.sides.base import Side, Turn
from faceplate import Database, Scope, Settings, importers
from faceplate.importers import chats
from faceplate.models import Conversation, Message
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage


class Faceplate(Side):
    """The units as they are shipped."""

    name = "faceplate"
    package = "faceplate"
    note = (
        "The units through `Database.run`, with every safeguard at its default: row-level"
        " security, the owner in each statement, time limits, pings, checked values, retries."
        " From 10 callers on, appends, questions and lists share flights."
        " A turn is `messages.ask` and an append, two statements."
    )
    settings: ClassVar[dict[str, Any]] = {}
    """The settings that a side changes, beside the pool's size."""
    db: Database

    async def load(self, url: str, data: Data) -> None:
        """Nothing: the tables are those of the limit."""

    async def open(self, url: str, connections: int) -> None:
        # As many connections as by default, all of which the pool may keep, as every side's does.
        self.db = Database(
            Settings(database_url=url, pool_size=connections, max_overflow=0, **self.settings)
        )
        await self.db.__aenter__()

    async def close(self) -> None:
        await self.db.dispose()

    async def append(self, place: Place, text: str) -> object:
        user_id, conversation_id = place
        return await self.db.run(
            user_id, messages.append, conversation_id, role="user", content=text
        )

    async def last(self, place: Place) -> Sequence[Any]:
        return await self.db.run(place.user_id, messages.history, place.conversation_id, limit=LAST)

    async def list(self, place: Place) -> Sequence[Any]:
        page = await self.db.run(place.user_id, conversations.page, limit=LISTED)
        return page.items

    async def turn(self, place: Place, turn: Turn) -> None:
        user_id, conversation_id = place
        await self.db.run(
            user_id, messages.ask, conversation_id, role="user", content=turn.question, limit=LAST
        )
        await self.append(place, turn.answer)

    async def bring(self, place: Place, lines: Sequence[Line]) -> None:
        new = [NewMessage(line.role, line.content) for line in lines]
        where, key = chats.Place("chat", 1), str(place.conversation_id)
        chat = chats.Chat(where, "benchmark", key, TITLE, new, {})
        await self.db.run(place.user_id, importers.import_chat, chat)

    def content(self, message: Any) -> str:
        return str(message.content)


class OwnUnit(Faceplate):
    """The ORM inside a unit, as a user of the package may write it."""

    name = "faceplate, ORM unit"
    note = (
        "A unit of a user's own over `scope.session`: the conversation is loaded and locked,"
        " counted up, the message added, and the runner flushes and commits. The same safeguards."
    )
    imports = False
    turn = Side.turn

    async def append(self, place: Place, text: str) -> object:
        return await self.db.run(place.user_id, _append, place.conversation_id, text)

    async def last(self, place: Place) -> Sequence[Any]:
        return await self.db.run(place.user_id, _last, place.conversation_id)

    async def list(self, place: Place) -> Sequence[Any]:
        return await self.db.run(place.user_id, _list)


async def _append(scope: Scope, conversation_id: UUID, text: str) -> Message:
    chat = await scope.session.get_one(
        Conversation, (scope.user_id, conversation_id), with_for_update=True
    )
    chat.message_count += 1
    chat.updated_at = func.clock_timestamp()
    message = Message(
        user_id=scope.user_id,
        conversation_id=conversation_id,
        position=chat.message_count,
        role="user",
        content=text,
    )
    scope.session.add(message)
    return message


async def _last(scope: Scope, conversation_id: UUID) -> list[Message]:
    found = await scope.session.scalars(
        select(Message)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.position.desc())
        .limit(LAST)
    )
    return list(found)[::-1]


async def _list(scope: Scope) -> list[Conversation]:
    found = await scope.session.scalars(
        select(Conversation)
        .order_by(Conversation.updated_at.desc(), Conversation.id.desc())
        .limit(LISTED)
    )
    return list(found)
