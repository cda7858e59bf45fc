"""An Open WebUI export with the answers of two models, a file and an error."""

from typing import Any, Final

from tests.chat_files import open_webui, reply

EXAMPLE: Final[list[dict[str, Any]]] = [
    open_webui(
        [
            reply("q", None, "user", "What is a plum?", files=[{"type": "file", "name": "p.pdf"}]),
            reply("a", "q", "assistant", "A stone fruit.", model="one", modelIdx=0),
            reply("b", "q", "assistant", "A kind of cherry.", model="two", modelIdx=1),
            reply("r", "a", "user", "Is it sweet?"),
            reply("s", "r", "assistant", "", error={"content": "Out of plums"}, done=True),
        ]
    )
]
