"""A stored reply of OpenAI's Responses with its input, calls of every kind, and reasoning."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "title": "An atlas",
    "created_at": 1_720_000_000,
    "model": "gpt-5",
    "status": "completed",
    "instructions": "Use the atlas.",
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "reasoning": {"effort": "high", "summary": None},
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Which island is this?"},
                {"type": "input_image", "image_url": "https://example.com/island.png"},
            ],
        }
    ],
    "output": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "The coast looks northern."}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "look_up",
            "arguments": '{"coast": "steep"}',
        },
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "call_id": "call_2",
            "name": "sketch",
            "input": "a steep coast",
        },
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "sketched"},
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "four islands"}],
        },
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "steep islands"},
        },
        {
            "type": "file_search_call",
            "id": "fs_1",
            "status": "completed",
            "queries": ["atlas"],
            "results": [{"file_id": "file-1", "filename": "atlas.txt", "text": "page ninety"}],
        },
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "code": "print(2 + 2)",
            "container_id": "cntr_1",
            "outputs": [{"type": "logs", "logs": "4"}],
        },
        {
            "type": "mcp_call",
            "id": "mcp_1",
            "name": "chart",
            "server_label": "sea",
            "arguments": "{}",
            "output": "chart nine",
        },
        {
            "type": "local_shell_call",
            "id": "lsh_1",
            "call_id": "call_3",
            "action": {"type": "exec", "command": ["ls", "charts"], "env": {}},
        },
        {"type": "local_shell_call_output", "id": "call_3", "output": "nine.png"},
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "completed",
            "revised_prompt": "an island from above",
            "result": "aWNvbg==",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "It is the fourth.",
                    "annotations": [{"type": "file_citation", "filename": "atlas.txt", "index": 3}],
                },
                {"type": "refusal", "refusal": "I cannot name its owner."},
            ],
        },
    ],
    "usage": {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70},
}
