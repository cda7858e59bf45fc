"""A reply, streamed to the client as server-sent events.

However a stream ends:

- A message that was shown is stored: each is sent after its transaction was committed.
- A text that was shown is stored: `faceplate.drafts.Draft.keep` hands on what it has saved, so
  even after a SIGKILL the stored reply has at least what the reader has seen. This is why the
  text appears every ``save_every_s`` and not token by token as the model gives it.
- A reader who goes away ends the reply: the model is stopped, and the message is interrupted, with
  all that the model had said, which may be a little more than was shown. So does a server that is
  stopped, after the time it gives its streams to finish.
- A process that is killed leaves the message as streaming; the sweep of `examples.chat.app` ends
  it as interrupted.
- Of two replies to the same message at once, one is given; the other one ends with a conflict.
  A reply that is asked for once more begins a branch beside the earlier one, which stays.

While the model writes, no transaction is open and no connection is held.
"""

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, Self

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Send

from examples.chat.model import TOOLS, Model, ToolCall
from examples.chat.schemas import MessageOut
from examples.chat.turns import Turn, append_next
from faceplate import FaceplateError, Message
from faceplate.integrations.fastapi import UserRunner
from faceplate.integrations.web import problem_of
from faceplate.services import messages

logger = logging.getLogger("examples.chat")

MAX_HISTORY = 100
MAX_ROUNDS = 5


class Event(NamedTuple):
    """``name`` is message, draft, delta, done or error."""

    name: str
    data: Any


class EventStream(StreamingResponse):
    """Sends events, and closes their generator however the connection ends."""

    media_type = "text/event-stream"

    @classmethod
    def of(cls, events: AsyncGenerator[Event, None]) -> Self:
        # Proxies and browsers shall neither keep a stream nor hold it back.
        return cls(
            _encode(events), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


async def answer(
    chat: UserRunner, model: Model, turn: Turn, *, save_every_s: float
) -> AsyncGenerator[Event, None]:
    """Yield the question and all that is answered to it, as it is stored."""
    try:
        async with aclosing(_answer(chat, model, turn, save_every_s)) as events:
            async for event in events:
                yield event
    except Exception as error:
        if not isinstance(error, FaceplateError):
            logger.exception("a reply failed in the model or a tool")
        yield Event("error", problem_of(error).body)


async def _answer(
    chat: UserRunner, model: Model, turn: Turn, save_every_s: float
) -> AsyncGenerator[Event, None]:
    yield _stored("message", turn.question)
    if turn.answers:
        *earlier, last = turn.answers
        for message in earlier:
            yield _stored("message", message)
        # Another request writes a draft: how it ends is in the conversation's messages.
        yield _stored("draft" if last.status == "streaming" else "done", last)
        return
    # Up to the question and no further: what another request has answered meanwhile is a conflict.
    conversation_id, position = turn.question.conversation_id, turn.question.position
    found = await chat.run(messages.before, conversation_id, position, limit=MAX_HISTORY)
    # A message without a role is another program's alone.
    history = [*(message for message in found if message.role), turn.question]
    branch = turn.branches
    for _ in range(MAX_ROUNDS):
        async with aclosing(model(history)) as pieces:
            first = await anext(pieces, "")
            if isinstance(first, str):
                async with chat.draft(
                    conversation_id,
                    after=history[-1].position,
                    branch=branch,
                    save_every_s=save_every_s,
                ) as draft:
                    yield _stored("draft", draft.message)
                    async for text in draft.keep(_texts(first, pieces)):
                        yield Event("delta", {"text": text})
                yield _stored("done", draft.message)
                return
            calls = [call async for call in _calls(first, pieces)]
        async for message in _use_tools(chat, history[-1], calls, branch=branch):
            history.append(message)
            yield _stored("message", message)
        branch = False
    raise RuntimeError(f"the model wants tools more than {MAX_ROUNDS} times")


async def _use_tools(
    chat: UserRunner, last: Message, calls: Sequence[ToolCall], *, branch: bool
) -> AsyncGenerator[Message, None]:
    """Store the calls, run their tools, store the results; yield both messages."""
    tool_calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for call in calls
    ]
    called = await chat.run(
        append_next, last, role="assistant", tool_calls=tool_calls, branch=branch
    )
    yield called
    results = [{"tool_call_id": call.id, "content": await _use_tool(chat, call)} for call in calls]
    yield await chat.run(append_next, called, role="tool", tool_results=results)


async def _use_tool(chat: UserRunner, call: ToolCall) -> str:
    tool = TOOLS.get(call.name)
    if tool is None:
        return f"there is no tool {call.name}"
    return await tool(chat, call.arguments)


async def _calls(
    first: ToolCall, pieces: AsyncGenerator[str | ToolCall, None]
) -> AsyncGenerator[ToolCall, None]:
    yield first
    async for piece in pieces:
        if isinstance(piece, str):
            raise TypeError("a model that calls tools says nothing else")
        yield piece


async def _texts(
    first: str, pieces: AsyncGenerator[str | ToolCall, None]
) -> AsyncGenerator[str, None]:
    yield first
    async for piece in pieces:
        if isinstance(piece, ToolCall):
            raise TypeError("a model that has begun to speak calls no tools")
        yield piece


def _stored(name: str, message: Message) -> Event:
    return Event(name, MessageOut.model_validate(message).model_dump(mode="json"))


async def _encode(events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            yield format_sse_event(event=event.name, data_str=json.dumps(event.data))
