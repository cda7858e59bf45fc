"""Rows of instruction and preference data sets, and rows of every shape."""

from typing import Any, Final

from hypothesis import strategies as st


def said(role: str, content: str, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


EXAMPLE: Final[list[dict[str, Any]]] = [
    {
        "id": "row-00001",
        "system": "You bake.",
        "history": [["Which flour?", "Wheat."], ["How much?", "A pound."]],
        "instruction": "Name the next step.",
        "input": "The dough has risen.<image>",
        "output": "Knead it again.",
        "images": ["dough.jpg"],
        "thinking": "It comes after rising.",
        "created_at": "2025-01-02T03:04:05Z",
    },
    {
        "prompt_id": "prompt-00002",
        "prompt": [said("system", "You bake."), said("user", "Which oven?")],
        "chosen": [
            said("assistant", "A stone oven."),
            said("user", "Why?"),
            said("assistant", "It is even."),
        ],
        "rejected": [said("assistant", "A microwave.")],
        "score_chosen": 9.0,
    },
    {"question": "How hot?", "context": "Bread in a stone oven.", "answer": "250 degrees."},
    {
        "prompt": "Is it done?",
        "completions": ["Knock on it.", "It sounds hollow."],
        "labels": [True, True],
    },
]

_words = st.text(min_size=1, max_size=20)
_turns = st.lists(
    st.builds(said, st.sampled_from(["user", "assistant"]), _words), min_size=1, max_size=3
)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """Rows with columns of every name, and answers as texts or as messages."""
    question = draw(st.sampled_from(["instruction", "prompt", "question", "query"]))
    row: dict[str, Any] = {question: draw(_words | _turns)}
    if draw(st.booleans()):
        row |= {"chosen": draw(_words | _turns), "rejected": draw(_words | _turns)}
    else:
        row[draw(st.sampled_from(["output", "response", "completion"]))] = draw(_words | _turns)
    for key in draw(st.sets(st.sampled_from(["input", "system", "context", "thinking"]))):
        row[key] = draw(_words)
    if draw(st.booleans()):
        row["history"] = draw(st.lists(st.lists(_words, min_size=2, max_size=2), max_size=2))
    return row
