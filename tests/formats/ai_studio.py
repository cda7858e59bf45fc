"""A prompt file of Google AI Studio with files, thoughts, code that was run and sources."""

from typing import Any, Final


def prompt(*chunks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A prompt file of these chunks."""
    return {
        "runSettings": {"temperature": 1.0, "model": "models/gemini-2.5-pro", "topP": 0.95},
        "systemInstruction": {"text": "Answer briefly."},
        "chunkedPrompt": {"chunks": list(chunks), "pendingInputs": [{"text": "", "role": "user"}]},
        **fields,
    }


EXAMPLE: Final[list[dict[str, Any]]] = [
    prompt(
        {"driveDocument": {"id": "1AbC"}, "role": "user", "tokenCount": 258},
        {
            "text": "Which is the larger sum?",
            "role": "user",
            "tokenCount": 6,
            "createTime": "2025-09-01T08:00:00.000Z",
        },
        {
            "text": "Adding helps here.",
            "role": "model",
            "isThought": True,
            "tokenCount": 5,
            "parts": [
                {"text": "Adding helps ", "thought": True},
                {"text": "here.", "thought": True},
            ],
        },
        {"executableCode": {"language": "PYTHON", "code": "print(2 + 2)"}, "role": "model"},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "four"}, "role": "model"},
        {
            "text": "The second one.",
            "role": "model",
            "finishReason": "STOP",
            "tokenCount": 4,
            "createTime": "2025-09-01T08:00:05.000Z",
            "parts": [{"text": "The second "}, {"text": "one."}],
            "grounding": {
                "webSearchQueries": ["larger sum"],
                "groundingSources": [{"title": "Sums", "uri": "https://s.example"}],
            },
            "branchChildren": [{"promptId": "prompts/2", "displayName": "Branch"}],
        },
        {"inlineImage": {"mimeType": "image/png", "data": "aGk="}, "role": "user"},
        {"text": "And this one?", "role": "user"},
        {"errorMessage": "An internal error has occurred.", "role": "model"},
    )
]
