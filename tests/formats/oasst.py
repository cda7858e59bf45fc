"""A message tree of OpenAssistant, and trees of every shape."""

from typing import Any, Final

from hypothesis import strategies as st


def node(id_: str, role: str, text: str, *replies: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "message_id": id_,
        "parent_id": None,
        "text": text,
        "role": role,
        "lang": "en",
        "deleted": False,
        "rank": None,
        "created_date": f"2023-02-05T14:23:{len(id_):02}.000+00:00",
        "labels": {"quality": {"value": 0.5, "count": 2}},
        "replies": [{**reply, "parent_id": id_} for reply in replies],
        **fields,
    }


EXAMPLE: Final[dict[str, Any]] = {
    "message_tree_id": "tree-1",
    "tree_state": "ready_for_export",
    "prompt": node(
        "p",
        "prompter",
        "Why is the sea salty?",
        node("a1", "assistant", "It rains.", rank=1, model_name="model-x", synthetic=True),
        node(
            "a2",
            "assistant",
            "Rivers carry salt.",
            node("p21", "prompter", "Which rivers?"),
            node(
                "p22", "prompter", "Always?", node("a221", "assistant", "For long."), deleted=True
            ),
            rank=0,
        ),
    ),
}

_words = st.text(max_size=20)
_ids = st.sampled_from("abcdef")


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    """Flat messages of trees whose parents may be anywhere, or nowhere."""
    roles = st.sampled_from(["prompter", "assistant"])
    nodes = [node(draw(_ids), draw(roles), draw(_words)) for _ in range(draw(st.integers(1, 6)))]
    for each in nodes:
        del each["replies"]
        each |= {"parent_id": draw(st.none() | _ids), "rank": draw(st.none() | st.integers(0, 3))}
    return {"messages": nodes}
