"""Two exports of LobeChat: its tables as later versions write them, and the older ones."""

from typing import Any, Final


def row(id_: str, role: str, content: str, **fields: Any) -> Any:
    """A message of a later export."""
    return {
        "id": id_,
        "role": role,
        "content": content,
        "sessionId": "ses-1",
        "topicId": "top-1",
        "threadId": None,
        "parentId": None,
        "createdAt": f"2025-01-02T03:04:0{len(id_)}.000Z",
        **fields,
    }


def tool(id_: str, place: str) -> Any:
    return {
        "id": id_,
        "identifier": "garden",
        "apiName": "measure",
        "arguments": f'{{"place": "{place}"}}',
        "type": "builtin",
    }


MESSAGES: Final = [
    row("dddd", "tool", "seven rows", parentId="bb"),
    row("a", "user", "Which bed is larger?"),
    row(
        "bb",
        "assistant",
        "I measure both.",
        parentId="a",
        model="gardener-1",
        provider="local",
        reasoning={"content": "Two calls.", "duration": 900},
        tools=[tool("t-1", "north"), tool("t-2", "south")],
        metadata={"totalInputTokens": 12, "totalOutputTokens": 40, "tps": 9.5},
    ),
    row("ccc", "tool", "nine rows", parentId="bb"),
    row("eeeee", "assistant", "The northern one.", parentId="dddd", model="gardener-1"),
    row("ffffff", "user", "Thanks.", parentId="eeeee"),
    row("ggggggg", "user", "And the third?", threadId="thr-1", parentId="bb"),
    row("hhhhhhhh", "assistant", "There is none.", threadId="thr-1", parentId="ggggggg"),
    row("iiiiiiiii", "user", "Water them.", topicId=None),
]
TABLES: Final = {
    "messages": MESSAGES,
    "messagePlugins": [
        {"id": "ccc", "toolCallId": "t-1", "identifier": "garden", "apiName": "measure"},
        {
            "id": "dddd",
            "toolCallId": "t-2",
            "identifier": "garden",
            "apiName": "measure",
            "state": {"text": "Measured twice."},
        },
    ],
    "messageTranslates": [{"id": "eeeee", "content": "Das nördliche.", "to": "de"}],
    "messagesFiles": [{"messageId": "a", "fileId": "f-1"}],
    "files": [{"id": "f-1", "name": "beds.png", "fileType": "image/png", "url": "files/beds.png"}],
    "topics": [
        {
            "id": "top-1",
            "title": "Two beds",
            "sessionId": "ses-1",
            "createdAt": "2025-01-02T03:04:00.000Z",
            "updatedAt": "2025-01-02T04:00:00.000Z",
        }
    ],
    "sessions": [{"id": "ses-1", "title": "Gardener", "slug": "inbox"}],
    "threads": [{"id": "thr-1", "topicId": "top-1", "sourceMessageId": "bb", "title": "Third"}],
    "userSettings": [{"id": "u-1", "keyVaults": "secret"}],
}
OLD: Final = {
    "exportType": "sessions",
    "version": 7,
    "state": {
        "messages": [
            {
                "id": "m-1",
                "role": "user",
                "content": "Is it ripe?",
                "files": ["file-1"],
                "sessionId": "inbox",
                "topicId": "t-9",
                "createdAt": 1_710_649_845_534,
                "meta": {},
            },
            {
                "id": "m-2",
                "role": "assistant",
                "content": "...",
                "parentId": "m-1",
                "sessionId": "inbox",
                "topicId": "t-9",
                "createdAt": 1_710_649_845_605,
                "error": {"type": "Failed", "message": "No answer came", "body": {}},
                "extra": {"fromModel": "gardener-0", "fromProvider": "local"},
            },
        ],
        "topics": [{"id": "t-9", "title": "Ripe?", "sessionId": "inbox"}],
        "sessions": [],
    },
}

EXAMPLE: Final[list[Any]] = [{"data": TABLES, "mode": "postgres", "schemaHash": "x"}, OLD]
