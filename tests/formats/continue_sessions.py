"""A session of Continue with a file as context, a thought, a call and the logged prompts."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "sessionId": "6f1c2f0e-0000-4000-8000-000000000001",
    "title": "Two knots",
    "dateCreated": "1750000000000",
    "workspaceDirectory": "file:///harbour",
    "mode": "agent",
    "history": [
        {
            "message": {
                "role": "user",
                "content": [{"type": "text", "text": "Which knot holds?"}],
                "id": "m-1",
            },
            "contextItems": [
                {
                    "id": {"providerTitle": "file", "itemId": "knots.md"},
                    "name": "knots.md",
                    "description": "harbour/knots.md",
                    "content": "A bowline, a reef knot",
                }
            ],
            "editorState": {"type": "doc", "content": [{"text": "Which knot holds?"}]},
        },
        {"message": {"role": "thinking", "content": "I have to look."}, "contextItems": []},
        {
            "message": {
                "role": "assistant",
                "content": "I look.",
                "toolCalls": [
                    {
                        "id": "call-1",
                        "type": "function",
                        "function": {"name": "read_file", "arguments": '{"path": "knots.md"}'},
                    }
                ],
                "usage": {"prompt_tokens": 40, "completion_tokens": 6},
            },
            "contextItems": [],
            "promptLogs": [
                {"modelTitle": "A model", "prompt": "<user> Which knot holds?", "completion": "I"}
            ],
        },
        {
            "message": {"role": "tool", "content": "A bowline", "toolCallId": "call-1"},
            "contextItems": [],
        },
        {
            "message": {"role": "assistant", "content": "The bowline."},
            "contextItems": [],
            "reasoning": {"active": False, "text": "It does not slip."},
        },
    ],
}
