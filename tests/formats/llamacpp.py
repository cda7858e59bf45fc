"""A chat of llama.cpp's web UI with two answers, reasoning, a tool and files."""

from typing import Any


def said(id_: str, parent: str | None, role: str, content: str, **fields: Any) -> Any:
    """A message of an export."""
    return {
        "id": id_,
        "convId": "k-1",
        "type": "text",
        "timestamp": 1_735_787_040_000 + 1_000 * len(id_),
        "role": role,
        "content": content,
        "parent": parent,
        "children": [],
        **fields,
    }


CONV = {
    "id": "k-1",
    "name": "Water for tea",
    "lastModified": 1_735_787_100_000,
    "currNode": "eeeee",
}
CALL = {"id": "t-1", "type": "function", "function": {"name": "lookup", "arguments": '{"a": 1}'}}
ROOT = said("r", None, "system", "", type="root", children=["s"])
SYSTEM = said("s", "r", "system", "Be brief.", type="system", children=["q"])
QUESTION = said(
    "q",
    "s",
    "user",
    "How hot?",
    children=["aa", "bbb"],
    extra=[
        {"type": "TEXT", "name": "notes.txt", "content": "Steep briefly."},
        {"type": "imageFile", "name": "leaf.png", "base64Url": "data:image/png;base64,AAAA"},
        {"type": "PDF", "name": "uji.pdf", "content": "Shade grown.", "base64Data": "JVBE"},
        {"type": "context", "content": "Pasted."},
    ],
)
ANSWER = said(
    "aa",
    "q",
    "assistant",
    "I look it up.",
    children=["dddd"],
    reasoningContent="Green.",
    toolCalls=[CALL],
    model="brewer-1",
    timings={"prompt_n": 12, "predicted_n": 30, "prompt_ms": 5.5},
)
RESULT = said("dddd", "aa", "tool", "75 to 80", toolCallId="t-1", children=["eeeee"])
MORE = said("eeeee", "dddd", "assistant", "Between 75 and 80.", thinking="Sure.")
OTHER = said("bbb", "q", "assistant", "Not too hot.")

MESSAGES = [ROOT, SYSTEM, QUESTION, ANSWER, OTHER, RESULT, MORE]
EXAMPLE = {"conv": CONV, "messages": MESSAGES}
LINES = [
    {"harness": "web", "type": "session", **CONV},
    *({"type": "message", "message": message} for message in MESSAGES),
]
"""The same chat in JSON lines."""
