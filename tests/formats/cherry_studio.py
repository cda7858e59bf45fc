"""A backup of Cherry Studio: a search, two models' answers to one question, and what is beside."""

import json
from typing import Any, Final

BLOCKS: Final[list[Any]] = []


def block(id_: str, kind: str, **fields: Any) -> str:
    """Add a block, and return its id."""
    about = {"id": id_, "messageId": id_.partition("-")[0], "type": kind, "status": "success"}
    BLOCKS.append({**about, "createdAt": "2025-06-01T08:00:00.000Z", **fields})
    return id_


def said(id_: str, role: str, *blocks: str, **fields: Any) -> Any:
    """A message with its blocks."""
    about = {"id": id_, "role": role, "topicId": "topic-1", "assistantId": "assistant-1"}
    time = f"2025-06-01T08:00:0{id_[-1]}.000Z"
    return {**about, "createdAt": time, "status": "success", "blocks": [*blocks], **fields}


RAW: Final[dict[str, Any]] = {
    "rawMcpToolResponse": {"tool": {"name": "measure"}, "arguments": {"tree": "oak"}}
}
MESSAGES: Final[list[Any]] = [
    said(
        "m1",
        "user",
        block("m1-1", "main_text", content="Which tree is taller?"),
        block(
            "m1-2",
            "image",
            file={"id": "f-1", "origin_name": "trees.png", "path": "/files/f-1.png"},
        ),
    ),
    said(
        "m2",
        "assistant",
        block("m2-1", "thinking", content="I have to measure.", thinking_millsec=7),
        block("m2-2", "tool", toolId="call-1", content="thirty metres", metadata=RAW),
        block("m2-3", "main_text", content="The oak."),
        block("m2-4", "code", content="print(30)", language="python"),
        block("m2-5", "citation", response={"source": "web", "results": []}),
        askId="m1",
        model={"id": "model-one", "provider": "p"},
        usage={"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29},
        useful=True,
    ),
    said(
        "m3",
        "assistant",
        block("m3-1", "main_text", content="The ash, I guess."),
        askId="m1",
        model={"id": "model-two"},
    ),
    said("m4", "user", block("m4-1", "main_text", content="And older?")),
    said(
        "m5",
        "assistant",
        block("m5-1", "error", error={"name": "Error", "message": "Out of reach."}),
        askId="m4",
        status="error",
    ),
]
STORE: Final = {
    "assistants": json.dumps(
        {
            "assistants": [
                {
                    "id": "assistant-1",
                    "name": "Forester",
                    "prompt": "You know trees.",
                    "topics": [
                        {
                            "id": "topic-1",
                            "name": "Two trees",
                            "createdAt": "2025-06-01T07:59:00.000Z",
                            "updatedAt": "2025-06-01T08:10:00.000Z",
                            "messages": [],
                        }
                    ],
                }
            ]
        }
    )
}
EXAMPLE: Final[dict[str, Any]] = {
    "time": 1_750_000_000_000,
    "version": 5,
    "localStorage": {"persist:cherry-studio": json.dumps(STORE)},
    "indexedDB": {
        "topics": [{"id": "topic-1", "messages": MESSAGES}],
        "message_blocks": BLOCKS,
        "files": [],
    },
}
