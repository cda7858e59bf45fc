"""OpenAI chat messages: with parallel calls, pictures, times and tokens, and as a tree."""

from typing import Any, Final

_LINEAR: Final[dict[str, Any]] = {
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
            "reasoning_content": "Nine is more than seven.",
            "created_at": 1_700_000_009,
            "model": "gpt-5",
            "usage": {"prompt_tokens": 80, "completion_tokens": 9},
        },
    ],
}
_TREE: Final[dict[str, Any]] = {
    "id": "meadow",
    "title": "Two meadows",
    "current": "first",
    "messages": [
        {"id": "asked", "parent_id": None, "role": "user", "content": "Which meadow is wetter?"},
        {"id": "first", "parent_id": "asked", "role": "assistant", "content": "The lower one."},
        {"id": "second", "parent_id": "asked", "role": "assistant", "content": "Both are dry."},
    ],
}
EXAMPLE: Final = [_LINEAR, _TREE]
