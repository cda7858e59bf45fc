"""Chats in the rows of databases and data sets: as JSON text, in pairs, and deep in other lists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import open_webui, read_all, reply, spoken, write
from tests.formats.llamacpp import EXAMPLE as LLAMA_CPP

SAID = [{"role": "user", "content": "Which hill?"}, {"role": "assistant", "content": "The left."}]
TURNS = [{"from": "human", "value": "Which hill?"}, {"from": "gpt", "value": "The left."}]
SPOKEN = [("user", "Which hill?"), ("assistant", "The left.")]


def of_open_webui() -> dict[str, Any]:
    chat = open_webui([reply("q", None, *SPOKEN[0]), reply("a", "q", *SPOKEN[1])])
    return {**chat, "chat": json.dumps(chat["chat"]), "archived": 0}


@pytest.mark.parametrize(
    ("row", "source"),
    [
        ({"id": "a-1", "messages": json.dumps(SAID)}, "openai"),
        ({"id": "a-1", "conversations": json.dumps(TURNS, indent=1)}, "sharegpt"),
        (of_open_webui(), "open-webui"),
        ({"rows": [{"row_idx": 0, "row": {"id": "a-1", "messages": json.dumps(SAID)}}]}, "openai"),
        ({"data": {"edges": [{"node": {"id": "a-1", "messages": SAID}}]}}, "openai"),
        ({"id": "a-1", "conversation": [{"user": "Which hill?", "assistant": "The left."}]}, ""),
        ({"id": "a-1", "messages": [{"prompt": "Which hill?", "response": "The left."}]}, ""),
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_the_chat_in_a_row_is_read(
    tmp_path: Path, row: dict[str, Any], source: str, name: str
) -> None:
    path = write(tmp_path / name, [row])
    if name == "x.jsonl":
        path.write_text(f"{json.dumps(row)}\n")
    [chat], refusals = read_all(path)
    assert refusals == []
    assert (chat.source, spoken(chat)) == (source or "sharegpt", SPOKEN)


def test_json_text_that_was_said_stays_text(tmp_path: Path) -> None:
    said = [{"role": "user", "content": json.dumps(SAID)}, SAID[1]]
    [chat], refusals = read_all(write(tmp_path / "x.json", {"id": "a-1", "messages": said}))
    assert (refusals, chat.messages[0].content) == ([], json.dumps(SAID))


def test_what_is_beside_chats_deep_in_a_file_is_reported(tmp_path: Path) -> None:
    value = {
        "workspaces": [{"chats": [{"id": "a-1", "messages": SAID}], "notes": {"text": "Soon"}}]
    }
    [_], [refusal] = read_all(write(tmp_path / "x.json", value))
    assert refusal.reason == "4 characters of text beside its chats were not read, under workspaces"


@pytest.mark.parametrize("has_header", [True, False])
def test_lines_of_llama_cpp_are_one_tree(tmp_path: Path, *, has_header: bool) -> None:
    [whole], _ = read_all(write(tmp_path / "x.json", LLAMA_CPP))
    lines = [*([LLAMA_CPP["conv"]] if has_header else []), *LLAMA_CPP["messages"]]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    [read], refusals = read_all(path)
    assert (refusals, read.key, read.messages) == ([], whole.key, whole.messages)
    assert (read.title == whole.title) is has_header


@pytest.mark.parametrize("hold", [json.dumps, dict])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda rows: {"select * from message_store": rows},
        lambda rows: {"data": rows, "count": 3},
        lambda rows: {"export": {"rows": rows}},
    ],
)
def test_an_object_around_rows_of_json_text_is_opened(
    tmp_path: Path, wrap: Callable[[Any], Any], hold: Callable[[Any], object]
) -> None:
    """Else what a program prints of a query is refused, unless its column is one of JSON."""
    said = [("s-1", "human", "Hi"), ("s-2", "human", "Hello"), ("s-1", "ai", "Ho")]
    rows = [
        {
            "id": number,
            "session_id": id_,
            "message": hold({"type": kind, "data": {"content": text}}),
        }
        for number, (id_, kind, text) in enumerate(said)
    ]
    found, refusals = read_all(write(tmp_path / "rows.json", wrap(rows)))
    assert refusals == []
    assert [(chat.key, spoken(chat)) for chat in found] == [
        ("s-1", [("user", "Hi"), ("assistant", "Ho")]),
        ("s-2", [("user", "Hello")]),
    ]


def test_several_lists_of_rows_are_chats_of_their_own(tmp_path: Path) -> None:
    lists = {
        name: [{"session_id": name, "message": json.dumps({"type": "human", "content": name})}]
        for name in ("north", "south")
    }
    found, refusals = read_all(write(tmp_path / "rows.json", lists))
    assert refusals == []
    assert [(chat.key, spoken(chat)) for chat in found] == [
        (name, [("user", name)]) for name in lists
    ]
