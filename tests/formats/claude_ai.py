"""A Claude.ai export with thoughts, a search, an artifact, attachments and a branch."""

from typing import Any, Final

ROOT: Final = "00000000-0000-4000-8000-000000000000"


def message(
    uuid: str, parent: str | None, sender: str, *blocks: dict[str, Any], **fields: Any
) -> dict[str, Any]:
    """A message of these blocks."""
    texts = [block["text"] for block in blocks if block.get("type") == "text"]
    return {
        "uuid": uuid,
        "text": "\n\n".join(texts),
        "content": list(blocks),
        "sender": sender,
        "created_at": f"2025-03-01T08:0{len(uuid)}:00.500000Z",
        "updated_at": "2025-03-01T09:00:00.000000Z",
        "attachments": [],
        "files": [],
        "parent_message_uuid": parent,
        **fields,
    }


def text(said: str, **fields: Any) -> dict[str, Any]:
    """A block of text."""
    times = {"start_timestamp": "2025-03-01T08:01:00Z", "stop_timestamp": "2025-03-01T08:01:01Z"}
    return {**times, "flags": None, "type": "text", "text": said, "citations": [], **fields}


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat of these messages."""
    return {
        "uuid": "c-1",
        "name": "Rye bread",
        "summary": "",
        "created_at": "2025-03-01T08:00:00.000000Z",
        "updated_at": "2025-03-01T09:00:00.000000Z",
        "account": {"uuid": "a-1"},
        "chat_messages": list(messages),
        **fields,
    }


EXAMPLE: Final[list[dict[str, Any]]] = [
    chat(
        message(
            "a",
            ROOT,
            "human",
            text("How wet is this dough?"),
            {
                "type": "injected_prompt_block",
                "prompt": "It is Saturday.",
                "injection_source": "date_note",
            },
            attachments=[
                {
                    "file_name": "recipe.txt",
                    "file_size": 22,
                    "file_type": "txt",
                    "extracted_content": "rye 500 g\nwater 400 g",
                }
            ],
            files=[{"file_uuid": "f-1", "file_name": "loaf.png"}],
        ),
        message(
            "bb",
            "a",
            "assistant",
            {
                "type": "thinking",
                "thinking": "Divide water by flour.",
                "summaries": [{"summary": "Weighing"}],
                "cut_off": False,
            },
            text("Let me look that up."),
            {
                "type": "tool_use",
                "id": None,
                "name": "web_search",
                "input": {"query": "hydration rye"},
                "message": "Searching the web",
                "display_content": {"type": "json_block", "json_block": "{}"},
            },
            {
                "type": "tool_result",
                "tool_use_id": None,
                "name": "web_search",
                "content": [
                    {
                        "type": "knowledge",
                        "title": "On rye",
                        "url": "https://rye.example",
                        "text": "Eighty percent is usual.",
                        "metadata": {"type": "webpage_metadata", "site_name": "Rye"},
                    }
                ],
                "is_error": False,
            },
            text(
                "Eighty percent.",
                citations=[{"uuid": "q", "details": {"type": "web", "url": "https://rye.example"}}],
            ),
            {
                "type": "tool_use",
                "id": "toolu_2",
                "name": "artifacts",
                "input": {"command": "create", "title": "Plan", "content": "# Bake on Sunday"},
            },
            {
                "type": "tool_result",
                "tool_use_id": "toolu_2",
                "name": "artifacts",
                "content": [{"type": "text", "text": "OK", "uuid": "r-1"}],
                "is_error": False,
            },
            {"type": "token_budget", "remaining": 9},
            text="Let me look that up.\n\n```\nThis block is not supported on your current device"
            " yet.\n```\n\nEighty percent.",
        ),
        message("ccc", "a", "assistant", text("Fairly wet.")),
        message("dddd", "bb", "human", text("Thanks")),
    )
]
