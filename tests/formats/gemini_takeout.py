"""Google Takeout's activity of Gemini: chats, drafts, a picture, a canvas and a feedback."""

from typing import Any, Final


def record(title: str, minute: int, *answers: str, chat: str = "ab12", **fields: Any) -> Any:
    """A record of activity; without ``chat`` it names none."""
    address = f"https://gemini.google.com/app/{chat}"
    return {
        "header": "Gemini Apps",
        "title": title,
        "time": f"2026-01-15T10:{minute:02}:00.500Z",
        "products": ["Gemini Apps"],
        "activityControls": ["Gemini Apps Activity"],
        **({"details": [{"name": address, "url": address}]} if chat else {}),
        **({"safeHtmlItem": [{"html": html} for html in answers]} if answers else {}),
        **fields,
    }


EXAMPLE: Final[list[dict[str, Any]]] = [
    record("Gave feedback: Good response", 33),
    record("Created Gemini Canvas titled Tea", 33, subtitles=[{"name": "1. Boil"}], chat="ef56"),
    record("Prompted A third chat?", 32, "<p>Yes.</p>", chat=""),
    record(
        "Prompted And tea?",
        31,
        "<p>Steep <b>three</b> minutes.</p><ul><li>Not more</li></ul>",
        subtitles=[
            {"name": "Attached 2 files."},
            {"name": "-  cup.png", "url": "cup-1.png"},
            {"name": "-  notes.txt", "url": "notes-1.txt"},
            {"name": "Brewer was used in this chat.", "url": "https://gemini.google.com/gems/1"},
        ],
        imageFile="cup-1.png",
        attachedFiles=["cup-1.png", "notes-1.txt"],
    ),
    record("Prompted Who wrote Faust?", 30, "<p>Goethe.</p>", chat="cd34"),
    record("Prompted How hot is coffee?", 29, "<p>Ninety degrees.</p>", "<p>Quite hot.</p>"),
]
