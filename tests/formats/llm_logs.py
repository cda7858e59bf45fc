"""A log of llm: two conversations, a call, its result in the next row, and a fragment."""

from typing import Any, Final


def row(id_: str, minute: int, prompt: str, response: str, **fields: Any) -> dict[str, Any]:
    """A row, as the command prints it."""
    return {
        "id": id_,
        "model": "model-one",
        "prompt": prompt,
        "system": None,
        "prompt_json": None,
        "options_json": {},
        "response": response,
        "response_json": None,
        "conversation_id": "conversation-1",
        "duration_ms": 560,
        "datetime_utc": f"2025-02-16T22:{minute:02}:30.374882+00:00",
        "input_tokens": 8,
        "output_tokens": 12,
        "token_details": None,
        "conversation_name": "Two kites",
        "conversation_model": "model-one",
        "attachments": [],
        **fields,
    }


CALL: Final = {"name": "wind", "arguments": {"place": "beach"}, "tool_call_id": "call-1"}
RESULT: Final = {"name": "wind", "output": "five knots", "tool_call_id": "call-1"}
EXAMPLE: Final[list[Any]] = [
    row(
        "r-2",
        2,
        "",
        "The red one.",
        system="You fly kites.",
        tool_results=[RESULT],
        reasoning="A light wind.",
    ),
    row(
        "r-1",
        1,
        "Which kite flies?",
        "I ask.",
        system="You fly kites.",
        tool_calls=[CALL],
        prompt_fragments=[{"hash": "f1", "content": "A red kite", "aliases": ["kites.md"]}],
        attachments=[{"type": "image/png", "path": "/kites.png", "url": None}],
    ),
    row("r-3", 3, "Hello", "Hi.", conversation_id="conversation-2", conversation_name=None),
]
