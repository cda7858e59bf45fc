"""Contents of the Gemini API with parallel calls, code that was run, files and thoughts."""

from typing import Any, Final


def content(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """A content of these parts."""
    return {"role": role, "parts": list(parts)}


def call(name: str, **given: Any) -> dict[str, Any]:
    """A part that calls a function."""
    return {"functionCall": {"name": name, "args": given}}


def answer(name: str, **response: Any) -> dict[str, Any]:
    """A part that answers a call."""
    return {"functionResponse": {"name": name, "response": response}}


EXAMPLE: Final[dict[str, Any]] = {
    "id": "weather",
    "model": "models/gemini-2.5-pro",
    "system_instruction": {"parts": [{"text": "Answer briefly."}]},
    "tools": [{"functionDeclarations": [{"name": "weather"}]}],
    "contents": [
        content(
            "user",
            {"text": "Which city is warmer?"},
            {"inlineData": {"mimeType": "image/png", "data": "aGk=", "displayName": "map.png"}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://f.example/a"}},
        ),
        content(
            "model",
            {"text": "Both must be asked.", "thought": True},
            call("weather", city="Oslo"),
            call("weather", city="Rome"),
        ),
        content("user", answer("weather", text="cold"), answer("weather", text="warm")),
        content(
            "model",
            {"executableCode": {"language": "PYTHON", "code": "print(21 - 3)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "eighteen"}},
            {"text": "Rome is warmer.", "thoughtSignature": "c2ln"},
        ),
    ],
    "candidates": [
        {
            "content": content("model", {"text": "Anything else?"}),
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3},
}
