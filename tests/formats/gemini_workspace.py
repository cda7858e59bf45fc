"""A chat of Gemini in Google Workspace: a preamble, cards, thoughts and a picture."""

from typing import Any, Final


def turn(kind: str, index: int, **fields: Any) -> dict[str, Any]:
    """A ``user_turn`` or a ``system_turn``."""
    time = f"2026-04-07T15:{index:02}:00.250000+00:00"
    return {kind: {**fields, "turn_index": index, "turn_last_modified": time}}


EXAMPLE: Final[dict[str, Any]] = {
    "title": "Shorter letter",
    "creation_time": "2026-04-07T15:00:00.250000+00:00",
    "last_modification_time": "2026-04-07T15:03:00.250000+00:00",
    "conversation_turns": [
        turn("user_turn", 0, prompt="Shorten my letter"),
        turn(
            "system_turn",
            1,
            text=[{"preamble": "It is half as long.", "data": "Dear Ada, yes."}],
            model_thoughts=[{"headline": "Cutting", "description": "The second half repeats."}],
        ),
        turn("user_turn", 2, prompt="And a stamp?"),
        turn(
            "system_turn",
            3,
            text=[{"cards": [{"content": "Here it is."}]}],
            images=[{"name": "stamp.png", "url": "https://i.example/stamp.png"}],
        ),
    ],
}
