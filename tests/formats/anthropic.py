"""Anthropic messages with calls of the program's tools and of Anthropic's own, and documents."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "id": "harbour",
    "title": "A harbour in winter",
    "created_at": "2024-03-01T09:00:00Z",
    "model": "claude-4",
    "system": [{"type": "text", "text": "Speak like a pilot.", "cache_control": {"type": "x"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": "https://example.com/pier.png"}},
                {
                    "type": "document",
                    "title": "Tides",
                    "source": {"type": "text", "media_type": "text/plain", "data": "High at noon."},
                },
                {"type": "text", "text": "Is the harbour frozen?"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Two gauges know it.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "aGlkZGVu"},
                {"type": "text", "text": "I shall ask both gauges."},
                {"type": "tool_use", "id": "toolu_1", "name": "gauge", "input": {"pier": 1}},
                {"type": "tool_use", "id": "toolu_2", "name": "gauge", "input": {"pier": 2}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "minus four"},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [{"type": "text", "text": "the gauge is broken"}],
                },
                {"type": "text", "text": "Also ask the almanac."},
            ],
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-4-large",
            "content": [
                {
                    "type": "server_tool_use",
                    "id": "srvtoolu_1",
                    "name": "web_search",
                    "input": {"query": "ice almanac"},
                },
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_1",
                    "content": [
                        {
                            "type": "web_search_result",
                            "title": "Ice in harbours",
                            "url": "https://example.com/ice",
                            "encrypted_content": "ZW5j",
                            "page_age": None,
                        }
                    ],
                },
                {
                    "type": "text",
                    "text": "It is frozen at the second pier.",
                    "citations": [
                        {
                            "type": "web_search_result_location",
                            "cited_text": "ice since January",
                            "url": "https://example.com/ice",
                            "title": "Ice in harbours",
                        }
                    ],
                },
                {
                    "type": "mcp_tool_use",
                    "id": "mcptoolu_1",
                    "name": "log",
                    "server_name": "harbour",
                    "input": {"entry": "frozen"},
                },
                {
                    "type": "mcp_tool_result",
                    "tool_use_id": "mcptoolu_1",
                    "is_error": False,
                    "content": [{"type": "text", "text": "entry seven"}],
                },
                {"type": "text", "text": "It is in the log."},
            ],
            "stop_reason": "max_tokens",
            "stop_sequence": None,
            "usage": {"input_tokens": 120, "output_tokens": 34, "cache_read_input_tokens": 0},
        },
    ],
}
