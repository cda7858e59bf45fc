"""A session of Gemini CLI with thoughts, calls, tokens, and a step back."""

from typing import Any, Final


def said(id_: str, kind: str, content: Any, **fields: Any) -> Any:
    """A message of a session."""
    time = f"2025-08-01T10:00:0{len(id_)}.000Z"
    return {"id": id_, "timestamp": time, "type": kind, "content": content, **fields}


ABOUT: Final[dict[str, Any]] = {
    "sessionId": "session-1",
    "projectHash": "5f2c",
    "startTime": "2025-08-01T10:00:00.000Z",
    "lastUpdated": "2025-08-01T10:05:00.000Z",
    "summary": "Two ponds",
}
ANSWER: Final = said(
    "bb",
    "gemini",
    "I look.",
    model="gemini-2.5-pro",
    thoughts=[{"subject": "Ponds", "description": "I have to look.", "timestamp": "x"}],
    tokens={"input": 90, "output": 7, "cached": 0, "total": 97},
    toolCalls=[
        {
            "id": "look-1",
            "name": "look",
            "args": {"pond": "upper"},
            "result": [
                {
                    "functionResponse": {
                        "id": "look-1",
                        "name": "look",
                        "response": {"output": "four metres"},
                    }
                }
            ],
            "status": "success",
            "displayName": "Look",
            "resultDisplay": "4 m",
        }
    ],
)
PICTURE: Final = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
LINES: Final[list[Any]] = [
    ABOUT,
    said("a", "user", [{"text": "Which pond is deeper?"}, PICTURE]),
    said("bb", "gemini", "I"),
    ANSWER,
    said("ccc", "gemini", "The upper one."),
    said("dddd", "user", "And colder?"),
    {"$rewindTo": "dddd"},
    said("eeeee", "user", "And warmer?"),
    said("ffffff", "info", "The model was changed."),
    {"$set": {"lastUpdated": "2025-08-01T10:06:00.000Z"}},
]
PROMPT: Final[dict[str, Any]] = {
    "sessionId": "session-1",
    "messageId": 0,
    "type": "user",
    "message": "Which pond is deeper?",
    "timestamp": "2025-08-01T10:00:01.000Z",
}
EXAMPLE: Final = LINES
