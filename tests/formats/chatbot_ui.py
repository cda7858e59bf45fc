"""A Chatbot UI export of version 4 with two chats, a folder and a prompt."""

from typing import Any, Final

CHATS: Final[list[Any]] = [
    {
        "id": "h-1",
        "name": "Two beds",
        "messages": [
            {"role": "user", "content": "Which bed is larger?"},
            {"role": "assistant", "content": "The northern one."},
        ],
        "model": {"id": "gardener-1", "name": "Gardener", "maxLength": 12_000},
        "prompt": "Answer briefly.",
        "temperature": 1,
        "folderId": "f-1",
    },
    {
        "id": "h-2",
        "name": "Water",
        "messages": [{"role": "user", "content": "When?"}],
        "model": {"id": "gardener-1"},
        "prompt": "",
        "temperature": 0.5,
        "folderId": None,
    },
]

EXAMPLE: Final = {
    "version": 4,
    "history": CHATS,
    "folders": [{"id": "f-1", "name": "Garden", "type": "chat"}],
    "prompts": [],
}
