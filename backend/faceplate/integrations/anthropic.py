"""A conversation as a request of Anthropic's Messages API, and back.

The extra ``anthropic`` brings the official client. Converting needs no client: the messages are
plain dictionaries.

::

    history = await db.run(user_id, messages.history, chat_id, limit=100)
    reply = await client.messages.create(
        model=MODEL, max_tokens=4096, **to_anthropic(history)
    )
    await db.run(user_id, messages.append_many, chat_id, from_anthropic(reply))
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.integrations._speech import (
    BROKEN_OFF,
    Call,
    Result,
    Speech,
    listed,
    member,
    plain,
    refuse_part,
    results_of,
    speeches,
    text_in,
)
from faceplate.records import Message, parse_body
from faceplate.services.messages import NewMessage

if TYPE_CHECKING:
    from anthropic import types

__all__ = ["AnthropicRequest", "from_anthropic", "to_anthropic"]

BLOCKS = "anthropic"
"""The key of a body that holds the blocks of a message as the model wrote them."""
KEPT = f'{{"{BLOCKS}": ['
"""How such a body begins."""


class AnthropicRequest(TypedDict):
    """What a conversation is in a request: ``client.messages.create(..., **request)``."""

    messages: "list[types.MessageParam]"
    system: NotRequired[str]


def to_anthropic(history: Iterable[Message | NewMessage]) -> AnthropicRequest:
    """Return the part of a request that continues ``history``.

    ``system`` has the texts of all system and developer messages, wherever they stand; it is
    absent without any. The messages alternate between user and assistant and begin with the user:
    what comes before the first message of the user is left out, and neighbours of one role become
    one message. Results are at the beginning of the message after their calls. Thinking that
    `from_anthropic` has kept is sent back as it was.

    Ids and names of calls that the API would refuse, or an id that is used twice, are replaced
    alike in call and result. Arguments that are no JSON object become ``{"input": ...}``.

    Left out are messages without a role, without text and calls, and drafts that are still being
    written; and results whose calls come before ``history``. A call without a result that is
    followed by other messages gets one that says so.

    Raises InvalidInput where the last calls have no results yet, and where no message of the user
    is left.
    """
    said = speeches(history)
    system = [speech.text for speech in said if speech.role in {"system", "developer"}]
    turns = [speech for speech in said if speech.role in {"user", "assistant"}]
    first = next((at for at, speech in enumerate(turns) if speech.role == "user"), None)
    if first is None:
        raise InvalidInput(
            "messages", "a message of the user was expected: read more of the conversation"
        )
    merged: list[dict[str, Any]] = []
    for speech in turns[first:]:
        _say(merged, speech.role, _blocks(speech))
        _say(merged, "user", [_result(call.id, result) for call, result in results_of(speech)])
    _trim_end(merged)
    request: AnthropicRequest = {"messages": cast("list[types.MessageParam]", merged)}
    if system:
        request["system"] = "\n\n".join(system)
    return request


def from_anthropic(
    given: "types.Message | AnthropicRequest | Iterable[types.MessageParam | types.Message]",
) -> list[NewMessage]:
    """Return a response, or the messages of a request, ready for `messages.append_many`.

    A response is one message with its model and tokens; those read from the cache or written to it
    count as input. The final message of a stream is a response as well. Results become a message of
    the role tool, before the text of their message. A message with thinking, or with the work of
    the provider's own tools, keeps all its blocks in its body, for `to_anthropic`.

    Raises InvalidInput for what cannot be stored, such as an image, and for a response without
    ``stop_reason``, whose stream has broken off.
    """
    return [new for message in _messages_of(given) for new in _of_message(message)]


def _say(merged: list[dict[str, Any]], role: str, blocks: list[JsonObject]) -> None:
    """Add blocks to the last message if it has the role, else a message with them."""
    if merged and merged[-1]["role"] == role:
        merged[-1]["content"] += blocks
    elif blocks:
        merged.append({"role": role, "content": blocks})


def _blocks(speech: Speech) -> list[JsonObject]:
    kept = _kept_blocks(speech.body)
    if kept is not None:
        calls = {call.stored["id"]: call for call in speech.calls}
        return [
            _tool_use(calls[block["id"]], block) if block.get("id") in calls else block
            for block in kept
            if block.get("type") != "text" or block["text"].strip()
        ]
    text: list[JsonObject] = [{"type": "text", "text": speech.text}] if speech.text.strip() else []
    return text + [_tool_use(call, {}) for call in speech.calls]


def _kept_blocks(body: str | None) -> list[JsonObject] | None:
    if body is None or not body.startswith(KEPT):
        return None
    blocks: list[JsonObject] = parse_body(body)[BLOCKS]
    return blocks


def _tool_use(call: Call, kept: JsonObject) -> JsonObject:
    return {**kept, "type": "tool_use", "id": call.id, "name": call.name, "input": _input(call)}


def _input(call: Call) -> JsonObject:
    try:
        found = json.loads(call.text or "{}")
    except ValueError:
        found = call.text
    return found if isinstance(found, dict) else {"input": found}


def _result(call_id: str, result: Result) -> JsonObject:
    block: JsonObject = {"type": "tool_result", "tool_use_id": call_id}
    if result.text.strip():
        block["content"] = result.text
    return block | {"is_error": True} if result.is_error else block


def _trim_end(merged: list[dict[str, Any]]) -> None:
    """The API refuses a last text of the assistant that ends with white space."""
    last = merged[-1]["content"][-1]
    if merged[-1]["role"] == "assistant" and last["type"] == "text":
        merged[-1]["content"][-1] = last | {"text": last["text"].rstrip()}


def _messages_of(given: Any) -> Iterable[Any]:
    if isinstance(given, Mapping) and "messages" in given:
        system = given.get("system")
        return [*([{"role": "system", "content": system}] if system else ()), *given["messages"]]
    if isinstance(given, Mapping) or hasattr(given, "role"):
        return [given]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidInput("messages", "a response, a request or a list of messages was expected")
    return given


def _of_message(given: Any) -> list[NewMessage]:
    message = plain(given)
    role = message.get("role")
    content = message.get("content", "")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else listed(content)
    if message.get("type") == "message" and "stop_reason" not in message:
        raise InvalidInput("stop_reason", BROKEN_OFF)
    if role == "assistant":
        return [_of_assistant(message, blocks)]
    if role not in {"user", "system"}:
        raise InvalidInput("messages.role", "must be one of user, assistant, system")
    results = [_of_result(block) for block in blocks if block.get("type") == "tool_result"]
    text = _text([block for block in blocks if block.get("type") != "tool_result"])
    read = [NewMessage("tool", tool_results=results)] if results else []
    return [*read, NewMessage(role, text)] if text or not results else read


def _of_assistant(message: dict[str, Any], blocks: list[JsonObject]) -> NewMessage:
    kinds = {block.get("type") for block in blocks}
    calls: list[JsonObject] = [
        {
            "id": member(block, "id"),
            "type": "function",
            "function": {
                "name": member(block, "name"),
                "arguments": json.dumps(member(block, "input"), ensure_ascii=False),
            },
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    usage = message.get("usage") or {}
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return NewMessage(
        "assistant",
        "".join(text_in(block) for block in blocks if block.get("type") == "text"),
        tool_calls=calls or None,
        body=None if kinds <= {"text", "tool_use"} else _body(blocks),
        model=message.get("model"),
        input_tokens=sum(usage.get(name) or 0 for name in read) if usage else None,
        output_tokens=usage.get("output_tokens"),
    )


def _body(blocks: list[JsonObject]) -> str:
    return json.dumps({BLOCKS: blocks}, ensure_ascii=False)


def _of_result(block: JsonObject) -> JsonObject:
    result = {"tool_call_id": block.get("tool_use_id"), "content": _text(block.get("content", ""))}
    return result | {"is_error": True} if block.get("is_error") else result


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for block in listed(content):
        if block.get("type") != "text":
            raise refuse_part(block.get("type"))
        texts.append(text_in(block))
    return "\n".join(texts)
