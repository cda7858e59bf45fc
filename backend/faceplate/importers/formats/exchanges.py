"""Requests to a model with their replies, as logs and batches keep them.

A log has ``{"request": {...}, "response": {...}}``, or the reply beside the messages. A batch has
``{"custom_id", "body"}`` in one file and ``{"custom_id", "response": {"body"}}`` in the other. A
line for preference tuning has two replies to one request. The replies become messages of the
request, and then the format of its messages reads it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.formats import anthropic, openai, responses
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.llm_logs import is_row
from faceplate.importers.source import SourceChat

_REQUESTS: Final = (
    *("request", "request_body", "requestBody", "body", "params", "input", "json"),
    "prompt_messages",
)
_REPLIES: Final = (
    *("response", "response_body", "responseBody", "result", "output", "completion"),
    "completion_message",
)
_INSIDE_REPLIES: Final = ("body", "message", "json", "response")
_SAID: Final = {"message", "text"}
_PREFERENCES: Final = ("preferred_output", "non_preferred_output")
_ALTERNATIVES: Final = (*_PREFERENCES, "responses", "candidates", "generations")
"""The keys of lists of replies, of which the first is the shown one."""
_HEADER: Final = ("model", "usage", "created", "created_at")
_LOG_TIMES: Final = ("startTime", "start_time", "request_time")
_MAX_LEVELS: Final = 3


class _Exchange(NamedTuple):
    """A request with its reply, and the fields of the request and around both."""

    has_request: bool
    reply: JsonObject | None
    fields: JsonObject


def fits(value: JsonObject) -> int:
    """Return 4 for a request with replies, 3 for one of them in the shape of a log or a batch."""
    if is_row(value):
        return 0
    exchange = _find(value)
    has_replies = exchange.reply is not None or any(_listed(value.get(k)) for k in _PREFERENCES)
    if exchange.has_request and (has_replies or _has_alternatives(value)):
        return 4
    return 3 if has_replies or (exchange.has_request and "custom_id" in value) else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value: the request, and the replies as what follows it."""
    exchange = _find(value)
    if not exchange.has_request and exchange.reply is None:
        raise Unreadable("neither a request nor a reply")
    reply, fields = exchange.reply or {}, dict(exchange.fields)
    if (begun := first_of(fields, "created_at", *_LOG_TIMES)) is not None:
        fields["created_at"] = begun
    if exchange.has_request and (given := fields.pop("custom_id", None)):
        fields["id"] = given
    if responses.fits({**fields, **reply}):
        yield from responses.read({**fields, **reply, **_pick(fields, ("id", "created_at"))})
        return
    replies = _take_replies(fields, reply)
    if about := without(reply, "choices", "content", "message", "role", "type", *_HEADER):
        fields["reply"] = about
    asked = _asked(fields)
    if asked and replies and _said(asked[-1]) == _said(replies[0]):
        replies[0] = {**asked.pop(), **replies[0]}
    fields["messages"] = _join(asked, replies)
    if len(replies) > 1:
        fields["current"] = str(len(asked) + 1)
    fields["id"] = first_text(fields.get("id"), reply.get("id"))
    format_ = anthropic if anthropic.fits(fields) else openai
    for chat in format_.read(fields):
        yield chat._replace(is_exact=False, is_tree=chat.is_tree or len(replies) > 1)


def _pick(fields: JsonObject, keys: Sequence[str]) -> JsonObject:
    return {key: fields[key] for key in keys if fields.get(key)}


def _find(value: JsonObject) -> _Exchange:
    """Return the request and the reply, each in a field or in the value itself."""
    has_messages = _has_messages(value)
    request, fields = (value, value) if has_messages else _take(value, _REQUESTS, _is_request)
    if isinstance(request, list):
        fields = {**fields, "messages": request}
    elif request is not None:
        fields = {**fields, **request}
    if _choices(fields):
        reply = _pick(fields, ("choices", *_HEADER))
        return _Exchange(request is not None, reply, without(fields, "choices"))
    reply, beside = _take(fields, _REPLIES, _is_reply)
    if isinstance(reply, dict):
        return _Exchange(request is not None, reply, beside)
    said = next((key for key in _REPLIES if first_text(fields.get(key)).strip()), None)
    if request is not None and said and _expects_reply(fields):
        message = {"role": "assistant", "content": fields[said]}
        return _Exchange(True, {"choices": [{"message": message}]}, without(fields, said))  # noqa: FBT003 - a field
    return _Exchange(request is not None, None, fields)


