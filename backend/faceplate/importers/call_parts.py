"""The parts of a content that call a tool, or tell what one has returned."""

from collections.abc import Collection
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_object, first_text, without
from faceplate.importers.source import Aside, Call, Piece, Result, Unknown
from faceplate.importers.unread import count_text, find_text, texts


def read_call(part: JsonObject) -> list[Piece]:
    """Return a call, and its result if the part has that as well."""
    fields = _Fields(part, _INNER_CALLS)
    is_error = _is_error(part)
    call_id = first_text(fields.take(*_CALL_IDS))
    named, of_type = first_text(fields.take(*_TOOL_NAMES)), _name_in_type(part)
    tool = first_text(named, of_type, "function")
    given = fields.take(*_INPUTS)
    output = fields.take(*_OUTPUTS)
    is_answered = output is not None or part.get("state") not in _ANSWERED
    is_whole = given is not None and bool(named or of_type not in _NAMELESS) and is_answered
    results = [] if output is None else [Result(_value(output), call_id, tool, is_error=is_error)]
    call = Call(tool, {} if given is None else given, call_id, _type_of(part))
    return [call, *results, *fields.unread(is_whole=is_whole)]


def _type_of(part: JsonObject) -> str:
    """Return what a call calls, if OpenAI's object in it says so."""
    return next((kind for kind in ("function", "custom") if isinstance(part.get(kind), dict)), "")


def read_call_result(part: JsonObject) -> list[Piece]:
    """Return a result, and what else its part says."""
    fields = _Fields(part, _INNER_RESULTS)
    is_error = _is_error(part)
    call_id = first_text(fields.take(*_RESULT_IDS))
    tool = first_text(fields.take(*_TOOL_NAMES))
    output = _value(fields.take(*_OUTPUTS, *_CONTENTS))
    result = Result(output, call_id, tool, is_error=is_error)
    return [result, *fields.unread(is_whole=output is not None)]


def _value(output: Any) -> Any:
    """Return what a tool has returned, which the Vercel SDK writes as ``{"type", "value"}``."""
    is_typed = isinstance(output, dict) and output.keys() == {"type", "value"}
    return output["value"] if is_typed else output


def _is_error(part: JsonObject) -> bool:
    """Return whether a part says that its tool has failed."""
    output, content = as_object(part.get("output")), as_object(part.get("content"))
    return (
        part.get("is_error") is True
        or part.get("isError") is True
        or any(part.get(key) is not None for key in ("error", "errorText"))
        or str(output.get("type")).startswith(("error", "execution-denied"))
        or "error_code" in content
    )


class _Fields:
    """The fields of a part and of the object in it, which are taken one after the other."""

    def __init__(self, part: JsonObject, inner: Collection[str]) -> None:
        inside = [key for key in inner if isinstance(part.get(key), dict)][:1]
        self._levels = [dict(part[key]) for key in inside] + [without(part, "type", *inside)]

    def take(self, *keys: str) -> Any:
        """Remove the first of the keys' values that is not None, and return it."""
        for key in keys:
            for level in self._levels:
                if level.get(key) is not None:
                    return level.pop(key)
        return None

    def unread(self, *, is_whole: bool) -> list[Piece]:
        """Return what was not taken, if it has text or some other words.

        Any word is text if the part is not whole: it may be what could not be found.
        """
        are_texts = [
            any(find_text(level)) or (not is_whole and count_text(level, _STATES) > 0)
            for level in self._levels
        ]
        levels = list(zip(self._levels, are_texts, strict=True))
        unknown = [Unknown(level) for level, is_text in levels if is_text]
        notes = [level for level, is_text in levels if level and not is_text]
        return [
            *unknown,
            *(Aside("notes of calls", level) for level in notes if texts(level, is_text=True)),
        ]


def _name_in_type(part: JsonObject) -> str:
    """Return the tool in a type such as ``tool-weather`` or ``web_search_call``."""
    kind = str(part.get("type", ""))
    return kind.removeprefix("tool-") if kind.startswith("tool-") else kind.removesuffix("_call")


_ANSWERED: Final = ("output-available", "result")
_NAMELESS: Final = ("", "tool", "tool_use", "function")
_STATES: Final = (
    *("caller", "created_by", "execution", "index", "signature", "namespace", "cache_control"),
    *("container_id", "server_label", "extra_content", "thoughtSignature", "thought_signature"),
    *("callProviderMetadata", "providerMetadata"),
)
"""The keys of what is said about a part, and never in it."""
_INNER_CALLS: Final = (
    *("function", "custom", "toolInvocation", "functionCall", "function_call", "toolUse"),
)
_INNER_RESULTS: Final = ("functionResponse", "function_response", "toolResult")
_CALL_IDS: Final = (
    *("call_id", "callId", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "id"),
)
_RESULT_IDS: Final = (
    *("tool_use_id", "toolUseId", "call_id", "callId", "tool_call_id", "toolCallId", "id"),
)
_TOOL_NAMES: Final = ("name", "toolName", "tool_name", "function")
_INPUTS: Final = (
    *("input", "rawInput", "arguments", "args", "parameters", "action", "actions", "operation"),
    *("code", "queries"),
)
_OUTPUTS: Final = ("output", "result", "outputs", "results", "errorText", "error", "response")
_CONTENTS: Final = ("content", "text")
