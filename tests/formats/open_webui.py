"""Open WebUI exports: the answers of two models and a merged one, and what each version writes."""

import html
import json
from typing import Any, Final

from tests.chat_files import open_webui, reply

OUTPUT: Final[list[dict[str, Any]]] = [
    {
        "type": "reasoning",
        "id": "r-1",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Ripe\nor not?"}],
        "summary": None,
        "start_tag": "<think>",
        "end_tag": "</think>",
        "duration": 3,
    },
    {
        "type": "message",
        "id": "msg-1",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "I look "},
            {"type": "output_text", "text": "it up."},
        ],
    },
    {
        "type": "function_call",
        "id": "fc-1",
        "call_id": "call-1",
        "name": "search",
        "arguments": '{"fruit": "plum"}',
        "status": "completed",
    },
    {
        "type": "function_call_output",
        "id": "fco-1",
        "call_id": "call-1",
        "output": [{"type": "input_text", "text": '"Ripe" plums\nare soft.'}],
        "status": "completed",
        "files": [{"type": "image", "url": "/files/plum.png"}],
        "embeds": ["<p>Plums</p>"],
    },
    {
        "type": "open_webui:code_interpreter",
        "id": "ci-1",
        "lang": "python",
        "code": "print(7 * 6)",
        "output": {"stdout": "42\n", "stderr": "", "result": ""},
        "status": "completed",
        "duration": 1,
    },
    {
        "type": "message",
        "id": "msg-2",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Soft ones are ripe."}],
    },
]


def _json(value: object) -> str:
    return html.escape(json.dumps(value))


MARKUP: Final = (
    '<details type="reasoning" done="true" duration="3">\n'
    "<summary>Thought for 3 seconds</summary>\n"
    "&gt; Ripe\n&gt; or not?\n</details>\n"
    "I look it up.\n"
    '<details type="tool_calls" done="true" id="call-1" name="search" '
    f'arguments="{_json(json.dumps({"fruit": "plum"}))}" '
    f'result="{_json(chr(34) + "Ripe" + chr(34) + " plums" + chr(10) + "are soft.")}" '
    f'files="{_json([{"type": "image", "url": "/files/plum.png"}])}" '
    f'embeds="{_json(["<p>Plums</p>"])}">\n'
    "<summary>Tool Executed</summary>\n</details>\n"
    '<details type="code_interpreter" done="true" duration="1" '
    f'output="{_json({"stdout": "42" + chr(10), "stderr": "", "result": ""})}">\n'
    "<summary>Analyzed</summary>\n```python\nprint(7 * 6)\n```\n</details>\n"
    "Soft ones are ripe."
)
"""The same answer as versions before 0.10 have written it."""

PDF: Final = {
    "type": "file",
    "name": "plums.pdf",
    "url": "f-1",
    "file": {
        "id": "f-1",
        "filename": "plums.pdf",
        "data": {"content": "Plums ripen in August."},
        "meta": {"content_type": "application/pdf"},
    },
}
USAGE: Final = {"prompt_tokens": 11, "completion_tokens": 31}

EXAMPLE: Final[list[dict[str, Any]]] = [
    open_webui(
        [
            reply("q", None, "user", "What is a plum?", files=[PDF]),
            reply("a", "q", "assistant", "A stone fruit.", model="one", modelIdx=0),
            reply(
                "b",
                "q",
                "assistant",
                "A kind of cherry.",
                model="two",
                modelIdx=1,
                merged={"status": True, "content": "A stone fruit, akin to cherries."},
            ),
            reply("r", "b", "user", "Which are ripe?"),
            reply("ripe", "r", "assistant", "", output=OUTPUT, usage=USAGE, model="one"),
            reply("t", "ripe", "user", "And which are sweet?"),
            reply("failed", "t", "assistant", "", error={"content": "Out of plums"}, done=True),
        ]
    ),
    open_webui(
        [
            reply("q", None, "user", "Which are ripe?"),
            reply("a", "q", "assistant", MARKUP, usage=USAGE),
        ],
        id="w-2",
    ),
    open_webui(
        [
            reply("q", None, "user", "Which are sour?"),
            reply(
                "a",
                "q",
                "assistant",
                "",
                modelName="Three",
                content_list=[
                    {"phase": "think", "content": "Sloes?", "status": "finished"},
                    {
                        "phase": "thinking_summary",
                        "content": "",
                        "extra": {"summary_thought": {"content": ["Sloes are sour."]}},
                    },
                    {"phase": "web_search", "content": "", "extra": {"web_search_info": []}},
                    {"phase": "answer", "content": "Sloes are.", "status": "finished"},
                ],
            ),
        ],
        id="w-3",
    ),
]
