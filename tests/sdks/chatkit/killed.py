"""A ChatKit server that takes turns until its process is killed."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import count
from uuid import UUID

from chatkit.server import ChatKitServer, StreamingResult
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    ThreadItemDoneEvent,
    ThreadMetadata,
    ThreadStreamEvent,
    UserMessageItem,
)

from faceplate import Database
from faceplate.integrations.chatkit import FaceplateStore

THREAD = "killed"


class Answering(ChatKitServer[UUID]):
    """Answers a question under the same number."""

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: UUID
    ) -> AsyncIterator[ThreadStreamEvent]:
        assert input_user_message is not None
        text = input_user_message.content[0].text.replace("question", "answer")
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(),  # noqa: DTZ005 - as ChatKit does
                content=[AssistantMessageContent(text=text)],
            )
        )


def turn(label: str, number: int) -> list[str]:
    """Return the names of what a turn stores, one after the other."""
    return [f"{label}: question {number}", f"{label}: answer {number}"]


def units(label: str) -> Iterator[list[str]]:
    return ([name] for number in count() for name in turn(label, number))


async def open_thread(store: FaceplateStore[UUID], user_id: UUID) -> None:
    await store.save_thread(ThreadMetadata(id=THREAD, created_at=datetime.now()), user_id)  # noqa: DTZ005 - as ChatKit does


async def take_turn(
    store: FaceplateStore[UUID],
    user_id: UUID,
    label: str,
    number: int,
    note: Callable[[str], None],
) -> None:
    """Ask the server, and call ``note`` with each name that it says is stored."""
    content = [{"type": "input_text", "text": turn(label, number)[0]}]
    asked = {"content": content, "attachments": [], "inference_options": {}}
    params = {"thread_id": THREAD, "input": asked}
    request = {"type": "threads.add_user_message", "params": params}
    result = await Answering(store).process(json.dumps(request), user_id)
    assert isinstance(result, StreamingResult)
    async for text in result:
        event = json.loads(text.removeprefix(b"data: "))
        assert event["type"] != "error"
        if event["type"] == "thread.item.done":
            note(event["item"]["content"][0]["text"])


async def write(db: Database, owner: str, label: str, acknowledge: Callable[[], None]) -> None:
    store: FaceplateStore[UUID] = FaceplateStore(db, lambda context: context)
    await open_thread(store, UUID(owner))
    for number in count():
        await take_turn(store, UUID(owner), label, number, lambda _: acknowledge())
