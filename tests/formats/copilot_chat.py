"""A chat of GitHub Copilot with a thought, a call, a reference and an answer that was stopped.

And the log of another one, in which a question was edited.
"""

from typing import Any, Final

SESSION: Final[dict[str, Any]] = {
    "version": 3,
    "sessionId": "session-1",
    "customTitle": "Two paths",
    "creationDate": 1_750_000_000_000,
    "lastMessageDate": 1_750_000_060_000,
    "requesterUsername": "ada",
    "responderUsername": "GitHub Copilot",
    "requests": [
        {
            "requestId": "request-1",
            "timestamp": 1_750_000_001_000,
            "modelId": "copilot/path-1",
            "message": {
                "text": "Which path is shorter?",
                "parts": [{"kind": "text", "text": "Which"}],
            },
            "variableData": {"variables": []},
            "response": [
                {"kind": "thinking", "value": "I have to measure."},
                {"value": "The one in "},
                {"kind": "inlineReference", "inlineReference": {"path": "/maps/north.txt"}},
                {"kind": "markdownContent", "content": {"value": ", I think."}},
                {
                    "kind": "toolInvocationSerialized",
                    "toolId": "measure",
                    "toolCallId": "t-1",
                    "invocationMessage": "Measuring",
                    "pastTenseMessage": "Measured",
                    "isComplete": True,
                    "resultDetails": {"input": '{"path": "north"}', "output": "nine metres"},
                },
                {"value": "It is."},
            ],
            "result": {"timings": {}},
        },
        {
            "requestId": "request-2",
            "timestamp": 1_750_000_050_000,
            "message": {"text": "And the other?", "parts": []},
            "response": [{"value": "It is"}],
            "isCanceled": True,
        },
    ],
}


def asked(id_: str, text: str, *response: Any) -> dict[str, Any]:
    """A request with its answer."""
    message = {"text": text, "parts": []}
    time = 1_760_000_000_000 + 1_000 * int(id_[-1])
    return {"requestId": id_, "timestamp": time, "message": message, "response": [*response]}


LOG: Final[list[Any]] = [
    {
        "kind": 0,
        "v": {
            "version": 3,
            "sessionId": "session-2",
            "creationDate": 1_760_000_000_000,
            "responderUsername": "GitHub Copilot",
            "requests": [asked("request-1", "Which hill is higher?", {"value": "I look it up. "})],
            "hasPendingEdits": True,
        },
    },
    {"kind": 1, "k": ["customTitle"], "v": "Two hills"},
    {"kind": 2, "k": ["requests", 0, "response"], "v": [{"value": " The east one."}]},
    {"kind": 1, "k": ["requests", 0, "completionTokens"], "v": 12},
    {"kind": 2, "k": ["requests"], "v": [asked("request-2", "And steep?", {"value": "No."})]},
    {"kind": 2, "k": ["requests"], "i": 1, "v": [asked("request-3", "And steeper?")]},
    {"kind": 2, "k": ["requests", 1, "response"], "v": [{"value": "The west one."}]},
    {"kind": 3, "k": ["hasPendingEdits"]},
]
EXAMPLE: Final[list[Any]] = [SESSION, *LOG]
