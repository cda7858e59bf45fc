"""Items of OpenAI's Responses and Conversations: each in its place, and each call answered."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.responses import EXAMPLE

from faceplate.importers import Chat
from faceplate.importers.formats import responses


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert refusals == []
    assert chat.source == "responses"
    return chat


def said(role: str, text: str, **fields: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "seven"}
WHY = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "f knows."}]}
ITEMS = [said("user", "How many?"), WHY, CALL, OUTPUT, said("assistant", "Seven.")]
SPOKEN = [("user", "How many?"), ("assistant", ""), ("tool", "seven"), ("assistant", "Seven.")]


def test_all_of_a_reply_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read_one(tmp_path, EXAMPLE)
    assert (chat.key, chat.title) == ("resp_1", "An atlas")
    results = EXAMPLE["output"][6]["results"]
    assert spoken(chat) == [
        ("system", "Use the atlas."),
        ("user", "Which island is this?"),
        ("assistant", ""),
        ("tool", "sketched"),
        ("tool", "four islands"),
        ("assistant", '[web_search]\n```\n{"type": "search", "query": "steep islands"}\n```'),
        ("tool", json.dumps(results)),
        ("assistant", ""),
        ("tool", "4"),
        ("assistant", ""),
        ("tool", "chart nine"),
        ("assistant", ""),
        ("tool", "nine.png"),
        ("assistant", "[image]"),
        ("assistant", "It is the fourth.\nI cannot name its owner."),
    ]
    messages = path(chat)
    called = {
        call["id"]: call[call["type"]]["name"]
        for message in messages
        for call in message.tool_calls or ()
    }
    answered = [each["tool_call_id"] for message in messages for each in message.tool_results or ()]
    assert [called[id_] for id_ in answered] == [
        "sketch",
        "look_up",
        "file_search",
        "code_interpreter",
        "chart",
        "local_shell",
    ]
    assert (messages[-1].model, messages[-1].output_tokens) == ("gpt-5", 20)
    assert chat.asides["reasoning"] == 1


@pytest.mark.parametrize(
    "value",
    [
        ITEMS,
        {"input": ITEMS},
        {"input": ITEMS[:1], "output": ITEMS[1:]},
        {"items": ITEMS},
        {"object": "list", "data": ITEMS, "has_more": False},
        {"object": "list", "data": ITEMS[::-1], "has_more": False},
        {"id": "conv_1", "object": "conversation", "items": {"object": "list", "data": ITEMS}},
        {"id": "conv_1", "object": "conversation", "items": ITEMS[::-1]},
        {"model": "m", "input": "How many?", "output": ITEMS[1:]},
    ],
)
def test_items_come_in_every_wrapper_and_order(tmp_path: Path, value: object) -> None:
    assert spoken(read_one(tmp_path, value)) == SPOKEN


def test_a_page_without_calls_may_be_newest_first(tmp_path: Path) -> None:
    """Pages of a conversation have the newest item first by default."""
    items = [
        said("user", "One"),
        said("assistant", "Two"),
        said("user", "3"),
        said("assistant", "4"),
    ]
    value = {"object": "list", "data": items[::-1], "first_id": "x", "last_id": "y"}
    assert [text for _, text in spoken(read_one(tmp_path, value))] == ["One", "Two", "3", "4"]


def test_items_on_lines_are_grouped_by_their_chat(tmp_path: Path) -> None:
    lines = [{**item, "session_id": id_} for item in ITEMS for id_ in ("a", "b")]
    file = tmp_path / "items.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    chats, refusals = read_all(file)
    assert [(chat.key, spoken(chat)) for chat in chats] == [("a", SPOKEN), ("b", SPOKEN)]
    assert refusals == []


def test_the_javascript_sdk_has_names_of_its_own(tmp_path: Path) -> None:
    items = [
        said("user", "How many?"),
        {"type": "function_call", "callId": "c", "name": "f", "arguments": "{}"},
        {
            "type": "function_call_result",
            "name": "f",
            "callId": "c",
            "output": {"type": "text", "text": "seven"},
        },
        said("assistant", "Seven.", status="completed"),
    ]
    assert spoken(read_one(tmp_path, items)) == SPOKEN


@pytest.mark.parametrize(
    ("call", "output", "text"),
    [
        (
            {"type": "shell_call", "action": {"commands": ["ls"]}},
            {"type": "shell_call_output", "output": [{"stdout": "a", "stderr": ""}]},
            '[{"stdout": "a", "stderr": ""}]',
        ),
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
            {"type": "apply_patch_call_output", "status": "failed"},
            "failed",
        ),
        (
            {"type": "tool_search_call", "arguments": {"query": "maps"}},
            {"type": "tool_search_output", "tools": [{"name": "map"}]},
            '[{"name": "map"}]',
        ),
        (
            {"type": "program", "code": "1 + 1"},
            {"type": "program_output", "result": "2"},
            "2",
        ),
        (
            {"type": "custom_tool_call", "name": "sh", "input": "ls"},
            {
                "type": "custom_tool_call_output",
                "output": [{"type": "input_text", "text": "a"}],
            },
            "a",
        ),
    ],
)
def test_calls_of_every_kind_are_answered(
    tmp_path: Path, call: dict[str, Any], output: dict[str, Any], text: str
) -> None:
    items = [
        said("user", "Go."),
        {**call, "call_id": "c"},
        {**output, "call_id": "c"},
        said("assistant", "Gone."),
    ]
    _, asked, result, _ = path(read_one(tmp_path, items))
    assert [each["id"] for each in asked.tool_calls or ()] == ["c"]
    assert (result.role, result.content) == ("tool", text)


def test_a_screenshot_is_an_attachment(tmp_path: Path) -> None:
    shot = {"type": "computer_screenshot", "image_url": "https://a.test/s.png"}
    items = [
        said("user", "Look."),
        {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
        {"type": "computer_call_output", "call_id": "c", "output": shot},
        said("assistant", "Seen."),
    ]
    result = path(read_one(tmp_path, items))[2]
    [file] = json.loads(result.body or "")["attachments"]
    assert (file["kind"], file["reference"]) == ("image", "https://a.test/s.png")


def test_an_unfinished_reply_is_marked(tmp_path: Path) -> None:
    value = {
        "id": "resp_2",
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [said("assistant", "Once upon")],
    }
    assert (path(read_one(tmp_path, value))[0].metadata or {})["status"] == "interrupted"


def test_a_dataset_with_inputs_and_outputs_is_none_of_it(tmp_path: Path) -> None:
    value = [{"instruction": "Say it.", "input": "x", "output": "y"}]
    chats, _ = read_all(write(tmp_path / "data.json", value))
    assert all(chat.source != "responses" for chat in chats)


def test_chats_with_numbered_items_are_told_apart(tmp_path: Path) -> None:
    values = [{"input": [said("user", text, id="item_1"), CALL, OUTPUT]} for text in ("A", "B")]
    chats, refusals = read_all(write(tmp_path / "chats.json", values))
    assert (len({chat.key for chat in chats}), refusals) == (2, [])


def test_a_reply_of_any_length_is_read_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each item is compared with all others, and a long run of an agent takes minutes."""
    kind, asked = responses._kind, 0

    def count(item: object) -> str:
        nonlocal asked
        asked += 1
        return kind(item)

    monkeypatch.setattr(responses, "_kind", count)
    items = [said("user", "How many?"), *[WHY] * 300, CALL, OUTPUT, said("assistant", "Seven.")]
    chat = read_one(tmp_path, {"model": "m-1", "output": items})
    assert asked < 50 * len(items)
    assert spoken(chat) == SPOKEN
    assert len((chat.messages[1].metadata or {})["asides"]["reasoning"]) == 300
    assert {message.model for message in chat.messages if message.role == "assistant"} == {"m-1"}


