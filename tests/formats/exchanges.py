"""A logged request with two replies, of which the first is the shown one."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "custom_id": "ledger-7",
    "timestamp": "2024-05-02T10:00:00Z",
    "request": {
        "model": "gpt-5",
        "temperature": 0,
        "messages": [
            {"role": "System", "content": "Answer in one word."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Is the ledger balanced?"},
                    {"type": "input_file", "filename": "ledger.pdf", "file_id": "file-1"},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "audit", "arguments": '{"year": 2023}'},
            },
            {"role": "function", "name": "audit", "content": "a difference of three"},
        ],
    },
    "response": {
        "status_code": 200,
        "request_id": "req-1",
        "body": {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_714_644_005,
            "model": "gpt-5-2024-08",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {
                        "role": "assistant",
                        "content": "Hardly.",
                        "reasoning_content": "Three are missing.",
                    },
                },
                {
                    "index": 1,
                    "finish_reason": "length",
                    "message": {"role": "assistant", "content": "Almost."},
                },
            ],
            "usage": {"prompt_tokens": 41, "completion_tokens": 3, "total_tokens": 44},
        },
    },
}
