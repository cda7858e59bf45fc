"""UIMessages of the Vercel AI SDK: one of version 4 among newer ones."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "id": "kiln",
    "title": "A kiln",
    "createdAt": "2025-04-01T08:00:00.000Z",
    "messages": [
        {
            "id": "m1",
            "role": "user",
            "createdAt": "2025-04-01T08:00:01.000Z",
            "content": "How hot is the kiln?",
            "parts": [{"type": "text", "text": "How hot is the kiln?"}],
            "experimental_attachments": [
                {
                    "name": "kiln.png",
                    "contentType": "image/png",
                    "url": "https://example.com/kiln.png",
                }
            ],
        },
        {
            "id": "m2",
            "role": "assistant",
            "createdAt": "2025-04-01T08:00:09.000Z",
            "content": "It has a thousand degrees.",
            "reasoning": "The probe knows.",
            "toolInvocations": [
                {
                    "state": "result",
                    "step": 0,
                    "toolCallId": "c1",
                    "toolName": "probe",
                    "args": {"shelf": 1},
                    "result": {"degrees": "thousand"},
                }
            ],
            "parts": [
                {"type": "step-start"},
                {
                    "type": "reasoning",
                    "reasoning": "The probe knows.",
                    "details": [{"type": "text", "text": "The probe knows."}],
                },
                {
                    "type": "tool-invocation",
                    "toolInvocation": {
                        "state": "result",
                        "step": 0,
                        "toolCallId": "c1",
                        "toolName": "probe",
                        "args": {"shelf": 1},
                        "result": {"degrees": "thousand"},
                    },
                },
                {"type": "step-start"},
                {"type": "text", "text": "It has a thousand degrees."},
            ],
        },
        {
            "id": "m3",
            "role": "user",
            "metadata": {"createdAt": 1_743_494_420_000},
            "parts": [
                {
                    "type": "file",
                    "mediaType": "image/png",
                    "filename": "glaze.png",
                    "url": "https://example.com/glaze.png",
                },
                {"type": "text", "text": "And this glaze?"},
            ],
        },
        {
            "id": "m4",
            "role": "assistant",
            "metadata": {
                "createdAt": 1_743_494_430_000,
                "model": "gpt-5",
                "usage": {"inputTokens": 60, "outputTokens": 21},
            },
            "parts": [
                {"type": "step-start"},
                {"type": "reasoning", "text": "Two tables may know it.", "state": "done"},
                {
                    "type": "tool-lookUp",
                    "toolCallId": "c2",
                    "state": "output-error",
                    "input": {"glaze": "celadon"},
                    "errorText": "no such table",
                },
                {
                    "type": "dynamic-tool",
                    "toolName": "ask",
                    "toolCallId": "c3",
                    "state": "output-available",
                    "input": {"glaze": "celadon"},
                    "output": "it melts earlier",
                },
                {"type": "step-start"},
                {
                    "type": "source-url",
                    "sourceId": "s1",
                    "url": "https://example.com/glazes",
                    "title": "Glazes",
                },
                {"type": "data-chart", "data": {"points": [1, 2]}},
                {"type": "text", "text": "It would run off.", "state": "done"},
            ],
        },
    ],
}
