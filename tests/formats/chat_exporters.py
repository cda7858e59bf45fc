"""A chat as browser extensions save it."""

from typing import Any, Final

EXAMPLE: Final[dict[str, Any]] = {
    "metadata": {
        "title": "Figs",
        "user": {"name": "Ada", "email": "ada@example.com"},
        "dates": {
            "created": "12/14/2025 2:35:19",
            "updated": "12/20/2025 8:00:00",
            "exported": "12/21/2025 8:00:00",
        },
        "link": "https://chatgpt.com/c/fig-1?model=x",
        "powered_by": "ChatGPT Exporter (https://www.chatgptexporter.com)",
    },
    "messages": [
        {"role": "Prompt", "say": "Are figs fruit?", "time": "12/14/2025 2:35:19"},
        {
            "role": "Response",
            "say": "**Strictly**, they are flowers.",
            "time": "2025/12/14 2:35:25",
        },
        {"role": "Prompt", "say": "Really?"},
    ],
}
