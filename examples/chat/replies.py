"""A reply, streamed to the client as server-sent events.

However a stream ends:

- A message that was shown is stored: each is sent after its transaction was committed.
- A text that was shown is stored: `faceplate.drafts.Draft.keep` hands on what it has saved, so
  even after a SIGKILL the stored reply has at least what the reader has seen. This is why the
  text appears every ``save_every_s`` and not token by token as the model gives it.
- A reader who goes away ends the reply: the model is stopped, and the message is interrupted, with
  all that the model had said, which may be a little more than was shown. So does a server that is
  stopped, after the time it gives its streams to finish.
- A model that fails leaves the message as failed, with the text so far, and in its metadata why.
- A process that is killed leaves the message as streaming; the sweep of `examples.chat.app` ends
  it as interrupted.
- Of two replies to the same message at once, one is given; the other one ends with a conflict.
  A reply that is asked for once more begins a branch beside the earlier one, which stays.

While the model writes, no transaction is open and no connection is held.
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, Self

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Send

from examples.chat.model import TOOLS, Model, ModelFailed, Piece, ToolCall, Usage
from examples.chat.schemas import MessageOut
from examples.chat.turns import Turn
from faceplate import FaceplateError, InvalidInput, Message
from faceplate.column_types import JsonObject
from faceplate.drafts import Draft
from faceplate.integrations.fastapi import UserRunner
from faceplate.integrations.web import problem, problem_of
from faceplate.services import messages

logger = logging.getLogger("examples.chat")

MAX_ROUNDS = 5


class Event(NamedTuple):
    """Of a reply, ``name`` is message, draft, delta, done or error."""

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
    except ModelFailed as failure:
        logger.warning("a reply failed: %s", failure)
        yield Event("error", problem(HTTPStatus.BAD_GATEWAY, "model_failed", str(failure)).body)
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
    conversation_id = turn.question.conversation_id
    # A message without a role is another program's alone.
    history = [message for message in turn.history if message.role]
    branch = turn.branches
    for _ in range(MAX_ROUNDS):
        said = _Said()
        async with aclosing(model(history)) as pieces:
            first = await _first(pieces)
            if isinstance(first, ToolCall):
                if [text async for text in _texts(first, pieces, said)]:
                    raise TypeError("a model says its text before it calls tools")
            else:
                draft = chat.draft(
                    conversation_id,
                    model=_name_of(model),
                    after=history[-1].position,
                    branch=branch,
                    save_every_s=save_every_s,
                )
                async with _kept_words(chat, draft), draft:
                    yield _stored("draft", draft.message)
                    async for text in draft.keep(_texts(first, pieces, said)):
                        yield Event("delta", {"text": text})
                    if said.usage:
                        draft.input_tokens, draft.output_tokens = said.usage
                branch = False
                if not said.calls:
                    yield _stored("done", draft.message)
                    return
                history.append(draft.message)
                yield _stored("message", draft.message)
                said.usage = None
        calling = _use_tools(chat, history[-1], said, model=_name_of(model), branch=branch)
        async for message in calling:
            history.append(message)
            yield _stored("message", message)
        branch = False
    raise ModelFailed(f"The model wants tools more than {MAX_ROUNDS} times.")


@dataclass
class _Said:
    """What a model said beside its text."""

    calls: list[ToolCall] = field(default_factory=list)
    usage: Usage | None = None


async def _first(pieces: AsyncGenerator[Piece, None]) -> Piece | ModelFailed:
    try:
        return await anext(pieces, "")
    except ModelFailed as failure:
        return failure  # the reply that failed is kept, so it has to be begun


async def _texts(
    first: Piece | ModelFailed, pieces: AsyncGenerator[Piece, None], said: _Said
) -> AsyncGenerator[str, None]:
    """Yield the text of a model, and note in ``said`` what else it says."""
    if isinstance(first, ModelFailed):
        raise first
    piece: Piece | None = first
    while piece is not None:
        if isinstance(piece, str):
            if said.calls:
                raise TypeError("a model says its text before it calls tools")
            yield piece
        elif isinstance(piece, ToolCall):
            said.calls.append(piece)
        else:
            said.usage = piece
        piece = await anext(pieces, None)


@asynccontextmanager
async def _kept_words(chat: UserRunner, draft: Draft) -> AsyncIterator[None]:
    """Keep the words of a failure with the reply that failed, after its text was saved."""
    try:
        yield
    except ModelFailed as failure:
        message = draft.message
        await chat.run(
            messages.replace,
            message.conversation_id,
            message.id,
            role=message.role,
            content=message.content,
            metadata={"failure": str(failure)},
        )
        raise


def _name_of(model: Model) -> str | None:
    """The name that is stored with what a model says; the echo has none."""
    return getattr(model, "name", None)


async def _use_tools(
    chat: UserRunner, last: Message, said: _Said, *, model: str | None, branch: bool
) -> AsyncGenerator[Message, None]:
    """Store the calls, run their tools, store the results; yield both messages."""
    tool_calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for call in said.calls
    ]
    input_tokens, output_tokens = said.usage or (None, None)
    called = await chat.run(
        messages.append,
        last.conversation_id,
        role="assistant",
        tool_calls=tool_calls,
        model=model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        after=last.position,
        branch=branch,
    )
    yield called
    results = [{"tool_call_id": call.id, **await _use_tool(chat, call)} for call in said.calls]
    yield await chat.run(
        messages.append,
        called.conversation_id,
        role="tool",
        tool_results=results,
        after=called.position,
    )


async def _use_tool(chat: UserRunner, call: ToolCall) -> JsonObject:
    """Return what a tool says, or what was wrong with the call, so that the model can mend it."""
    tool = TOOLS.get(call.name)
    if tool is None:
        return {"content": f"there is no tool {call.name}", "is_error": True}
    try:
        return {"content": await tool(chat, call.arguments)}
    except KeyError as missing:
        return {"content": f"the argument {missing} is missing", "is_error": True}
    except InvalidInput as error:
        return {"content": error.message, "is_error": True}


def _stored(name: str, message: Message) -> Event:
    return Event(name, MessageOut.model_validate(message).model_dump(mode="json"))


async def _encode(events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            yield format_sse_event(event=event.name, data_str=json.dumps(event.data))
