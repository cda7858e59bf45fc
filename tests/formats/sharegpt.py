"""ShareGPT chats in the spellings of data sets, and chats of every shape."""

import json
from typing import Any, Final

from hypothesis import strategies as st


def turn(who: str, value: object, **fields: Any) -> dict[str, Any]:
    return {"from": who, "value": value, **fields}


def named(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


EXAMPLE: Final[list[dict[str, Any]]] = [
    {
        "id": "s-1",
        "system": "Answer briefly.",
        "tools": '[{"name": "measure"}]',
        "images": ["maps/north.png", {"path": "south.png", "bytes": None}],
        "conversations": [
            turn("human", "<image>Which orchard is larger?<image>"),
            turn("function_call", json.dumps(named("measure", a="north"))),
            turn("function_call", json.dumps(named("measure", a="south"))),
            turn("observation", "nine hectares"),
            turn("observation", "seven hectares"),
            turn("gpt", "The northern one."),
            turn("human", "And both together?", weight=0.5),
            turn("function_call", json.dumps([named("add", a=9, b=7), named("tell", to="me")])),
            turn("observation", "sixteen"),
            turn("observation", "told"),
            turn(
                "gpt",
                '<tool_call>{"name": "round", "arguments": {}}</tool_call>It is rounded.',
            ),
            turn("tool", "<tool_response>twenty</tool_response>"),
        ],
        "chosen": turn("gpt", "Sixteen hectares."),
        "rejected": turn("gpt", "I cannot add."),
    },
    {
        "conversation_id": "s-2",
        "model": "model-x",
        "conversation": [
            {"role": "user", "content": [{"type": "text", "value": "Which pear?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "reasoning", "value": "I look it up."},
                    {"type": "tool_call", "value": json.dumps(named("find", fruit="pear"))},
                ],
                "loss_weight": 1.0,
            },
            {
                "role": "tool",
                "content": [{"type": "text", "value": "Conference"}],
                "timestamp": 1_699_999_999,
            },
            {"role": "assistant", "content": "The Conference.", "timestamp": 1_700_000_000},
        ],
    },
    {"id": "s-3", "data": ["Which plum?", "The Victoria.", "Why?"]},
    {"id": "s-4", "conversation": [{"system": "Be kind.", "input": "Hi", "output": "Hello"}]},
]

_words = st.text(max_size=20)
_turns = st.one_of(
    st.builds(turn, st.sampled_from(["human", "gpt", "system", "tool", "Gandalf"]), _words),
    st.builds(lambda words: turn("function_call", json.dumps([named("look", at=words)])), _words),
    st.builds(lambda words: turn("gpt", f"<tool_call>{words}</tool_call>{words}"), _words),
    st.builds(lambda words: {"role": "assistant", "content": words, "thinking": words}, _words),
    st.builds(
        lambda words: {"role": "user", "content": [{"type": "text", "value": words}]}, _words
    ),
)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """Chats of turns of every spelling, some with answers to choose from and with pictures."""
    chat: dict[str, Any] = {
        "conversations": [turn("human", "Hi"), *draw(st.lists(_turns, max_size=6))]
    }
    if draw(st.booleans()):
        chat |= {"chosen": draw(_turns), "rejected": draw(_turns)}
    if draw(st.booleans()):
        chat["images"] = draw(st.lists(st.sampled_from(["a.png", "b.png"])))
    return chat
