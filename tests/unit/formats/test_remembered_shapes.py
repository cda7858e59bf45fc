"""The formats of plain chats are remembered by their shape, and no chat is read wrongly for it."""

import json
from itertools import product
from pathlib import Path
from typing import Any

from tests.chat_files import read_all

from faceplate.importers import shapes
from faceplate.importers.formats import FORMATS

TEXTS = (
    "Pears?",
    "[]",
    '{"role": "user"}',
    "<think>Ripe?</think> Yes.",
    "### Human: Pears?",
    "resp_1",
)


def asked(value: Any) -> str | None:
    """Return the key of the format that fits a value best, without any memory."""
    features = {key: format_.fits(value) for key, format_ in FORMATS.items()}
    return max(features, key=features.__getitem__) if any(features.values()) else None


def chat(roles: tuple[str, ...], text: str, **fields: Any) -> dict[str, Any]:
    return {**fields, "messages": [{"role": role, "content": text} for role in roles]}


def test_a_plain_chat_is_of_the_format_of_its_shape_whatever_it_says() -> None:
    orders = [
        order for n in (1, 2, 3) for order in product(("system", "user", "assistant"), repeat=n)
    ]
    for order, text in product(orders, TEXTS):
        for value in (chat(order, text), chat(order, text, id=text, title=text)):
            format_ = shapes.best_format(value)
            assert (format_.key if format_ else None) == asked(value)


def test_formats_with_the_same_keys_are_told_apart_in_one_file(tmp_path: Path) -> None:
    plain = chat(("user", "assistant"), "Pears?")
    call = {"type": "tool_use", "id": "t-1", "name": "pick", "input": {}}
    blocks = {"messages": [plain["messages"][0], {"role": "assistant", "content": [call]}]}
    parts = {
        "messages": [
            {"role": role, "content": "Pears?", "parts": [{"type": "text", "text": "Pears?"}]}
            for role in ("user", "assistant")
        ]
    }
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, [plain, blocks, plain, parts, plain])))
    chats, _ = read_all(path)
    assert [each.source for each in chats] == [
        *("openai", "anthropic", "openai", "vercel", "openai")
    ]


def test_the_memory_of_shapes_is_bounded() -> None:
    for order in product(("system", "user", "assistant"), repeat=7):
        shapes.best_format(chat(order, "Pears?"))
    shapes.best_format(chat(("user",) * (shapes._MAX_SHAPE_MESSAGES + 1), "Pears?"))
    remembered = shapes._remembered
    assert 0 < len(remembered) <= shapes._MAX_REMEMBERED_SHAPES
    assert max(map(len, remembered)) <= shapes._MAX_SHAPE_MESSAGES + 1
