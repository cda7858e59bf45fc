"""Two trees of messages: with ancestors as Hugging Face chat-ui has them, and one in the other."""

from typing import Any, Final


def said(id_: str, speaker: str, content: str, *ancestors: str, **fields: Any) -> Any:
    """A message of chat-ui."""
    return {
        "id": id_,
        "from": speaker,
        "content": content,
        "ancestors": list(ancestors),
        "children": [],
        "createdAt": f"2025-03-04T05:06:0{len(ancestors)}.000Z",
        **fields,
    }


LISTED: Final[dict[str, Any]] = {
    "_id": "chat-1",
    "title": "Two lakes",
    "model": "lake-1",
    "preprompt": "Answer briefly.",
    "rootMessageId": "s",
    "createdAt": "2025-03-04T05:06:00.000Z",
    "messages": [
        said("s", "system", "Answer briefly.", children=["q"]),
        said(
            "q",
            "user",
            "Which lake is deeper?",
            "s",
            children=["a", "b"],
            files=[{"type": "hash", "name": "lakes.png", "value": "f-1", "mime": "image/png"}],
        ),
        said("a", "assistant", "The northern one.", "s", "q", children=["t"]),
        said("b", "assistant", "Both are", "s", "q", interrupted=True, reasoning="Are they?"),
        said("t", "user", "Thanks!", "s", "q", "a"),
    ],
}
NESTED: Final[dict[str, Any]] = {
    "id": "chat-2",
    "messages": [
        {
            "role": "user",
            "content": "Which lake is colder?",
            "children": [
                {"role": "assistant", "content": "The upper one.", "children": []},
                {
                    "role": "assistant",
                    "content": "Neither.",
                    "children": [{"role": "user", "content": "Are you sure?"}],
                },
            ],
        }
    ],
}
EXAMPLE: Final = [LISTED, NESTED]
