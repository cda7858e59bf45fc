"""A ChatGPT export with branches, a tool, a picture, a file, reasoning and times."""

from typing import Any, Final

from tests.chat_files import chatgpt, node

EXAMPLE: Final[list[dict[str, Any]]] = [
    chatgpt(
        [
            node("root", None),
            node("s", "root", "system", "Answer briefly.", weight=0),
            node("q", "s", "user", "How tall is a pear tree?"),
            node(
                "t",
                "q",
                "assistant",
                {"content_type": "thoughts", "thoughts": [{"content": "Pears grow high."}]},
            ),
            node(
                "c",
                "t",
                "assistant",
                {"content_type": "code", "language": "python", "text": "print(4 * 3)"},
                recipient="python",
            ),
            node(
                "r",
                "c",
                "tool",
                {"content_type": "execution_output", "text": "twelve"},
                name="python",
            ),
            node("a", "r", "assistant", "About twelve metres.", metadata={"model_slug": "gpt-5"}),
            node("b", "q", "assistant", "Quite tall."),
            node(
                "p",
                "a",
                "user",
                {
                    "content_type": "multimodal_text",
                    "parts": [
                        {
                            "content_type": "image_asset_pointer",
                            "asset_pointer": "file-service://file-1",
                        },
                        "Is this one?",
                    ],
                },
                metadata={"attachments": [{"id": "file-2", "name": "orchard.pdf"}]},
            ),
            node("z", "p", "assistant", "Yes, a young one.", create_time=1_700_000_090),
        ]
    )
]
