"""Contents of the Gemini API: ``{"contents": [{"role", "parts": [...]}]}``.

Programs keep the list, requests, or lines of requests and answers. Parts have no type: their key
says what they are, in camel case or with underscores.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers import contents
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Call, Message, Piece, Result, SourceChat, Unknown
from faceplate.importers.unread import find_text

_ROLES: Final = {"model": "assistant", "function": "tool"}
_SAID_BY: Final = {"user", "model", "function", "system", "tool"}
_SYSTEM: Final = ("systemInstruction", "system_instruction")
_USAGE: Final = ("usageMetadata", "usage_metadata")
_TIMES: Final = ("createTime", "create_time", "timestamp", "created_at")
_CODE: Final = ("executableCode", "executable_code")
_CODE_RESULT: Final = ("codeExecutionResult", "code_execution_result")
_OWN_KEYS: Final = frozenset(
    (
        *("text", "functionCall", "function_call", "functionResponse", "function_response"),
        *("inlineData", "inline_data", "fileData", "file_data", *_CODE, *_CODE_RESULT),
    )
)
_CHAT_FIELDS: Final = (
    *("contents", "messages", "request", "response", "candidates", "id", "key", "title", "model"),
    *("modelVersion", *_SYSTEM, *_USAGE, *_TIMES),
)


def fits(value: JsonObject) -> int:
    """Return 3 for contents whose parts have keys of Gemini in place of types, 2 for a bare list.

    ``messages`` are the contents of a bare list. 1 is a request of which not all is understood.
    """
    listed = [*_contents(value), *(each.get("content") for each in _candidates(value))]
    own = [is_content(each) and _has_own_key(each) for each in listed]
    if "messages" in value:
        return 2 if any(own) and all(map(is_content, listed)) else 0
    if any(own):
        return 3 if all(map(is_content, listed)) else 1
    return int("contents" in value and any(name in value for name in _SYSTEM))


def is_content(value: object) -> bool:
    """Return whether a value is a content: a list of parts that have no type."""
    fields = as_object(value)
    parts, role = fields.get("parts"), fields.get("role", "user")
    return (
        isinstance(parts, list)
        and isinstance(role, str)
        and role in _SAID_BY
        and "content" not in fields
        and all(isinstance(part, dict) and not {"type", "part_kind"} & {*part} for part in parts)
    )


def _has_own_key(content: object) -> bool:
    return any(_OWN_KEYS & {*as_object(part)} for part in as_list(as_object(content).get("parts")))


def joins(value: JsonObject) -> str | None:
    """Return "" for a content that is a value of its own."""
    return "" if "role" in value and is_content(value) and _has_own_key(value) else None


def _contents(value: JsonObject) -> list[Any]:
    listed = first_of(as_object(value.get("request")) or value, "contents", "messages")
    return [listed] if isinstance(listed, dict | str) else as_list(listed)


def _candidates(value: JsonObject) -> list[JsonObject]:
    listed = as_list((as_object(value.get("response")) or value).get("candidates"))
    return [each for each in listed if isinstance(each, dict)]


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value; several candidates for an answer are branches."""
    request = as_object(value.get("request")) or value
    response = as_object(value.get("response")) or value
    messages = [*_system(request), *map(read_content, _contents(value))]
    answers = [_answer(response, candidate) for candidate in _candidates(value)]
    if not messages and not answers:
        raise Unreadable("contents must be a list")
    has_branches = len(answers) > 1
    if has_branches:
        names = [f"message {number}" for number in range(len(messages) + 1)]
        messages = [
            each._replace(id=names[number], parent=names[number - 1])
            for number, each in enumerate(messages, start=1)
        ]
        answers = [
            each._replace(id=f"answer {number}", parent=names[-1])
            for number, each in enumerate(answers, start=1)
        ]
    model = first_text(response.get("modelVersion"), request.get("model"))
    rest = {**without(request, *_CHAT_FIELDS), **without(response, *_CHAT_FIELDS)}
    yield SourceChat(
        [each._replace(model=model_name(each.model or model)) for each in [*messages, *answers]],
        id=first_text(value.get("id"), value.get("key")) or (digest(value) if has_branches else ""),
        title=value.get("title"),
        created=first_of(value, *_TIMES) or first_of(response, *_TIMES),
        is_tree=has_branches,
        current="answer 1",
        rest={**without(value, *_CHAT_FIELDS), **rest},
    )


