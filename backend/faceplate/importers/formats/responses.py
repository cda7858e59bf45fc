"""Items of OpenAI's Responses and Conversations, and of the agents that are built on them.

A chat is ``{"instructions", "input": text or items, "output": items}``, a list of items, or a page
of a conversation (``{"object": "list", "data": items}``), which may have the newest item first. An
item is a message, the reasoning of a model, a call, or the output of a call; a call of OpenAI's own
tools has its output in it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_part
from faceplate.importers.fields import as_list, as_object, first_of, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Aside, Call, Message, Piece, Result, SourceChat, Text

_LISTS: Final = ("items", "data", "messages")
_CALLS: Final = {
    *("function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call"),
    *("apply_patch_call", "tool_search_call", "program"),
}
_HOSTED: Final = {
    *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
    *("mcp_call", "hosted_tool_call"),
}
_OUTPUTS: Final = {
    *("function_call_output", "custom_tool_call_output", "computer_call_output"),
    *("local_shell_call_output", "shell_call_output", "apply_patch_call_output"),
    *("tool_search_output", "program_output", "function_call_result", "computer_call_result"),
}
_NOTES: Final = {
    **dict.fromkeys(("mcp_list_tools", "additional_tools"), "tools"),
    **dict.fromkeys(("mcp_approval_request", "mcp_approval_response"), "approvals"),
    **dict.fromkeys(("compaction", "compaction_trigger", "item_reference"), "references"),
}
_DETAILS: Final = (
    *("status", "phase", "server_label", "container_id", "namespace", "caller", "execution"),
    "approval_request_id",
)
_OWN: Final = {*_CALLS, *_HOSTED, *_OUTPUTS, *_NOTES}


def fits(value: JsonObject) -> int:
    """Return 3 for items, or for a reply with some; 2 for a question to a model."""
    items = _items(value)
    if _are_items(items):
        kinds = {_kind(item) for item in items}
        are_plain = kinds == {"message"} and not value.get("messages")
        return 3 if are_plain or any(map(_is_own, items)) else 0
    return 2 if isinstance(value.get("input"), str) and _is_question(value) else 0


def _is_question(value: JsonObject) -> bool:
    return isinstance(value.get("model"), str) and not isinstance(value.get("output"), str)


def has_output(value: JsonObject) -> bool:
    """Return whether a value has a list of items as its output."""
    output = value.get("output")
    is_empty_reply = output == [] and value.get("object") == "response"
    return is_empty_reply or (isinstance(output, list) and _are_items(output))


def joins(value: JsonObject) -> str | None:
    """Return the chat of an item that is a value of its own."""
    return openai.joined_chat(value) if _is_own(value) else None


def _is_own(item: JsonObject) -> bool:
    kind = _kind(item)
    return kind in _OWN or (kind == "reasoning" and "summary" in item)


def _are_items(listed: Sequence[Any]) -> bool:
    """Return whether most of a list are items, and the others may be of kinds that are newer."""
    others = [each for each in listed if not _is_item(each)]
    return 2 * len(others) < len(listed) and all(
        "role" not in as_object(each) and _kind(each) not in ("", "message") for each in others
    )


def _is_item(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = _kind(item)
    is_message = kind == "message" and isinstance(item.get("role"), str)
    return is_message or kind in _OWN or kind == "reasoning"


def _kind(item: Any) -> str:
    """Return the type of an item; a message may have none."""
    kind = item.get("type", "message") if isinstance(item, dict) else ""
    return kind if isinstance(kind, str) else ""


def _items(value: JsonObject) -> list[Any]:
    listed = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
    inner = as_object(value.get("items")).get("data")  # a page in a conversation
    return [*as_list(value.get("input")), *as_list(value.get("output")), *as_list(listed or inner)]


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value."""
    items = _items(value)
    if not items and not isinstance(value.get("input"), str):
        raise Unreadable("neither input nor output")
    if _is_newest_first(items, is_page=isinstance(value.get("data"), list)):
        items.reverse()
    messages = [_read_group(group) for group in _groups(items)]
    if isinstance(question := value.get("input"), str):
        messages.insert(0, Message("user", [Text(question)]))
    if messages and has_output(value):
        usage = as_object(value.get("usage"))
        messages[-1] = messages[-1]._replace(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            status={"incomplete": "interrupted", "failed": "failed"}.get(str(value.get("status"))),
        )
    fields = without(value, "input", "output", *_LISTS)
    yield openai.read_chat(fields, messages)._replace(is_exact=False)


