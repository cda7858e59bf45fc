"""The response items and events of Codex CLI's logs, one by one."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.contents import read_content, read_part
from faceplate.importers.fields import as_list, as_object, first_text, to_text, without
from faceplate.importers.source import Aside, Attachment, Call, Message, Piece, Result, Text

ITEMS: Final = frozenset(
    (
        *("message", "reasoning", "function_call", "function_call_output", "custom_tool_call"),
        *("custom_tool_call_output", "local_shell_call", "web_search_call", "tool_search_call"),
        *("tool_search_output", "image_generation_call", "ghost_snapshot", "compaction"),
        *("context_compaction",),
    )
)
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")
INJECTED: Final = (
    *("<environment_context>", "<user_instructions>", "<permissions instructions>"),
    *("<collaboration_mode>", "<turn_aborted>", "<INSTRUCTIONS>", "<skill>", "# AGENTS.md"),
)
"""How texts begin that the program sends in the user's name, and does not show."""
RESULT_EVENTS: Final = ("exec_command_end", "mcp_tool_call_end", "patch_apply_end")
SILENT_EVENTS: Final = frozenset(
    (
        *("token_count", "turn_aborted", "thread_rolled_back", "thread_name_updated"),
        *("task_started", "task_complete", "turn_started", "turn_complete", "context_compacted"),
        *("web_search_end", "image_generation_end", "view_image_tool_call", "turn_diff"),
        *("thread_goal_updated", "thread_settings_applied", "session_configured", "plan_update"),
        "item_completed",
    )
)
"""The events that repeat an item, or say nothing to a reader."""
_TELLING_EVENTS: Final = (
    *("item_completed", "plan_update", "thread_goal_updated", "web_search_end"),
    *("task_complete", "turn_complete"),
)
"""Those of them with words that may be in no item."""
_NAMES: Final = ("type", "status", "id", "phase")


def is_item(value: JsonObject) -> bool:
    """Return whether a value is a response item of a log without wrapped lines."""
    kind = value.get("type")
    if kind == "message":
        return isinstance(value.get("role"), str) and isinstance(value.get("content"), list)
    is_known = isinstance(kind, str) and kind in ITEMS
    return is_known and any(key in value for key in ("call_id", "summary", "action", "status"))


def read_item(item: JsonObject) -> Message:
    """Return the message that a response item is."""
    kind = item.get("type")
    role, pieces = "assistant", list(_pieces(item))
    if kind == "message":
        role = first_text(item.get("role"), "unknown")
    elif any(isinstance(piece, Result) for piece in pieces):
        role = "tool"
    rest = without(item, "type", "role", "content", "id") if kind == "message" else {}
    return Message(role, pieces, rest=rest, original=item)


def _pieces(item: JsonObject) -> Iterator[Piece]:
    kind, call_id = item.get("type"), first_text(item.get("call_id"), item.get("id"))
    if kind == "message":
        yield from read_content(item.get("content"))
    elif kind == "reasoning":
        yield Aside("reasoning", without(item, "type", "encrypted_content"))
    elif kind in _OUTPUTS and isinstance(item.get("output"), dict):
        output = item["output"]  # the form before its content could have parts
        yield Result(output.get("content", output), call_id)
    elif kind in _OUTPUTS and (fields := _told(item.get("output"))):
        yield Result(fields.pop("output"), call_id)
        yield Aside("exit codes", fields)
    elif kind == "tool_search_output":
        yield Result(item.get("tools"), call_id)
    elif kind == "image_generation_call":
        data = first_text(item.get("result"))
        yield Call("image_generation", {"prompt": item.get("revised_prompt")}, call_id)
        yield Attachment("image", call_id, f"{len(data):,} characters", part=without(item, "type"))
    elif kind in ("ghost_snapshot", "compaction", "context_compaction"):
        yield Aside("snapshots", without(item, "type", "encrypted_content"))
    else:
        yield from read_part(item)


def _told(output: object) -> JsonObject:
    """Return the fields of an output that is JSON with the output of a command in it, or none."""
    if not isinstance(output, str) or not output.startswith('{"output"'):
        return {}
    try:
        fields = as_object(json.loads(output))
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields.get("output"), str) else {}


def message_of_event(event: JsonObject) -> Message | None:
    """Return the message that an event says, or None if it is of another kind."""
    kind, item = event.get("type"), as_object(event.get("item"))
    if kind == "user_message":
        images = [*as_list(event.get("images")), *as_list(event.get("local_images"))]
        shown = [Attachment("image", reference=to_text(image)[:200]) for image in images]
        return Message("user", [Text(text_of(event.get("message"))), *shown], original=event)
    if kind == "agent_message":
        return Message("assistant", [Text(text_of(event.get("message")))], original=event)
    if kind == "error":
        pieces = [Text(text_of(event.get("message")))]
        return Message("assistant", pieces, status="failed", original=event)
    if kind != "item_completed":
        return None
    roles = {"UserMessage": "user", "AgentMessage": "assistant", "Plan": "assistant"}
    role = roles.get(first_text(item.get("type")))
    content = item.get("text") if item.get("type") == "Plan" else item.get("content")
    return Message(role, read_content(content), original=event) if role else None


def result_of_event(event: JsonObject) -> Result:
    """Return the result that an event about the end of a call has."""
    inner = as_object(event.get("result"))
    output = first_text(
        event.get("aggregated_output"), event.get("formatted_output"), event.get("stdout")
    )
    errors = first_text(event.get("stderr"))
    value = inner.get("Ok", inner.get("Err", inner)) if inner else output or errors
    content = as_object(value).get("content", value)
    return Result(content, first_text(event.get("call_id")))


def reasoning_of_event(event: JsonObject) -> str:
    """Return the reasoning that an event has, or empty text."""
    is_reasoning = event.get("type") in ("agent_reasoning", "agent_reasoning_raw_content")
    return text_of(event.get("text")) if is_reasoning else ""


def rows_of_event(event: JsonObject) -> set[int]:
    """Return the hashes of the rows of text in an event that most often repeats an item."""
    is_telling = event.get("type") in _TELLING_EVENTS and message_of_event(event) is None
    return set(rows_of(event)) if is_telling else set()


def rows_of(value: object) -> Iterator[int]:
    """Yield the hashes of the rows of text in a value, also of those in the JSON in a text."""
    if isinstance(value, dict):
        for key, field in value.items():
            if not (key in _NAMES or key.endswith("_id")):
                yield from rows_of(field)
    elif isinstance(value, list):
        for each in value:
            yield from rows_of(each)
    elif isinstance(value, str):
        if value.startswith(("{", "[")):
            with suppress(ValueError, RecursionError):
                yield from rows_of(json.loads(value))
        rows = (without_space(row.lstrip("+-")) for row in value.splitlines())  # also of a patch
        yield from (hash(row) for row in rows if row)


def text_of(value: object) -> str:
    """Return a value that should be text as text."""
    return "" if value is None else to_text(value)


def said(message: Message) -> str:
    """Return the text of a message without white space, by which a copy of it is known."""
    return without_space("".join(each.text for each in message.pieces if isinstance(each, Text)))


def without_space(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())