def model_name(value: object) -> object:
    """Return a model's name without the collection that the API writes before it."""
    return value.removeprefix("models/") if isinstance(value, str) else value


def _system(request: Mapping[str, Any]) -> Iterator[Message]:
    config = as_object(request.get("config"))
    for given in (first_of(dict(request), *_SYSTEM), first_of(config, *_SYSTEM)):
        pieces = read_instruction(given)
        if pieces:
            yield Message("system", pieces, original=given)


def read_instruction(given: object) -> list[Piece]:
    """Return the pieces of a system instruction: text, a content, or a list of parts."""
    if not given:
        return []
    fields = as_object(given)
    parts = fields.get("parts", given if not fields or "text" in fields else None)
    listed = parts if isinstance(parts, list) else [] if parts is None else [parts]
    rest = without(fields, "parts", "role", "text")
    return [
        *(piece for part in listed for piece in read_part(part)),
        *([Unknown(rest)] if any(find_text(rest)) else []),
    ]


def _answer(response: JsonObject, candidate: JsonObject) -> Message:
    usage = as_object(first_of(response, *_USAGE))
    message = read_content(candidate.get("content"))
    is_cut = candidate.get("finishReason") == "MAX_TOKENS"
    return message._replace(
        role="assistant" if message.role in ("user", "unknown") else message.role,
        input_tokens=first_of(usage, "promptTokenCount", "prompt_token_count"),
        output_tokens=first_of(usage, "candidatesTokenCount", "candidates_token_count"),
        status="interrupted" if is_cut else None,
        rest={**(message.rest or {}), **without(candidate, "content")},
    )


def read_content(content: object) -> Message:
    """Return the message that a content is."""
    fields = as_object(content) or {"parts": content}
    role = first_text(fields.get("role"), "user")
    parts = fields.get("parts")
    listed = parts if isinstance(parts, list) else [] if parts is None else [parts]
    return Message(
        _ROLES.get(role, role),
        [piece for part in listed for piece in read_part(part)],
        created=first_of(fields, *_TIMES),
        model=fields.get("model"),
        rest=without(fields, "role", "parts", "model", *_TIMES),
        original=content,
    )


def read_part(part: object) -> list[Piece]:
    """Return the pieces of a part; code that the model ran is a call, and its output a result."""
    fields = as_object(part)
    code, output = first_of(fields, *_CODE), first_of(fields, *_CODE_RESULT)
    if not isinstance(code, dict) and not isinstance(output, dict):
        return contents.read_part(part)
    pieces: list[Piece] = []
    if isinstance(code, dict):
        pieces.append(Call("code_execution", without(code, "id"), first_text(code.get("id"))))
    if isinstance(output, dict):
        is_plain = output.get("outcome") in (None, "OUTCOME_OK") and isinstance(
            output.get("output"), str
        )
        said = output["output"] if is_plain else without(output, "id")
        pieces.append(Result(said, first_text(output.get("id")), "code_execution"))
    rest = without(fields, *_CODE, *_CODE_RESULT)
    return [*pieces, *([Unknown(rest)] if any(find_text(rest)) else [])]


FORMAT: Final = Format(
    "gemini",
    "Gemini contents",
    fits,
    read,
    known=(
        *("tools", "toolConfig", "tool_config", "generationConfig", "generation_config", "config"),
        *("safetySettings", "safetyRatings", "groundingMetadata", "citationMetadata"),
        *("urlContextMetadata", "logprobsResult", "cachedContent", "outcome"),
        *("thoughtSignature", "thought_signature"),
    ),
    joins=joins,
)
