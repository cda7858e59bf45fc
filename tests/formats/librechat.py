"""A LibreChat export with two answers, reasoning, tools, files and a quote."""

from typing import Any

NO_PARENT = "00000000-0000-0000-0000-000000000000"


def said(id_: str, parent: str, text: str, *, is_user: bool = False, **fields: Any) -> Any:
    """A message of an export."""
    return {
        "messageId": id_,
        "parentMessageId": parent,
        "conversationId": "tea-1",
        "isCreatedByUser": is_user,
        "sender": "User" if is_user else "Brewer",
        "text": text,
        "createdAt": f"2025-01-02T03:04:0{len(id_)}.000Z",
        **fields,
    }


QUESTION = said(
    "q",
    NO_PARENT,
    "How hot should the water be?",
    is_user=True,
    tokenCount=7,
    quotes=["green tea\nfrom Uji"],
    files=[
        {
            "file_id": "f-1",
            "filename": "leaf.png",
            "filepath": "/images/leaf.png",
            "type": "image/png",
        },
        {
            "file_id": "f-2",
            "filename": "notes.txt",
            "filepath": "/files/notes.txt",
            "type": "text/plain",
            "text": "Steep briefly.",
        },
    ],
)
ANSWER = said(
    "aa",
    "q",
    "",
    model="brewer-1",
    tokenCount=21,
    content=[
        {"type": "think", "think": "Green, so not boiling."},
        None,
        {"type": "text", "text": "I look it up.", "tool_call_ids": ["t-1"]},
        {
            "type": "tool_call",
            "tool_call": {
                "id": "t-1",
                "type": "tool_call",
                "name": "lookup",
                "args": {"leaf": "green"},
                "output": "75 to 80",
                "progress": 1,
            },
        },
        {"type": "text", "text": {"value": "Between 75 and 80 degrees.", "annotations": []}},
        {
            "type": "image_file",
            "image_file": {
                "file_id": "f-3",
                "filename": "cup.webp",
                "filepath": "/images/cup.webp",
            },
        },
    ],
)
OTHER = said("bbb", "q", "Not too hot.", unfinished=True, model="brewer-0")
THANKS = said("dddd", "aa", "Thanks!", is_user=True)

EXAMPLE = {
    "conversationId": "tea-1",
    "endpoint": "agents",
    "title": "Water for tea",
    "exportAt": "10:11:12 GMT+0100",
    "branches": True,
    "recursive": False,
    "options": {"promptPrefix": "Be brief."},
    "messages": [QUESTION, ANSWER, THANKS, OTHER],
}
