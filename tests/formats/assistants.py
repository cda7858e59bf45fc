"""A thread with its messages, newest first, and a step of the run that used tools."""

from typing import Any, Final


def _said(number: int, role: str, content: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "id": f"msg_{number}",
        "object": "thread.message",
        "created_at": 1_710_000_000 + number,
        "thread_id": "thread_1",
        "role": role,
        "content": content,
        **fields,
    }


EXAMPLE: Final[dict[str, Any]] = {
    "thread": {
        "id": "thread_1",
        "object": "thread",
        "created_at": 1_709_999_999,
        "metadata": {"title": "A bridge"},
    },
    "messages": {
        "object": "list",
        "data": [
            _said(
                9,
                "assistant",
                [
                    {
                        "type": "text",
                        "text": {
                            "value": "It bears nine tons [1].",
                            "annotations": [
                                {
                                    "type": "file_citation",
                                    "text": "[1]",
                                    "file_citation": {"file_id": "file-1"},
                                }
                            ],
                        },
                    }
                ],
                assistant_id="asst_1",
                run_id="run_1",
                status="completed",
            ),
            _said(
                1,
                "user",
                [
                    {"type": "text", "text": {"value": "What does it bear?", "annotations": []}},
                    {"type": "image_file", "image_file": {"file_id": "file-2"}},
                ],
                attachments=[{"file_id": "file-1", "tools": [{"type": "file_search"}]}],
            ),
        ],
        "first_id": "msg_9",
        "last_id": "msg_1",
        "has_more": False,
    },
    "runs": [{"id": "run_1", "object": "thread.run", "model": "gpt-4o", "status": "completed"}],
    "run_steps": [
        {
            "id": "step_2",
            "object": "thread.run.step",
            "run_id": "run_1",
            "thread_id": "thread_1",
            "created_at": 1_710_000_008,
            "type": "message_creation",
            "step_details": {
                "type": "message_creation",
                "message_creation": {"message_id": "msg_9"},
            },
            "usage": {"prompt_tokens": 50, "completion_tokens": 8, "total_tokens": 58},
        },
        {
            "id": "step_1",
            "object": "thread.run.step",
            "run_id": "run_1",
            "thread_id": "thread_1",
            "created_at": 1_710_000_005,
            "type": "tool_calls",
            "status": "completed",
            "step_details": {
                "type": "tool_calls",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {
                            "name": "weigh",
                            "arguments": '{"beam": 1}',
                            "output": "four tons a side",
                        },
                    },
                    {
                        "id": "call_2",
                        "type": "code_interpreter",
                        "code_interpreter": {
                            "input": "print(4.5 * 2)",
                            "outputs": [{"type": "logs", "logs": "nine"}],
                        },
                    },
                ],
            },
            "usage": {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42},
        },
    ],
}
