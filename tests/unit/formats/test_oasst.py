"""OpenAssistant's trees: every reply is a branch, and the best ones are shown."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from tests.chat_files import path as thread
from tests.chat_files import read_all, spoken, write
from tests.formats.oasst import EXAMPLE, chats, node

from faceplate.importers import Chat
from faceplate.importers.formats import oasst
from faceplate.importers.shapes import best_format

SHOWN = [
    ("user", "Why is the sea salty?"),
    ("assistant", "Rivers carry salt."),
    ("user", "Which rivers?"),
]


def flat(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a tree, as the flat files have them."""
    yield {key: value for key, value in tree.items() if key != "replies"}
    for reply in tree["replies"]:
        yield from flat(reply)


def check(chat: Chat) -> None:
    assert (chat.source, chat.key) == ("oasst", "tree-1")
    assert spoken(chat) == SHOWN
    said = [message.content for message in chat.messages]
    assert len(said) == 6
    assert [message.content for message in thread(chat, said.index("For long.") + 1)] == [
        "Why is the sea salty?",
        "Rivers carry salt.",
        "Always?",
        "For long.",
    ]
    about = {message.content: message for message in chat.messages}
    assert about["It rains."].model == "model-x"
    assert (about["Always?"].metadata or {})["source"]["deleted"] is True
    assert chat.created_at is not None
    assert chat.created_at.isoformat() == "2023-02-05T14:23:01+00:00"


def test_a_tree_is_read_whole(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "tree.json", EXAMPLE))
    assert refusals == []
    check(chat)


def test_flat_messages_are_read_as_their_trees(tmp_path: Path) -> None:
    """The lines of two trees may be mixed, and a reply may stand before its parent."""
    first = [{**each, "message_tree_id": "tree-1"} for each in flat(EXAMPLE["prompt"])]
    other = {**node("q", "prompter", "And lakes?"), "message_tree_id": "tree-2"}
    file = tmp_path / "messages.jsonl"
    lines = [*first[3:], other, *first[:3]]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    [chat, lakes], refusals = read_all(file)
    assert (refusals, lakes.key, spoken(lakes)) == ([], "tree-2", [("user", "And lakes?")])
    check(chat)


def test_messages_that_name_no_tree_are_told_apart_by_their_roots(tmp_path: Path) -> None:
    lines = [*flat(node("p", "prompter", "One", node("a", "assistant", "1")))]
    lines += [*flat(node("q", "prompter", "Two"))]
    found, refusals = read_all(write(tmp_path / "messages.json", lines))
    assert refusals == []
    assert [(chat.key, spoken(chat)) for chat in found] == [
        ("p", [("user", "One"), ("assistant", "1")]),
        ("q", [("user", "Two")]),
    ]


def test_trees_are_recognised() -> None:
    assert best_format(EXAMPLE) is oasst.FORMAT
    assert oasst.fits({"prompt": {"role": "user", "text": "Hi"}}) == 0
    assert oasst.fits({"messages": [{"role": "user", "text": "Hi"}]}) == 0


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_tree_is_read(value: dict[str, Any]) -> None:
    """No shape of a tree may stop the import, and none may lose a message."""
    found = list(oasst.read(value))
    assert sum(len([*chat.messages]) for chat in found) == len(value["messages"])
