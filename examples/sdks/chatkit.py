"""A ChatKit server whose threads are kept by faceplate. The model is scripted: no key, no network.

Run it with `python -m examples.sdks.chatkit` after `faceplate server start` and
`faceplate migrate`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

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


class Assistant(ChatKitServer[str]):
    """Answers how often it was asked; yours asks a model."""

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: str
    ) -> AsyncIterator[ThreadStreamEvent]:
        """Read the last items of the thread and answer."""
        del input_user_message
        page = await self.store.load_thread_items(thread.id, None, 20, "desc", context)
        text = f"I have heard {sum(item.type == 'user_message' for item in page.data)} questions."
        yield ThreadItemDoneEvent(
            item=AssistantMessageItem(
                id=self.store.generate_item_id("message", thread, context),
                thread_id=thread.id,
                created_at=datetime.now(),  # noqa: DTZ005 - as ChatKit does
                content=[AssistantMessageContent(text=text)],
            )
        )


async def main() -> None:
    """Do what ChatKit's JavaScript does: open a thread, send another message, list the items."""
    async with Database() as db:
        server = Assistant(FaceplateStore(db, lambda subject: subject))
        said: dict[str, Any] = {"attachments": [], "inference_options": {}}
        thread: dict[str, str] = {}
        for text in ("Will it rain?", "And tomorrow?"):
            said["content"] = [{"type": "input_text", "text": text}]
            kind = "threads.add_user_message" if thread else "threads.create"
            request = {"type": kind, "params": {**thread, "input": said}}
            result = await server.process(json.dumps(request), "the-sub-of-the-token")
            if isinstance(result, StreamingResult):
                events = [json.loads(event.removeprefix(b"data: ")) async for event in result]
                thread = thread or {"thread_id": events[0]["thread"]["id"]}
                for item in (event["item"] for event in events if "item" in event):
                    said_in_it = item["content"][0]["text"]
                    print(f"{item['type']}: {said_in_it}")  # noqa: T201 - what an example shows


if __name__ == "__main__":
    asyncio.run(main())
