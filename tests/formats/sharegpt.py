"""A ShareGPT chat with two calls and their results."""

from typing import Any, Final

EXAMPLE: Final[list[dict[str, Any]]] = [
    {
        "id": "s-1",
        "system": "Answer briefly.",
        "conversations": [
            {"from": "human", "value": "Which orchard is larger?"},
            {"from": "function_call", "value": '{"name": "measure", "arguments": {"a": "north"}}'},
            {"from": "function_call", "value": '{"name": "measure", "arguments": {"a": "south"}}'},
            {"from": "observation", "value": "nine hectares"},
            {"from": "observation", "value": "seven hectares"},
            {"from": "gpt", "value": "The northern one."},
        ],
    }
]
