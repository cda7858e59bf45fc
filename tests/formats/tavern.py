"""A SillyTavern chat with swipes, thoughts, a file and a picture."""

from typing import Any, Final

HEAD: Final[dict[str, Any]] = {
    "user_name": "Ada",
    "character_name": "Baker",
    "create_date": "2024-7-12@01h31m37s",
    "chat_metadata": {"note_prompt": "", "tainted": True},
}


def line(name: str, said: str, date: object, **fields: Any) -> dict[str, Any]:
    """A message, of Ada or of the character."""
    return {
        "name": name,
        "is_user": name == "Ada",
        "is_system": False,
        "send_date": date,
        "mes": said,
        "extra": {},
        **fields,
    }


EXAMPLE: Final[list[dict[str, Any]]] = [
    HEAD,
    line("Baker", "Good morning!", "July 12, 2024 1:31am"),
    line(
        "Ada",
        "Is this rye?",
        "2024-7-12 @01h 32m 50s 500ms",
        extra={"file": {"name": "notes.txt", "url": "/f/notes.txt", "text": "half wheat"}},
    ),
    line(
        "Baker",
        "It is spelt.",
        1_720_748_000_000,
        extra={"model": "mistral", "reasoning": "The crumb is pale.", "token_count": 4},
        swipes=["Perhaps wheat.", "It is spelt."],
        swipe_id=1,
        swipe_info=[
            {"send_date": "July 12, 2024 1:33am", "extra": {"model": "llama"}},
            {"send_date": 1_720_748_000_000, "extra": {"model": "mistral"}},
        ],
    ),
    line("Ada", "Thank you", "2024-07-12T01:35:00.000Z", extra={"image": "/i/loaf.png"}),
]
