"""A chat of GitHub Copilot with a thought, a call, a reference and an answer that was stopped."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
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
