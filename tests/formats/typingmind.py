"""A TypingMind export with a call, its result, files, times, models and tokens."""

from typing import Any, Final

CHAT: Final[dict[str, Any]] = {
    "id": "c-1",
    "chatID": "c-1",
    "chatTitle": "Two beds",
    "preview": "Which bed is larger?",
    "model": "gardener-1",
    "modelInfo": {"id": "gardener-1", "title": "Gardener"},
    "chatParams": {"systemMessage": "Answer briefly.", "temperature": 1},
    "folderID": "f-1",
    "createdAt": "2025-01-02T03:04:00.000Z",
    "updatedAt": "2025-01-02T04:00:00.000Z",
    "syncedAt": None,
    "messages": [
        {
            "uuid": "m-1",
            "role": "user",
            "content": [
                {"type": "text", "text": "Which bed is larger?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/beds.png"}},
                {
                    "type": "tm_text_file",
                    "metadata": {"name": "beds.txt"},
                    "text": "North: nine rows.",
                },
            ],
            "createdAt": "2025-01-02T03:04:01.000Z",
        },
        {
            "uuid": "m-2",
            "role": "assistant",
            "content": "I measure.",
            "tool_calls": [
                {
                    "id": "t-1",
                    "type": "function",
                    "function": {"name": "measure", "arguments": '{"place": "south"}'},
                }
            ],
            "createdAt": "2025-01-02T03:04:02.000Z",
            "usage": {"prompt_tokens": 12, "completion_tokens": 40, "total_tokens": 52},
        },
        {"uuid": "m-3", "role": "tool", "tool_call_id": "t-1", "content": "seven rows"},
        {
            "uuid": "m-4",
            "role": "assistant",
            "content": [{"type": "text", "text": "The northern one."}],
            "model": "gardener-2",
            "createdAt": "2025-01-02T03:04:04.000Z",
        },
    ],
}

EXAMPLE: Final = {"data": {"chats": [CHAT], "folders": [{"id": "f-1", "title": "Garden"}]}}
