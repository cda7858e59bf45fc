"""Recognising what a file holds, and reading trees of any shape."""

import json
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.chat_files import chatgpt as chatgpt_chat
from tests.chat_files import check, node, path, reply, write
from tests.chat_files import open_webui as webui_chat

from faceplate.importers import FORMATS, Chat, Format, Refusal, read_chats, recognise
from faceplate.importers.formats import chatgpt, open_webui
from faceplate.importers.turns import Turn, turns_of

OPENAI = {"id": "a", "messages": [{"role": "user", "content": "Hi"}]}
SHAREGPT = {"id": "a", "conversations": [{"from": "human", "value": "Hi"}]}
CHATGPT = chatgpt_chat([node("q", None, "user", "Hi")])
OPEN_WEBUI = webui_chat([reply("q", None, "user", "Hi")])

IDS = [*"abcdefg", ""]
ANYWHERE = st.sampled_from([*IDS, "nowhere", None])
SMALL_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


class TestRecognition:
    @pytest.mark.parametrize(
        ("value", "format_"),
        [
            ([CHATGPT], "chatgpt"),
            (CHATGPT, "chatgpt"),
            ([OPEN_WEBUI], "open-webui"),
            (OPEN_WEBUI["chat"], "open-webui"),
            ([SHAREGPT], "sharegpt"),
            (SHAREGPT, "sharegpt"),
            ([OPENAI], "openai"),
            ({"chats": [OPENAI]}, "openai"),
            ([], None),
            ([{"unheard": "of"}], None),
            ([{"mapping": "of cities"}], None),
            (["noise", None, CHATGPT], "chatgpt"),
            ([OPENAI, CHATGPT, CHATGPT], "chatgpt"),
        ],
    )
    def test_the_first_chats_tell_the_format(
        self, tmp_path: Path, value: object, format_: str | None
    ) -> None:
        assert recognise(write(tmp_path / "chats.json", value)) == format_

    def test_lines_and_archives_are_looked_into(self, tmp_path: Path) -> None:
        lines = tmp_path / "chats.jsonl"
        lines.write_text(f"not json\n{json.dumps(SHAREGPT)}\n")
        assert recognise(lines) == "sharegpt"
        packed = tmp_path / "chats.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("chats/mine.json", json.dumps([OPEN_WEBUI]))
        assert recognise(packed) == "open-webui"

    def test_only_the_beginning_is_read(self, tmp_path: Path) -> None:
        """Else a large export would be read twice before its first chat is stored."""
        path = tmp_path / "chats.json"
        path.write_text(f"[{json.dumps(CHATGPT)}, {' ' * 200_000} no JSON at all")
        assert recognise(path) == "chatgpt"

    def test_each_chat_of_a_mixed_file_is_read_by_its_own_format(self, tmp_path: Path) -> None:
        path = write(tmp_path / "chats.json", [OPENAI, {"a": "stranger"}, CHATGPT, SHAREGPT])
        items = list(read_chats(path))
        sources = [item.source if isinstance(item, Chat) else item.reason for item in items]
        assert sources == [
            "openai",
            "of no format that can be read; its keys are a",
            "chatgpt",
            "sharegpt",
        ]


@pytest.mark.parametrize("name", ["conversations.json", "export.zip"])
def test_memory_holds_one_chat_and_not_the_file(tmp_path: Path, name: str) -> None:
    """An export of two gigabytes has to fit a small machine."""
    size = 0
    path = tmp_path / name
    chats = [
        json.dumps(chatgpt_chat([node("q", None, "user", f"{n % 10}" * 20_000)], id=f"{n}"))
        for n in range(400)
    ]
    text = f"[{','.join(chats)}]"
    size = len(text)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("conversations.json", text)
    else:
        path.write_text(text)
    del chats, text
    tracemalloc.start()
    try:
        assert sum(isinstance(item, Chat) for item in read_chats(path)) == 400
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < size / 5


KINDS = ["text", "code", "thoughts", "multimodal_text", "hologram", "plain", "none"]


@st.composite
def contents(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(KINDS))
    text = draw(st.text(max_size=5))
    match kind:
        case "plain":
            return text
        case "none":
            return draw(SMALL_JSON)
        case "text" | "multimodal_text":
            return {"content_type": kind, "parts": [text, *draw(st.lists(SMALL_JSON, max_size=2))]}
    return {"content_type": kind, "text": text, "more": draw(SMALL_JSON)}


@st.composite
def chatgpt_messages(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 7)) == 0:
        return draw(SMALL_JSON)
    return {
        "author": {
            "role": draw(st.sampled_from(["user", "assistant", "system", "tool", "critic", None])),
            "name": draw(st.sampled_from(["python", "web.run", None])),
        },
        "content": draw(contents()),
        "recipient": draw(st.sampled_from(["all", "python", "web", "", None])),
        "weight": draw(st.sampled_from([0, 1, None])),
        "status": draw(st.sampled_from(["in_progress", "finished_successfully", 7])),
        "create_time": draw(SMALL_JSON),
        "metadata": {"is_visually_hidden_from_conversation": draw(st.booleans())},
        draw(st.text(max_size=3)): draw(SMALL_JSON),
    }


