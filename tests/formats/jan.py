"""A thread of Jan and its messages, as its two files have them."""

from typing import Any, Final

THREAD: Final[dict[str, Any]] = {
    "id": "thread-1",
    "object": "thread",
    "title": "Two beds",
    "assistants": [{"id": "jan", "name": "Jan", "model": {"id": "gardener-1", "settings": {}}}],
    "created": 1_735_787_040,
    "updated": 1_735_787_100,
    "metadata": {},
}


def said(id_: str, role: str, *content: Any, **fields: Any) -> Any:
    """A message of a thread."""
    return {
        "id": id_,
        "object": "thread.message",
        "thread_id": "thread-1",
        "role": role,
        "content": list(content),
        "status": "ready",
        "created_at": 1_735_787_040_000 + 1_000 * len(id_),
        "completed_at": 1_735_787_040_000 + 1_000 * len(id_),
        **fields,
    }


def text(value: str) -> Any:
    return {"type": "text", "text": {"value": value, "annotations": []}}


MESSAGES: Final[list[Any]] = [
    said(
        "a",
        "user",
        text("Which bed is larger?"),
        {"type": "image_url", "image_url": {"url": "https://example.com/beds.png"}},
        metadata={"inline_file_contents": [{"name": "beds.txt", "content": "North: nine rows."}]},
    ),
    said(
        "bb",
        "assistant",
        {"type": "reasoning", "text": {"value": "I have to measure.", "annotations": []}},
        text("I measure."),
        {
            "type": "tool_call",
            "tool_call_id": "t-1",
            "tool_name": "measure",
            "input": {"place": "south"},
            "output": {"content": [{"type": "text", "text": "seven rows"}]},
        },
        text("The northern one."),
        metadata={"modelId": "gardener-1", "usage": {"inputTokens": 12, "outputTokens": 40}},
    ),
]

EXAMPLE: Final[list[Any]] = [THREAD, *MESSAGES]
