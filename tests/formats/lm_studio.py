"""A conversation of LM Studio with two versions of an answer, reasoning, a tool and a file."""

from typing import Any, Final


def text(said: str, **fields: Any) -> Any:
    return {"type": "text", "text": said, "fromDraftModel": False, "isStructural": False, **fields}


def block(*parts: Any, **fields: Any) -> Any:
    """A step of an answer."""
    return {"type": "contentBlock", "stepIdentifier": "1-1", "content": list(parts), **fields}


def single(role: str, *parts: Any) -> Any:
    return {"type": "singleStep", "role": role, "content": list(parts)}


def steps(*made: Any) -> Any:
    return {
        "type": "multiStep",
        "role": "assistant",
        "senderInfo": {"senderName": "gardener"},
        "steps": list(made),
    }


def message(*versions: Any, selected: int = 0) -> Any:
    return {"versions": list(versions), "currentlySelected": selected}


INFO: Final = {
    "identifier": "gardener-1",
    "stats": {"promptTokensCount": 12, "predictedTokensCount": 20, "stopReason": "eosFound"},
}
LONG: Final = steps(
    block(text("<think>", isStructural=True), style=None),
    block(text("I have to measure."), style={"type": "thinking", "title": "Thought for 1 second"}),
    block(text("I measure."), genInfo=INFO),
    block(
        {
            "type": "toolCallRequest",
            "callId": 7,
            "toolCallRequestId": "t-1",
            "name": "measure",
            "parameters": {"place": "south"},
            "pluginIdentifier": "mcp/garden",
        }
    ),
    {
        "type": "toolStatus",
        "callId": 7,
        "statusState": {"status": {"type": "toolCallSucceeded", "timeMs": 3}},
    },
    block(
        {
            "type": "toolCallResult",
            "callId": 7,
            "toolCallRequestId": "t-1",
            "content": '[{"type": "text", "text": "seven rows"}]',
        },
        roleOverride="tool",
    ),
    block(text("The northern "), text("one."), genInfo=INFO),
)

EXAMPLE: Final[dict[str, Any]] = {
    "name": "Two beds",
    "pinned": False,
    "createdAt": 1_735_787_040_000,
    "assistantLastMessagedAt": 1_735_787_100_000,
    "tokenCount": 52,
    "systemPrompt": "Answer briefly.",
    "messages": [
        message(
            single(
                "user",
                text("Which bed is larger?"),
                {
                    "type": "file",
                    "fileIdentifier": "1735 - beds.png",
                    "fileType": "image",
                    "sizeBytes": 9,
                },
            )
        ),
        message(steps(block(text("The southern one."))), LONG, selected=1),
        message(single("user", text("Thanks."))),
    ],
    "usePerChatPredictionConfig": True,
    "perChatPredictionConfig": {"fields": []},
    "lastUsedModel": {"identifier": "gardener-2"},
}
