"""OpenAI chat messages with parallel calls, pictures, times, models and tokens."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "id": "orchard",
    "title": "Two orchards",
    "created_at": 1_700_000_000,
    "messages": [
        {"role": "system", "content": "Answer briefly."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Which orchard is larger?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/trees.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I shall measure both.",
            "tool_calls": [
                {
                    "id": f"call_{place}",
                    "type": "function",
                    "function": {"name": "measure", "arguments": f'{{"place": "{place}"}}'},
                }
                for place in ("north", "south")
            ],
        },
        {"role": "tool", "tool_call_id": "call_north", "content": "nine hectares"},
        {"role": "tool", "tool_call_id": "call_south", "content": "seven hectares"},
        {
            "role": "assistant",
            "content": "The northern one.",
            "created_at": 1_700_000_009,
            "model": "gpt-5",
        },
    ],
}
