"""The ids of conversations and items, and the UUIDs of faceplate that they stand for.

=============================  =====================================================================
id                             what it stands for
=============================  =====================================================================
``conv_`` and 32 hex digits    the conversation with this UUID
``conv_`` and anything else    the conversation with this key, of the source ``openai``
``msg_`` and 32 hex digits     the message with this UUID; other kinds of items have other prefixes
the same, ``_``, 8 hex digits  a tool call or result of a message that has several items
any other                      the message whose UUID is derived from the id, or the newest message
                               of another program that has the id in its body
=============================  =====================================================================
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Final
from uuid import UUID, uuid5

from faceplate.column_types import JsonObject
from faceplate.errors import InvalidInput, NotFound
from faceplate.records import Conversation, Message
from faceplate.services import conversations

SOURCE: Final = "openai"

_CONVERSATION: Final = re.compile(r"conv_([0-9a-f]{32})")
_OURS: Final = re.compile(r"[a-z]+_([0-9a-f]{32})(_[0-9a-f]{8})?")
_OWN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}")
_PREFIXES: Final = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "compaction": "cmp",
}
_CUSTOM_OUTPUT: Final[JsonObject] = {"type": "custom_tool_call_output"}


def conversation_id(id: UUID) -> str:  # noqa: A002 - the record's field
    """Return the id by which OpenAI's clients name the conversation with this UUID."""
    return f"conv_{id.hex}"


def named(conversation: Conversation) -> str:
    """Return the id of a conversation: its key where that is an id of OpenAI's."""
    key = conversation.key or ""
    is_theirs = conversation.source == SOURCE and key.startswith("conv_")
    return key if is_theirs and _OWN.fullmatch(key) else conversation_id(conversation.id)


def read_conversation_id(user_id: UUID, text: str) -> UUID:
    """Return the UUID that the id of a conversation stands for. Raises NotFound."""
    if found := _CONVERSATION.fullmatch(text):
        return UUID(found[1])
    try:
        return conversations.id_of(user_id, source=SOURCE, key=text)
    except InvalidInput:  # no key of any conversation
        raise NotFound(Conversation) from None


def own_id(item: JsonObject) -> str | None:
    """Return the id that an item brings along, or None.

    An id that cannot stand in a URL is none, nor is one that begins with ``_``: the Agents SDK
    gives all that other models say the id ``__fake_id__``.
    """
    given = item.get("id")
    return given if isinstance(given, str) and _OWN.fullmatch(given) else None


def derived(conversation: UUID, item_id: str) -> UUID:
    """Return the UUID of the message that has an id of its own."""
    return uuid5(conversation, item_id)


def candidates(conversation: UUID, item_id: str) -> Iterator[UUID]:
    """Yield the UUIDs of the messages that may have the item."""
    if found := _OURS.fullmatch(item_id):
        yield UUID(found[1])
    yield derived(conversation, item_id)


def minted(message: UUID, item: JsonObject, *, part: str | None = None) -> str:
    """Return faceplate's id of an item.

    ``part`` tells the item from the others of its message.
    """
    prefix = _PREFIXES.get(str(item.get("type", "message")), "item")
    if part is None:
        return f"{prefix}_{message.hex}"
    digest = hashlib.sha256(part.encode(errors="surrogatepass")).hexdigest()
    return f"{prefix}_{message.hex}_{digest[:8]}"


def custom_call(message: Message, item_id: str) -> list[str]:
    """Return the custom tool's call whose output in a message has the id, if there is one.

    Whether an output is that of a custom tool, its call says, which is in another message.
    """
    outputs = [str(result["tool_call_id"]) for result in message.tool_results or ()]
    return [each for each in outputs if minted(message.id, _CUSTOM_OUTPUT, part=each) == item_id]


def of_attempt(conversation: UUID, idempotency_key: str, number: int) -> UUID:
    """Return the UUID of a message that a retry with the same key stores as the same one."""
    return uuid5(conversation, f"{idempotency_key}\0{number}")