@st.composite
def chatgpt_chats(draw: st.DrawFn) -> dict[str, Any]:
    """Trees with cycles, orphans, nodes that are none, and links that nobody returns."""
    nodes = st.fixed_dictionaries(
        {
            "parent": ANYWHERE,
            "children": st.lists(ANYWHERE, max_size=3),
            "message": st.none() | chatgpt_messages(),
        }
    )
    return {
        "id": draw(st.sampled_from(["c", "", None, 7])),
        "title": draw(SMALL_JSON),
        "mapping": draw(st.dictionaries(st.sampled_from(IDS), nodes | SMALL_JSON, max_size=8)),
        "current_node": draw(ANYWHERE),
        "create_time": draw(SMALL_JSON),
    }


@st.composite
def open_webui_chats(draw: st.DrawFn) -> dict[str, Any]:
    messages = st.fixed_dictionaries(
        {
            "parentId": ANYWHERE,
            "childrenIds": st.lists(ANYWHERE, max_size=3),
            "role": st.sampled_from(["user", "assistant", "tool", "?", None]),
            "content": st.text(max_size=5) | SMALL_JSON,
            "timestamp": SMALL_JSON,
            "error": SMALL_JSON,
            "files": SMALL_JSON,
            "done": SMALL_JSON,
        }
    )
    tree = draw(st.dictionaries(st.sampled_from(IDS), messages | SMALL_JSON, max_size=8))
    history = {"messages": tree, "currentId": draw(ANYWHERE)}
    return {"id": draw(SMALL_JSON), "chat": {"history": history, "messages": draw(SMALL_JSON)}}


def read_value(tmp_path: Path, format_: Format, chat: object) -> Iterator[Chat | Refusal]:
    path = tmp_path / "chats.json"
    # NaN, infinities and lone surrogates are written, and read, as Python's json has them.
    path.write_text(json.dumps([chat]))
    return read_chats(path, format_)


trees = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(chat=chatgpt_chats())
@trees
def test_no_chatgpt_tree_crashes_hangs_or_loses_what_was_shown(
    tmp_path: Path, chat: dict[str, Any]
) -> None:
    """A single odd chat in ten years of them must not end the import, nor be cut short."""
    items = list(read_value(tmp_path, chatgpt.FORMAT, chat))
    assert_kept(items, chat["mapping"], chatgpt)
    assert_shown(items, chat["mapping"], path_to(chat["mapping"], chat["current_node"]), chatgpt)


@given(chat=open_webui_chats())
@trees
def test_no_open_webui_tree_crashes_hangs_or_loses_what_was_shown(
    tmp_path: Path, chat: dict[str, Any]
) -> None:
    tree = chat["chat"]["history"]["messages"]
    items = list(read_value(tmp_path, open_webui.FORMAT, chat))
    if tree or not chat["chat"]["messages"]:
        assert_kept(items, tree, open_webui)
        way = path_to(tree, chat["chat"]["history"]["currentId"])
        assert_shown(items, tree, way, open_webui)


@given(value=SMALL_JSON | st.lists(chatgpt_chats() | open_webui_chats() | SMALL_JSON, max_size=3))
@trees
def test_no_file_crashes_any_reader(tmp_path: Path, value: object) -> None:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps(value))
    assert recognise(path) in {*FORMATS, None}
    for format_ in (None, *FORMATS.values()):
        for item in read_chats(path, format_):
            if isinstance(item, Chat):
                check(item)


def assert_kept(items: list[Chat | Refusal], tree: dict[str, Any], reader: Any) -> None:
    said = [turn for id_ in tree for turn in spoken_by(tree, id_, reader)]
    chats = [item for item in items if isinstance(item, Chat)]
    if not chats and not any(
        turn.content.strip() or turn.calls or turn.attachments for turn in said
    ):
        assert "has text" in str(items)
        return
    [chat] = chats
    check(chat)
    kept = [text for m in chat.messages for text in (m.content, *map(input_of, m.tool_calls or []))]
    for turn in said:
        for text in (turn.content, *map(input_of, turn.calls)):
            assert any(storable(text) in content for content in kept)


def assert_shown(
    items: list[Chat | Refusal], tree: dict[str, Any], way: list[str], reader: Any
) -> None:
    """What stands on the way to the current node is the path, in its order."""
    for first in items[:1]:
        if isinstance(first, Chat):
            contents = iter([message.content for message in path(first)])
            turns = [turn for id_ in way for turn in spoken_by(tree, id_, reader)]
            texts = [turn.content for turn in turns if turn.content and not turn.calls]
            assert all(any(storable(text) in each for each in contents) for text in texts)


def storable(text: str) -> str:
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)


def input_of(call: dict[str, Any]) -> str:
    return str(call.get("custom", {}).get("input", call.get("function", {}).get("arguments")))


def spoken_by(tree: dict[str, Any], id_: str, reader: Any) -> list[Turn]:
    more = (tree,) if reader is chatgpt else ()
    turns = turns_of(id_, reader._read_node(id_, tree[id_], *more))
    return [turn for turn in turns if turn.is_shown]


def path_to(tree: dict[str, Any], current: Any) -> list[str]:
    """The way down to the current node, where every step of it is sound; else nothing."""
    path: list[str] = []
    step = current
    while isinstance(node_ := tree.get(step), dict) and step not in path:
        path.append(step)
        step = node_.get("parent", node_.get("parentId"))
    return path[::-1] if step is None else []
