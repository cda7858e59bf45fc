"""A conversation of big-AGI with fragments of each kind, and one of the time before them."""

from typing import Any, Final


def content(kind: str, **fields: Any) -> Any:
    """A fragment of what was said."""
    return {"ft": "content", "fId": "x", "part": {"pt": kind, **fields}}


def said(id_: str, role: str, *fragments: Any, **fields: Any) -> Any:
    """A message of a conversation."""
    created = 1_740_000_000_000 + 1_000 * len(id_)
    about = {"tokenCount": 9, "created": created, "updated": created}
    return {"id": id_, "role": role, "fragments": list(fragments), **about, **fields}


DOCUMENT: Final = {
    "ft": "attachment",
    "fId": "y",
    "title": "trees.txt",
    "caption": "File",
    "created": 1_740_000_000_000,
    "part": {
        "pt": "doc",
        "vdt": "text/plain",
        "data": {"idt": "text", "text": "Oak: nine metres."},
        "ref": "trees",
        "l1Title": "trees.txt",
    },
}
PICTURE: Final = {
    "ft": "attachment",
    "fId": "z",
    "title": "oak.png",
    "part": {
        "pt": "reference",
        "rt": "zync",
        "zType": "asset",
        "zUuid": "u-1",
        "assetType": "image",
    },
}
CHAT: Final[dict[str, Any]] = {
    "id": "chat-1",
    "userTitle": "Two trees",
    "autoTitle": "Comparing trees",
    "systemPurposeId": "Generic",
    "created": 1_740_000_000_000,
    "updated": 1_740_000_009_000,
    "messages": [
        said("a", "system", content("text", text="Answer briefly."), purposeId="Generic"),
        said("bb", "user", content("text", text="Which tree is taller?"), DOCUMENT, PICTURE),
        said(
            "ccc",
            "assistant",
            {"ft": "void", "fId": "v", "part": {"pt": "ma", "aType": "reasoning", "aText": "Hm."}},
            content("text", text="I measure."),
            content(
                "tool_invocation",
                id="t-1",
                invocation={"type": "function_call", "name": "measure", "args": '{"tree": "oak"}'},
            ),
            content(
                "tool_response",
                id="t-1",
                error=False,
                response={"type": "function_call", "name": "measure", "result": "nine metres"},
                environment="client",
            ),
            content("text", text="The oak."),
            generator={
                "mgt": "aix",
                "name": "tree-1",
                "aix": {"vId": "anthropic", "mId": "anthropic-tree-1"},
                "metrics": {"TIn": 100, "TCacheRead": 20, "TOut": 7},
                "tokenStopReason": "client-abort",
            },
        ),
    ],
}
OLDER: Final[dict[str, Any]] = {
    "id": "chat-2",
    "autoTitle": "Leaves",
    "systemPurposeId": "Generic",
    "created": 1_700_000_000_000,
    "messages": [
        {
            "id": "d",
            "role": "user",
            "sender": "You",
            "text": "Why green?",
            "created": 1_700_000_000_000,
        },
        {"id": "e", "role": "assistant", "text": "Chlorophyll.", "originLLM": "gpt-4"},
    ],
}
EXAMPLE: Final = {
    "conversations": [CHAT, OLDER],
    "models": {"sources": [{"id": "openai", "vId": "openai"}]},
    "folders": {"folders": [], "enableFolders": False},
}
