"""A backup of NextChat with a mask, a call with its result, and a saved setting."""

from typing import Any, Final

SESSION: Final[dict[str, Any]] = {
    "id": "ses-1",
    "topic": "Two beds",
    "memoryPrompt": "",
    "stat": {"tokenCount": 0, "wordCount": 0, "charCount": 40},
    "lastUpdate": 1_735_787_100_000,
    "lastSummarizeIndex": 0,
    "mask": {
        "id": "mask-1",
        "name": "Gardener",
        "context": [{"id": "c", "date": "", "role": "system", "content": "Answer briefly."}],
        "modelConfig": {"model": "gardener-1", "temperature": 0.5},
        "lang": "en",
    },
    "messages": [
        {
            "id": "a",
            "date": "1/2/2025, 3:04:05\N{NARROW NO-BREAK SPACE}AM",
            "role": "user",
            "content": [
                {"type": "text", "text": "Which bed is larger?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/beds.png"}},
            ],
        },
        {
            "id": "b",
            "date": "1/2/2025, 3:04:15 AM",
            "role": "assistant",
            "content": "The northern one.",
            "model": "gardener-1",
            "streaming": False,
            "tools": [
                {
                    "id": "t-1",
                    "index": 0,
                    "type": "function",
                    "function": {"name": "measure", "arguments": '{"place": "south"}'},
                    "content": "seven rows",
                    "isError": False,
                }
            ],
        },
    ],
}

EXAMPLE: Final = {
    "chat-next-web-store": {"sessions": [SESSION], "currentSessionIndex": 0, "lastInput": ""},
    "app-config": {"theme": "auto"},
    "prompt-store": {"prompts": {}, "counter": 0},
}
