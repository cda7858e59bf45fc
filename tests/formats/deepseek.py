"""A DeepSeek export with thoughts, searches, files and a second answer."""

from typing import Any, Final


def node(
    id_: str, parent: str | None, *fragments: dict[str, Any], **message: Any
) -> dict[str, Any]:
    """A node of the tree; without fragments it holds no message."""
    said = {
        "files": [],
        "model": "deepseek-chat",
        "inserted_at": f"2025-04-02T09:10:1{len(id_)}.010000+08:00",
        "fragments": list(fragments),
        **message,
    }
    return {"id": id_, "parent": parent, "children": [], "message": said if fragments else None}


def chat(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chat of these nodes."""
    mapping = {each["id"]: each for each in nodes}
    for each in nodes:
        if each["parent"] in mapping:
            mapping[each["parent"]]["children"].append(each["id"])
    return {
        "id": "d-1",
        "title": "Rain",
        "inserted_at": "2025-04-02T09:10:11.000000+08:00",
        "updated_at": "2025-04-02T09:12:11.000000+08:00",
        "mapping": mapping,
        **fields,
    }


def said(kind: str, content: str) -> dict[str, Any]:
    """A fragment of text."""
    return {"type": kind, "content": content}


EXAMPLE: Final[list[dict[str, Any]]] = [
    chat(
        node("root", None),
        node(
            "1",
            "root",
            {
                "type": "FILE",
                "files": [{"file_id": "f-1", "file_name": "sky.pdf", "file_size": 9}],
            },
            said("REQUEST", "Why does it rain?"),
            files=[{"id": "f-1", "file_name": "sky.pdf"}],
        ),
        node(
            "22",
            "1",
            said("THINK", "Vapour comes first."),
            {
                "type": "SEARCH",
                "results": [
                    {
                        "url": "https://w.example",
                        "title": "Rain",
                        "snippet": "Clouds cool.",
                        "cite_index": 1,
                        "published_at": 1718582400.0,
                    }
                ],
            },
            said("RESPONSE", "Because clouds cool."),
            model="deepseek-reasoner",
        ),
        node(
            "3",
            "1",
            {"type": "TOOL_SEARCH", "queries": [{"query": "gravity"}], "results": []},
            {"type": "TOOL_OPEN", "url": "https://g.example", "result": {"title": "Gravity"}},
            said("RESPONSE", "Because of gravity."),
            said("TIP", "Made by a machine."),
        ),
        node("444", "22", said("REQUEST", "Where?")),
    )
]
