"""The calls of tools in an answer of GitHub Copilot.

A part of the answer says what was called, and some say what came of it. What the model wrote and
was told is in the metadata of the request's result: ``toolCallRounds`` and ``toolCallResults``.
"""

from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text, without
from faceplate.importers.source import Aside, Call, Piece, Result

_TOOL_FIELDS: Final = ("kind", "toolId", "toolCallId", "resultDetails")


def read_call(part: JsonObject, about: JsonObject) -> Iterator[Piece]:
    """Yield the call of a part with its result; ``about`` is the metadata of the request."""
    id_, tool = first_text(part.get("toolCallId")), first_text(part.get("toolId"), "tool")
    details, told = part.get("resultDetails"), _find_told(id_, about)
    given, output = (as_object(details).get(key) for key in ("input", "output"))
    rest = without(part, *_TOOL_FIELDS)
    if output is None and told is not None:
        given = _find_input(id_, about) if given is None else given
        rest |= {} if details is None else {"resultDetails": details}
    found = next((each for each in (output, told, details) if each is not None), None)
    yield Call(tool, rest if given is None else given, id_)
    if found is not None:
        yield Result(found, id_, tool)
    if given is not None:
        yield Aside("steps", rest)


def _find_told(id_: str, about: JsonObject) -> object:
    """Return what the model was told of a call, or None."""
    told = as_object(as_object(about.get("toolCallResults")).get(id_)).get("content")
    if not isinstance(told, list):
        return None
    texts = [*map(_text_of, told)]
    return told if None in texts else "\n".join(filter(None, texts))


def _find_input(id_: str, about: JsonObject) -> object:
    """Return what the model wrote to the tool, or None."""
    rounds = map(as_object, as_list(about.get("toolCallRounds")))
    calls = (as_object(call) for each in rounds for call in as_list(each.get("toolCalls")))
    return next((call.get("arguments") for call in calls if id_ and call.get("id") == id_), None)


def _text_of(part: object) -> str | None:
    """Return the text of a part of a result, or None for any other part."""
    value = as_object(part).get("value")
    if isinstance(value, str):
        return value
    node = as_object(value).get("node")
    return "".join(_node_texts(node)).removeprefix("\n") if isinstance(node, dict) else None


def _node_texts(node: JsonObject) -> Iterator[str]:
    """Yield the texts of a tree of ``children``, with the line breaks before them."""
    waiting: list[Any] = [node]
    while waiting:
        each = as_object(waiting.pop())
        if text := first_text(each.get("text")):
            yield f"\n{text}" if each.get("lineBreakBefore") else text
        waiting.extend(reversed(as_list(each.get("children"))))
