"""The shapes of the items that OpenAI's Responses define.

The objects of other SDKs and of products resemble them: Agent Framework has a message with
``contents``, ChatKit a ``user_message``, Chat Completions a message with ``tool_calls``.
"""

from typing import Any, Final

from faceplate.models import ROLES

_SPEAKERS: Final = frozenset(ROLES) - {"tool"}
_PARTS: Final = frozenset(
    {
        *("input_text", "input_image", "input_file", "input_audio"),
        *("output_text", "refusal", "reasoning_text", "summary_text", "computer_screenshot"),
    }
)
_MESSAGE_FIELDS: Final = frozenset(
    {"id", "type", "role", "content", "status", "phase", "provider_data"}
)
_FIELDS: Final = {
    kind: frozenset(names.split())
    for kind, names in {
        "function_call": "call_id name arguments",
        "function_call_output": "call_id output",
        "custom_tool_call": "call_id name input",
        "custom_tool_call_output": "call_id output",
        "reasoning": "summary",
        "compaction": "encrypted_content",
        "web_search_call": "id action",
        "file_search_call": "id queries",
        "code_interpreter_call": "id container_id",
        "image_generation_call": "id",
        "computer_call": "call_id",
        "computer_call_output": "call_id output",
        "local_shell_call": "call_id action",
        "local_shell_call_output": "output",
        "shell_call": "call_id action",
        "shell_call_output": "call_id output",
        "apply_patch_call": "call_id operation",
        "apply_patch_call_output": "call_id status",
        "mcp_call": "server_label name arguments",
        "mcp_list_tools": "server_label tools",
        "mcp_approval_request": "server_label name arguments",
        "mcp_approval_response": "approval_request_id approve",
        "tool_search_call": "arguments execution",
        "tool_search_output": "tools execution",
        "additional_tools": "role tools",
        "program": "call_id code",
        "program_output": "call_id result",
    }.items()
}
"""The fields that each type of item always has, but for messages."""


def is_known(item: Any) -> bool:
    """Return whether JSON has the shape of an item that OpenAI defines."""
    if not isinstance(item, dict):
        return False
    kind = item.get("type", "message")
    if kind != "message":
        return isinstance(kind, str) and kind in _FIELDS and _FIELDS[kind] <= item.keys()
    role, content = item.get("role"), item.get("content")
    if not (isinstance(role, str) and role in _SPEAKERS and item.keys() <= _MESSAGE_FIELDS):
        return False
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(map(_is_part, content))


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    return isinstance(kind, str) and kind in _PARTS
