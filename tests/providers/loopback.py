"""A provider on loopback that speaks the protocols of OpenAI and Anthropic.

It refuses what the real ones refuse, by `tests.providers.rules`, and says what it was told to say.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Literal, NamedTuple

from tests.providers.rules import check_anthropic, check_openai

Json = dict[str, Any]
Calls = tuple[tuple[str, str, Json], ...]
"""The id, the name and the arguments of each."""


class Answer(NamedTuple):
    """What is answered to one request."""

    text: str = ""
    calls: Calls = ()
    status: int = 200
    in_the_middle: Literal["goes on", "is lost", "ends", "hangs", "is garbled", "errs"] = "goes on"
    """What becomes of the connection after half of the text."""


class Provider:
    """What was asked, and what will be answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Answer] = []
        self.requests: list[Json] = []
        self.keys: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as it may
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(": ") for line in head.splitlines()[1:]]
        headers = {name.lower(): value for name, _, value in lines}
        request = json.loads(await reader.readexactly(int(headers["content-length"])))
        is_openai = "/chat/completions" in head.splitlines()[0]
        self.requests.append(request)
        self.keys.append(headers.get("x-api-key") or headers["authorization"].split()[1])
        answer = self.answers.pop(0)
        if answer.status != 200:
            error = {"type": "error", "error": {"type": "refused", "message": "no: sk-secret-1"}}
            _send(writer, answer.status, "application/json", json.dumps(error))
            return
        if is_openai:
            check_openai(request["messages"])
        else:
            check_anthropic({key: request[key] for key in ("messages", "system") if key in request})
        if not request.get("stream"):
            whole = _completion(answer) if is_openai else _message(answer)
            _send(writer, 200, "application/json", json.dumps(whole))
            return
        _send(writer, 200, "text/event-stream", None)
        for event in _chunks(answer) if is_openai else _events(answer):
            is_middle = event.pop("is_middle", False)
            _send_event(writer, None if is_openai else event["type"], json.dumps(event))
            await writer.drain()
            if is_middle and answer.in_the_middle != "goes on":
                await _stumble(answer.in_the_middle, reader, writer)
                return
        if is_openai:
            _send_event(writer, None, "[DONE]")
        _send_chunk(writer, "")


async def _stumble(how: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a stream in its middle."""
    if how == "hangs":
        await reader.read()  # until the client gives up
    elif how == "is garbled":
        _send_event(writer, "content_block_delta", "<html>")
    elif how == "errs":
        error = {"type": "overloaded_error", "message": "no: sk-secret-1"}
        _send_event(writer, "error", json.dumps({"type": "error", "error": error}))
    if how != "is lost":
        _send_chunk(writer, "")


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """Serve on a free port of loopback until the end of the block."""
    found = Provider("")
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield found


def _send(writer: asyncio.StreamWriter, status: int, media_type: str, body: str | None) -> None:
    length = "Transfer-Encoding: chunked\r\n"
    if body is not None:
        length = f"Content-Length: {len(body.encode())}\r\n"
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {media_type}\r\nConnection: close\r\n"
    # The clients would try again, and wait in between.
    writer.write(f"{head}{length}x-should-retry: false\r\n\r\n{body or ''}".encode())


def _send_event(writer: asyncio.StreamWriter, name: str | None, data: str) -> None:
    _send_chunk(writer, f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n")


def _send_chunk(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _called(call: tuple[str, str, Json]) -> Json:
    id_, name, arguments = call
    return {
        "id": id_,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def _completion(answer: Answer) -> Json:
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [_called(call) for call in answer.calls]
    reason = "tool_calls" if answer.calls else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-loopback",
        "choices": [{"index": 0, "finish_reason": reason, "message": message}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16},
    }


def _chunks(answer: Answer) -> Iterator[Json]:
    whole = _completion(answer)
    shared = {key: whole[key] for key in ("id", "created", "model")}
    shared["object"] = "chat.completion.chunk"

    def chunk(delta: Json, reason: str | None = None) -> Json:
        return shared | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    first, second = _halves(answer.text)
    if answer.text:
        yield chunk({"content": first}) | {"is_middle": True}
        yield chunk({"content": second})
    for index, call in enumerate(map(_called, answer.calls)):
        arguments = _halves(call["function"]["arguments"])
        begun = call | {"index": index, "function": call["function"] | {"arguments": ""}}
        yield chunk({"tool_calls": [begun]})
        for part in arguments:
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, whole["choices"][0]["finish_reason"])
    yield shared | {"choices": [], "usage": whole["usage"]}


def _message(answer: Answer) -> Json:
    content: list[Json] = [{"type": "text", "text": answer.text}] if answer.text else []
    content += [
        {"type": "tool_use", "id": id_, "name": name, "input": arguments}
        for id_, name, arguments in answer.calls
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-loopback",
        "content": content,
        "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 5},
    }


def _events(answer: Answer) -> Iterator[Json]:
    whole = _message(answer)
    begun = whole | {"content": [], "stop_reason": None}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(whole["content"]):
        is_text = block["type"] == "text"
        empty: Json = {**block, "text": ""} if is_text else {**block, "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        said = block["text"] if is_text else json.dumps(block["input"])
        for number, part in enumerate(_halves(said)):
            delta = {"type": "text_delta", "text": part}
            if not is_text:
                delta = {"type": "input_json_delta", "partial_json": part}
            event: Json = {"type": "content_block_delta", "index": index, "delta": delta}
            yield event | ({"is_middle": True} if is_text and number == 0 else {})
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 5}}
    yield {"type": "message_stop"}