ASKED = said("user", "How many?")
REASONED = [WHY, said("assistant", "Seven.")]


@pytest.mark.parametrize(
    "value",
    [
        {"items": [ASKED, *REASONED]},
        {"data": [ASKED, *REASONED]},
        {"messages": [ASKED, *REASONED]},
        {"model": "m-1", "input": "How many?", "output": REASONED},
        {"request": {"model": "m-1", "input": "How many?"}, "response": {"output": REASONED}},
    ],
)
def test_a_chat_with_reasoning_and_without_calls_is_read(tmp_path: Path, value: Any) -> None:
    """Else the answer of a model that reasons is refused, or read as another format's."""
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert refusals == []
    assert spoken(chat) == [("user", "How many?"), ("assistant", "Seven.")]
    assert chat.asides["reasoning"] == 1


def test_an_item_of_a_newer_kind_costs_no_other(tmp_path: Path) -> None:
    """OpenAI adds kinds of items: without this, the whole answer is not read for one of them."""
    newer = {"type": "hologram_call_log", "id": "h_1", "text": "It floats."}
    value = {
        "object": "response",
        "model": "m",
        "input": "How many?",
        "output": [*ITEMS[1:], newer],
    }
    [chat], [refusal] = read_all(write(tmp_path / "chat.json", value))
    assert (chat.source, spoken(chat)[:4]) == ("responses", SPOKEN)
    assert (
        refusal.reason == "imported, but message 4: part 2 was not understood, with 10 characters"
    )


def test_a_list_of_other_things_is_no_list_of_items(tmp_path: Path) -> None:
    things = [{"type": "hologram", "text": "a"}, {"type": "statue", "text": "b"}, ITEMS[4]]
    chats, [refusal] = read_all(write(tmp_path / "chat.json", {"output": things}))
    assert (chats, refusal.reason.startswith("of no format")) == ([], True)
