"""A Grok export with thoughts, a search, pictures, files and a second answer."""

import json
from typing import Any, Final


def response(
    id_: str, parent: str | None, sender: str, message: str, **fields: Any
) -> dict[str, Any]:
    """A response in the object around it."""
    said = {
        "_id": id_,
        "conversation_id": "g-1",
        "message": message,
        "sender": sender,
        "create_time": {"$date": {"$numberLong": str(1_746_093_600_000 + 1_000 * len(id_))}},
        "metadata": {},
        "model": "grok-4",
        **({"parent_response_id": parent} if parent else {}),
        **fields,
    }
    return {"response": said, "share_link": None}


def chat(*responses: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat of these responses."""
    conversation = {
        "id": "g-1",
        "user_id": "u-1",
        "title": "Mars",
        "create_time": "2025-05-01T10:00:00.000000Z",
        "modify_time": "2025-05-01T10:05:00.000000Z",
        "starred": False,
        **fields,
    }
    return {"conversation": conversation, "responses": list(responses)}


def card(id_: str, tool: str, given: str) -> str:
    """A call, as a step has it."""
    return (
        f"<xai:tool_usage_card><xai:tool_usage_card_id>{id_}</xai:tool_usage_card_id>"
        f"<xai:tool_name>{tool}</xai:tool_name>"
        f"<xai:tool_args><![CDATA[{given}]]></xai:tool_args></xai:tool_usage_card>"
    )


def export(*chats: dict[str, Any]) -> dict[str, Any]:
    """A file of these chats."""
    return {"conversations": list(chats), "projects": [], "tasks": [], "media_posts": []}


IMAGE: Final = json.dumps(
    {
        "id": "k",
        "cardType": "image_card",
        "image": {"original": "https://i.example/red.png", "title": "Red"},
    }
)
EXAMPLE: Final[list[dict[str, Any]]] = [
    chat(
        response("a", None, "human", "Why is Mars red?", file_attachments=["asset-1"]),
        response(
            "bb",
            "a",
            "ASSISTANT",
            "Because of rust.",
            thinking_trace="Iron comes to mind.",
            agent_thinking_traces=[{"agent_id": "one", "thinking_trace": "Look it up."}],
            steps=[
                {
                    "tag_order": ["header", "tool_usage_card"],
                    "tagged_text": {
                        "header": "Searching the sky",
                        "tool_usage_card": card("t-1", "web_search", '{"query": "mars colour"}'),
                    },
                    "tool_usage_results": [
                        {"tool_usage_card_id": "t-1", "text": "Iron oxide covers it."}
                    ],
                    "web_search_results": [{"url": "https://m.example", "title": "Mars"}],
                }
            ],
            web_search_results=[
                {"url": "https://m.example", "title": "Mars", "preview": "Iron oxide"}
            ],
            generated_image_urls=["https://i.example/mars.png"],
            card_attachments_json=[IMAGE],
        ),
        response("ccc", "a", "grok-3", "Dust."),
        leaf_response_id="bb",
    )
]
