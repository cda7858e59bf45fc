"""A chat of Le Chat whose list has no order, with a search, a reference, a picture and a file."""

from typing import Any, Final


def said(id_: str, second: int, role: str, content: str, *chunks: Any, **fields: Any) -> Any:
    """A message, as a file of the export has it."""
    return {
        "id": id_,
        "version": 0,
        "chatId": "chat-1",
        "role": role,
        "content": content,
        "contentChunks": [*chunks] or None,
        "createdAt": f"2025-05-01T08:00:0{second}.250Z",
        "reaction": "neutral",
        "reactionDetail": None,
        "reactionComment": None,
        "context": None,
        "canvas": [],
        "quotes": [],
        "files": [],
        **fields,
    }


SEARCH: Final[dict[str, Any]] = {
    "type": "tool_call",
    "id": "call-1",
    "name": "web_search",
    "publicArguments": '{"query": "oldest bridge"}',
    "publicResult": [{"title": "Bridges of stone"}],
    "isDone": True,
}
EXAMPLE: Final[list[Any]] = [
    said("m-3", 3, "user", "Draw it"),
    said(
        "m-2",
        2,
        "assistant",
        "I search. It is the one in the east, of stone.",
        {"type": "text", "text": "I search."},
        SEARCH,
        {"type": "text", "text": "It is the one in the east"},
        {"type": "reference", "referenceIds": [0]},
        {"type": "text", "text": " , of stone."},
        model="mistral-large",
    ),
    said(
        "m-1",
        1,
        "user",
        "Which bridge is oldest?",
        files=[{"type": "image", "name": "bridges.png"}],
    ),
    said(
        "m-4",
        4,
        "assistant",
        "Here it is.",
        {"type": "text", "text": "Here it is."},
        {"type": "image_url", "imageUrl": "https://pictures.example/bridge.png"},
    ),
]