def _take(
    value: JsonObject, keys: Sequence[str], is_it: Callable[[Any], bool], level: int = 0
) -> tuple[Any, JsonObject]:
    """Return what is in one of the keys, or further inside, and all the other fields."""
    for key in keys:
        inner = _parsed(value.get(key))
        if is_it(inner):
            return inner, without(value, key)
        if isinstance(inner, dict) and level < _MAX_LEVELS:
            found, rest = _take(inner, (*keys, *_INSIDE_REPLIES), is_it, level + 1)
            if found is not None:
                others = without(value, key)
                return found, {**others, key: rest} if rest else others
    return None, value


def _parsed(value: Any) -> Any:
    """Return the object or list that a text is as JSON, or else the value."""
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _is_request(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(openai.is_message, value))
    if not isinstance(value, dict):
        return False
    is_for_responses = "input" in value and "model" in value and "object" not in value
    return _has_messages(value) or is_for_responses


def _has_messages(value: JsonObject) -> bool:
    has_reply = "choices" in value or "model" in value or _has_alternatives(value)
    has_prompt = isinstance(value.get("prompt"), str) and has_reply
    return isinstance(value.get("messages"), list) or has_prompt


def _is_reply(value: Any) -> bool:
    return isinstance(value, dict) and (bool(_messages_of(value)) or responses.has_output(value))


def _messages_of(reply: JsonObject) -> list[JsonObject]:
    """Return the messages of a reply, of which the first is the shown one."""
    if choices := _choices(reply):
        return [_read_choice(each) for each in choices]
    if reply.get("role") == "assistant" and "content" in reply:
        return [reply]
    message = as_object(reply.get("message"))
    if "role" in message and "done" in reply:  # of Ollama
        counts = (reply.get("prompt_eval_count"), reply.get("eval_count"))
        return [
            {"usage": dict(zip(("input_tokens", "output_tokens"), counts, strict=True)), **message}
        ]
    return []


def _choices(reply: JsonObject) -> list[JsonObject]:
    choices = as_list(reply.get("choices"))
    are_said = all(isinstance(each, dict) and not _SAID.isdisjoint(each) for each in choices)
    return choices if are_said else []


def _read_choice(choice: JsonObject) -> JsonObject:
    message = choice.get("message")
    said = message if isinstance(message, dict) else {"content": choice.get("text")}
    return {"role": "assistant", **without(choice, "message", "text", "index"), **said}


def _take_replies(fields: JsonObject, reply: JsonObject) -> list[JsonObject]:
    """Return the replies to a request, and remove from its fields what was a reply."""
    header = _pick(reply, _HEADER)
    replies = [{**header, **message} for message in _messages_of(reply)]
    for key in _ALTERNATIVES:
        if listed := _listed(fields.get(key)):
            del fields[key]
            replies += listed
    return replies


def _has_alternatives(value: JsonObject) -> bool:
    return any(_listed(value.get(key)) for key in _ALTERNATIVES)


def _listed(replies: object) -> list[JsonObject]:
    """Return the messages of a list of replies, each a text or a message; else none."""
    listed = [
        {"role": "assistant", "content": each} if isinstance(each, str) else each
        for each in as_list(replies)
    ]
    return listed if all(map(openai.is_message, listed)) else []


def _expects_reply(fields: JsonObject) -> bool:
    last = as_object((as_list(fields.get("messages")) or [None])[-1])
    return last.get("role") != "assistant"


def _asked(fields: JsonObject) -> list[Any]:
    """Return the messages of a request; a prompt is one."""
    if isinstance(prompt := fields.get("prompt"), str) and "messages" not in fields:
        del fields["prompt"]
        return [{"role": "user", "content": prompt}]
    return [*as_list(fields.get("messages"))]


def _join(asked: Sequence[Any], replies: Sequence[Any]) -> list[Any]:
    """Return all messages; several replies are branches, by their parents."""
    if len(replies) < 2:
        end = openai.read_id(as_object(asked[-1]).get("id")) if any(map(_parent, asked)) else ""
        link = {"parent": end} if end else {}
        return [*asked, *({**link, **without(reply, *openai.PARENTS)} for reply in replies)]
    messages: list[Any] = []
    for number, message in enumerate([*asked, *replies], start=1):
        follows = min(number - 1, len(asked))
        links = {"id": str(number), "parent": str(follows) if follows else None}
        messages.append({**without(as_object(message), *openai.PARENTS), **links})
    return messages


def _parent(message: Any) -> str:
    return openai.read_id(first_of(as_object(message), *openai.PARENTS))


def _said(message: Any) -> tuple[object, object]:
    return as_object(message).get("role"), as_object(message).get("content")


FORMAT: Final = Format(
    "exchanges",
    "requests to models with their replies",
    fits,
    read,
    known=openai.FORMAT.known,
)
