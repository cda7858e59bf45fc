"""The markup that Open WebUI wrote into the text of answers, until version 0.9.

Reasoning, calls with their results, and code with its output stand in ``<details type="...">``,
with JSON in attributes that are escaped as in HTML.
"""

import html
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_text
from faceplate.importers.source import Aside, Call, Piece, Result, Text

_OPENING: Final = re.compile(r'<details type="(reasoning|tool_calls|code_interpreter)"')
_CLOSING: Final = "</details>"
_ATTRIBUTE: Final = re.compile(r'(?<![a-z_])([a-z_]+)="([^"]*)"')
_SUMMARY: Final = re.compile(r"\s*<summary>([^<]*)</summary>\n?")
_FENCE: Final = re.compile(r"\s*```[a-zA-Z0-9_+-]*\n(.*)\n?```\s*", re.DOTALL)


def read_markup(text: str) -> Iterator[Piece]:
    """Yield the pieces of an answer's text: what was said, and what the markup sets apart."""
    end = 0
    for found in _OPENING.finditer(text):
        if found.start() < end:
            continue
        head = text.find(">", found.end())
        close = text.find(_CLOSING, head)
        if head < 0 or close < 0:
            break
        yield from _said(text[end : found.start()], is_whole=False)
        attributes = {
            key: html.unescape(value) for key, value in _ATTRIBUTE.findall(text[found.end() : head])
        }
        yield from _READERS[found[1]](attributes, text[head + 1 : close])
        end = close + len(_CLOSING)
    yield from _said(text[end:], is_whole=end == 0)


def unmark(text: str) -> Iterator[str]:
    """Yield the texts in an answer's text."""
    for piece in read_markup(text) if _OPENING.search(text) else (Text(text),):
        if isinstance(piece, Aside):
            yield first_text(as_object(piece.value).get("text"))
        elif isinstance(piece, Result) and isinstance(piece.content, list):
            yield from (first_text(as_object(part).get("text")) for part in piece.content)
        else:
            yield from (to_text(field) for field in piece if field)


def output_text(output: object) -> str:
    """Return what code has written: text, or its streams and result one below the other."""
    if not isinstance(output, dict):
        return to_text(output)
    parts = [output.get(key) for key in ("stdout", "stderr", "result")]
    is_known = output.keys() <= {"stdout", "stderr", "result"}
    if not is_known or not all(part is None or isinstance(part, str) for part in parts):
        return to_text(output)
    return "\n".join(part.strip("\n") for part in parts if part)


def _said(text: str, *, is_whole: bool) -> Iterator[Piece]:
    """Yield a text, without the line ends between it and the markup."""
    if is_whole and text:
        yield Text(text)
    elif said := text.strip("\n"):
        yield Text(said)


def _reasoning(attributes: dict[str, str], inside: str) -> Iterator[Piece]:
    summary, body = _take_summary(inside)
    lines = html.unescape(body).strip("\n").split("\n")
    said = "\n".join("" if line == ">" else line.removeprefix("> ") for line in lines)
    yield Aside("reasoning", {"text": said, "summary": summary, **attributes})


def _calls(attributes: dict[str, str], inside: str) -> Iterator[Piece]:
    if "content" in attributes:  # in version 0.5, for all calls of a step
        calls = [as_object(call) for call in as_list(_parsed(attributes["content"]))]
        results = [as_object(each) for each in as_list(_parsed(attributes.get("results", "")))]
        for call in calls:
            function = as_object(call.get("function"))
            yield Call(
                first_text(function.get("name"), "function"),
                first_of(function, "arguments") or "",
                first_text(call.get("id")),
            )
        for result in results:
            yield Result(result.get("content"), first_text(result.get("tool_call_id")))
        return
    _, rest = _take_summary(inside)
    name, call_id = attributes.get("name") or "function", attributes.get("id", "")
    if embeds := _parsed(attributes.get("embeds", "")):
        yield Aside("embedded pages", {"text": to_text(embeds)})
    yield Call(name, _parsed(attributes.get("arguments", "")), call_id)
    if "result" in attributes:
        result = _parsed(attributes["result"])
        yield Result(with_files(result, _parsed(attributes.get("files", ""))), call_id, name)
    if rest.strip():
        yield Text(rest.strip("\n"))


def _code(attributes: dict[str, str], inside: str) -> Iterator[Piece]:
    _, rest = _take_summary(inside)
    fenced = _FENCE.fullmatch(rest)
    code = (fenced[1] if fenced else rest).strip("\n")
    yield Call("code_interpreter", code)
    if "output" in attributes:
        yield Result(output_text(_parsed(attributes["output"])), tool="code_interpreter")


_READERS: Final = {"reasoning": _reasoning, "tool_calls": _calls, "code_interpreter": _code}


def with_files(result: Any, files: object) -> Any:
    """Return a result as a list of parts if it has files."""
    listed = [_file_part(file) for file in as_list(files) if isinstance(file, dict)]
    if not listed:
        return result
    parts = result if isinstance(result, list) else [{"type": "text", "text": to_text(result)}]
    return [*parts, *listed]


def _file_part(file: JsonObject) -> JsonObject:
    return {**file, "type": "image" if file.get("type") == "image" else "file"}


def _take_summary(inside: str) -> tuple[str, str]:
    found = _SUMMARY.match(inside)
    return (found[1], inside[found.end() :]) if found else ("", inside)


def _parsed(text: str) -> Any:
    """Return the value that a text is as JSON, else the text."""
    try:
        return json.loads(text) if text else ""
    except (ValueError, RecursionError):
        return text
