"""A conversation as messages of OpenAI's Chat Completions, and back.

The extra ``openai`` brings the official client. Converting needs no client: the messages are plain
dictionaries, which every OpenAI-compatible server takes.

::

    history = await db.run(user_id, messages.history, chat_id, limit=100)
    completion = await client.chat.completions.create(model=MODEL, messages=to_openai(history))
    await db.run(user_id, messages.append_many, chat_id, from_openai(completion))
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from uuid6 import uuid7

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput
from faceplate.integrations._speech import (
    BROKEN_OFF,
    CONTENT,
    Call,
    Result,
    listed,
    plain,
    refuse_part,
    results_of,
    speeches,
    text_in,
)
from faceplate.models import ROLES
from faceplate.records import Message
from faceplate.services.messages import NewMessage

if TYPE_CHECKING:
    from openai.types.chat import (
        ChatCompletion,
        ChatCompletionMessage,
        ChatCompletionMessageParam,
    )

__all__ = ["from_openai", "to_openai"]


def to_openai(history: Iterable[Message | NewMessage]) -> "list[ChatCompletionMessageParam]":
    """Return the messages of a request that continues ``history``.

    Each result follows its call, in a message of its own, wherever it was stored. The text of a
    result that is an error (``is_error``) begins with ``Error:``, as the protocol has no other
    sign. Ids and names of calls that some server would refuse, or an id that is used twice, are
    replaced alike in call and result.

    Left out are messages without a role, without text and calls, and drafts that are still being
    written; and results whose calls come before ``history``. A call without a result that is
    followed by other messages gets one that says so.

    Raises InvalidInput where the last calls have no results yet.
    """
    said: list[dict[str, Any]] = []
    for speech in speeches(history):
        calls = [_call(call) for call in speech.calls]
        if not calls:
            said.append({"role": speech.role, "content": speech.text})
        elif not speech.text and said and _is_text_of_assistant(said[-1]):
            said[-1]["tool_calls"] = calls  # one turn of the model, stored in two messages
        else:
            said.append({"role": "assistant", "content": speech.text or None, "tool_calls": calls})
        said += [
            {"role": "tool", "tool_call_id": call.id, "content": _result(result)}
            for call, result in results_of(speech)
        ]
    return cast("list[ChatCompletionMessageParam]", said)


def from_openai(
    given: "ChatCompletion | ChatCompletionMessage"
    " | Iterable[ChatCompletionMessageParam | ChatCompletionMessage]",
) -> list[NewMessage]:
    """Return a response, or the messages of a request, ready for `messages.append_many`.

    A completion is one message with its model and tokens; the final completion of a stream is one
    as well. Tool messages that follow each other become one message with several results. A call
    without an id gets one. A refusal is the text of its message. What has no column, such as
    ``name``, goes into the metadata.

    Raises InvalidInput for what cannot be stored: several choices, parts that are not text, audio,
    the deprecated ``function_call``; and for a completion without ``finish_reason``, whose stream
    has broken off.
    """
    if _has(given, "choices"):
        return [_of_completion(plain(given))]
    read: list[NewMessage] = []
    for message in _messages_of(given):
        new = _of_message(message)
        if new.tool_results and read and read[-1].tool_results:
            read[-1] = read[-1]._replace(tool_results=read[-1].tool_results + new.tool_results)
        else:
            read.append(new)
    return read


def _call(call: Call) -> JsonObject:
    kind = call.stored.get("type", "function")
    # Some servers add fields of their own, which they want back.
    return {
        **call.stored,
        "id": call.id,
        "type": kind,
        kind: {**call.stored[kind], "name": call.name},
    }


def _result(result: Result) -> str:
    return f"Error: {result.text}" if result.is_error else result.text


def _is_text_of_assistant(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and "tool_calls" not in message


def _of_completion(completion: dict[str, Any]) -> NewMessage:
    choices = completion["choices"]
    if len(choices) != 1:
        raise InvalidInput("choices", f"one choice was expected, not {len(choices)}")
    if choices[0].get("finish_reason") is None:
        raise InvalidInput("finish_reason", BROKEN_OFF)
    usage = completion.get("usage") or {}
    return _of_message(choices[0].get("message"))._replace(
        model=completion.get("model"),
        input_tokens=usage.get("prompt_tokens"),
        output_tokens=usage.get("completion_tokens"),
    )


def _of_message(given: Any) -> NewMessage:
    message = plain(given)
    message.pop("parsed", None)  # by the client, from the text
    role = message.pop("role", None)
    if role not in ROLES:
        raise InvalidInput("messages.role", f"must be one of {', '.join(ROLES)}")
    for unsaid in ("function_call", "audio"):
        if unsaid in message:
            raise InvalidInput("messages", f"{unsaid} has no column")
    content = _text(message.pop("content", "")) or message.pop("refusal", "")
    if role == "tool":
        result = {"tool_call_id": message.pop("tool_call_id", None), "content": content}
        return NewMessage("tool", tool_results=[result], metadata=message)
    calls = [_stored(plain(call)) for call in message.pop("tool_calls", ())]
    metadata = {key: value for key, value in message.items() if value not in ([], {}, "")}
    return NewMessage(role, content, tool_calls=calls or None, metadata=metadata)


def _stored(call: JsonObject) -> JsonObject:
    """Leave out what the client's stream adds to a call, which no server takes back.

    Some servers leave the id empty.
    """
    call.pop("index", None)
    call["id"] = call.get("id") or f"call_{uuid7().hex}"
    if isinstance(function := call.get("function"), dict):
        call["function"] = {key: function[key] for key in function if key != "parsed_arguments"}
    return call


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = []
    for part in listed(content):
        kind = part.get("type")
        if kind not in {"text", "refusal"}:
            raise refuse_part(kind)
        texts.append(text_in(part, kind))
    return "\n".join(texts)


def _messages_of(given: Any) -> Iterable[Any]:
    if _has(given, "role"):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, str | Mapping):
        raise InvalidInput(CONTENT, "a completion, a message or a list of messages was expected")
    return given


def _has(given: Any, name: str) -> bool:
    return name in given if isinstance(given, Mapping) else hasattr(given, name)