def _is_newest_first(items: Sequence[Any], *, is_page: bool) -> bool:
    """Return whether outputs stand before their calls, or the last answer before all questions."""
    calls = {openai.read_id(_call_id(item)): at for at, item in enumerate(items) if _is_call(item)}
    orders = {
        calls[call_id] < at
        for at, item in enumerate(items)
        if _kind(item) in _OUTPUTS and (call_id := openai.read_id(_call_id(item))) in calls
    }
    if orders:
        return orders == {False}
    roles = [as_object(item).get("role") for item in items if as_object(item).get("role")]
    return is_page and len(roles) > 1 and roles[0] == "assistant" and roles[-1] != "assistant"


def _is_call(item: Any) -> bool:
    return _kind(item) in _CALLS


def _call_id(item: JsonObject) -> object:
    return first_of(item, "call_id", "callId", "id")


def _groups(items: Sequence[Any]) -> Iterator[list[JsonObject]]:
    """Yield the items of each message: the reasoning before it, and the calls after it."""
    group: list[JsonObject] = []
    is_open = False  # whether there is more in the group than reasoning
    for item in map(as_object, items):
        kind = _kind(item)
        begins = kind == "message" or (kind == "reasoning" and is_open)
        follows_user = bool(group) and group[-1].get("role", "assistant") != "assistant"
        if group and ((begins and is_open) or follows_user):
            yield group
            group, is_open = [], False
        group.append(item)
        is_open = is_open or kind != "reasoning"
    if group:
        yield group


def _read_group(group: Sequence[JsonObject]) -> Message:
    said = next((item for item in group if _kind(item) == "message"), None)
    message = openai.read_message(said or {"role": "assistant", "id": group[0].get("id")})
    pieces: list[Piece] = []
    for item in group:
        pieces += message.pieces if item is said else _read_item(item)
    details = [found for item in group if (found := _details(item))]
    rest = without(message.rest or {}, "type", *_DETAILS)
    return message._replace(
        pieces=pieces,
        rest={**rest, "details": details} if details else rest,
        original=list(group),
    )


def _details(item: JsonObject) -> JsonObject:
    """Return what is worth knowing of an item beside what was said."""
    found = {key: item[key] for key in _DETAILS if item.get(key) not in (None, "completed")}
    return {"type": _kind(item), **found} if found else {}


def _read_item(item: JsonObject) -> list[Piece]:
    """Return the pieces of an item that is no message."""
    kind = _kind(item)
    if kind == "image_generation_call":
        picture = {**without(item, "result", "type"), "data": item.get("result")}
        return [attachment(picture, "image")]
    if kind == "program":
        return [Call("program", item.get("code"), openai.read_id(item.get("call_id")))]
    if kind == "tool_search_output" and "tools" in item:
        return [Result(item["tools"], openai.read_id(_call_id(item)), "tool_search")]
    if kind in _NOTES:
        return [Aside(_NOTES[kind], item)]
    if kind == "apply_patch_call_output" and item.get("output") is None:
        item = {**item, "output": item.get("status")}
    return read_part(item)


FORMAT: Final = Format(
    "responses",
    "OpenAI Responses and Conversations",
    fits,
    read,
    known=openai.FORMAT.known,
    joins=joins,
)
