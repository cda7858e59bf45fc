"""What stands beside the text of a message: it is stored where it belongs, reported or counted."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from tests.chat_files import chatgpt, node, open_webui, read_all, reply, write
from tests.formats.oasst import EXAMPLE as OASST
from tests.formats.tavern import EXAMPLE as TAVERN

from faceplate.importers import Chat, Refusal

WORDS: Final = "written by somebody"
ASKED: Final = {"role": "user", "content": "Hi"}
ANSWERED: Final = {"role": "assistant", "content": "Ho"}


def read(tmp_path: Path, value: object) -> tuple[Chat, list[Refusal]]:
    [chat], refusals = read_all(write(tmp_path / "chats.json", [value]))
    return chat, refusals


@pytest.mark.parametrize("key", ["notes", "comment", "alternatives", "annotations", "feedback"])
def test_words_that_somebody_wrote_beside_the_text_are_reported(tmp_path: Path, key: str) -> None:
    """Else they are only in the metadata, and nobody knows."""
    field = {"comment": WORDS} if key == "feedback" else [WORDS, {"note": WORDS}]
    value = {key: field, "messages": [{**ASKED, key: field}, ANSWERED]}
    chat, refusals = read(tmp_path, value)
    assert [str(refusal.reason)[: refusal.reason.index(" was")] for refusal in refusals] == [
        f"imported, but {key}",
        f"imported, but message 1: {key}",
    ]
    assert WORDS in json.dumps(chat.metadata)
    assert WORDS in json.dumps(chat.messages[0].metadata)


def test_a_call_in_an_unknown_field_is_reported(tmp_path: Path) -> None:
    """Else a call is no call, its result is an answer, and the import says that all is well."""
    call = {"function": {"name": "f", "arguments": '{"x": 1}'}}
    _, refusals = read(tmp_path, {"messages": [ASKED, {**ANSWERED, "made_calls": [call]}]})
    assert [refusal.reason for refusal in refusals] == [
        "imported, but message 2: made_calls was not understood, with 8 characters of text"
    ]


@pytest.mark.parametrize("words", [WORDS, "这是一个摘要"])
def test_other_words_are_counted_by_their_key(tmp_path: Path, words: str) -> None:
    value = {"summary": words, "messages": [ASKED, {**ANSWERED, "details": {"summary": [words]}}]}
    chat, refusals = read(tmp_path, value)
    assert (chat.asides, refusals) == ({"summary": 2}, [])


def test_settings_and_names_are_not_counted(tmp_path: Path) -> None:
    value = {"theme": "dark", "model_name": "A large model", "messages": [ASKED, ANSWERED]}
    chat, refusals = read(tmp_path, value)
    assert (chat.asides, refusals) == ({}, [])


def test_known_fields_of_a_chat_are_counted(tmp_path: Path) -> None:
    value = open_webui([reply("q", None, "user", "Hi")])
    value["chat"]["params"] = {"stop": ["and so on, and so forth"]}
    chat, refusals = read(tmp_path, value)
    assert (chat.asides, refusals) == ({"params": 1}, [])


def test_a_role_that_no_chat_has_is_reported_once(tmp_path: Path) -> None:
    """Else what a third person has said counts as the assistant's words, and nobody knows."""
    said = [{"role": "critic", "content": text} for text in ("Bad", "Good")]
    chat, refusals = read(tmp_path, {"messages": [ASKED, *said, ANSWERED]})
    kept = [(message.metadata or {}).get("role") for message in chat.messages]
    assert kept == [None, "critic", "critic", None]
    [refusal] = refusals
    assert refusal.reason.startswith("imported, but message 2: its role was not understood")
    assert refusal.reason.endswith("and 1 more of this role")


@pytest.mark.parametrize("value", [TAVERN, OASST])
def test_the_speakers_of_a_format_are_understood(tmp_path: Path, value: Any) -> None:
    assert read_all(write(tmp_path / "chats.json", value))[1] == []


def call(id_: str, name: str) -> Any:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": f'"{name}"'}}


def result(id_: str, content: str) -> Any:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def test_words_beside_a_call_are_kept_and_counted(tmp_path: Path) -> None:
    noted = {**call("c", "f"), "purpose": WORDS}
    called = {"role": "assistant", "content": None, "tool_calls": [noted]}
    chat, refusals = read(tmp_path, {"messages": [ASKED, called, result("c", "of f"), ANSWERED]})
    assert (chat.asides, refusals) == ({"notes of calls": 1}, [])
    assert WORDS in json.dumps(chat.messages[1].metadata)


@pytest.mark.parametrize("key", ["toolUses", "steps", "made_calls"])
def test_calls_under_a_name_that_nobody_knows_are_reported(tmp_path: Path, key: str) -> None:
    """What a model wrote to a tool are words: without this they were out of sight in silence."""
    noted = {**ANSWERED, key: [{"name": "f", "arguments": '{"tree": "oak"}'}]}
    _, [refusal] = read(tmp_path, {"messages": [ASKED, noted]})
    assert refusal.reason.startswith(f"imported, but message 2: {key} was not understood")


def test_the_server_of_a_call_is_kept(tmp_path: Path) -> None:
    """A word alone is no prose: without this it was lost, and each such call was reported."""
    called = {"type": "mcp_tool_use", "id": "c", "name": "f", "server_name": "almanac", "input": {}}
    answer = {"type": "mcp_tool_result", "tool_use_id": "c", "content": "of f", "is_error": False}
    messages = [ASKED, {"role": "assistant", "content": [called, answer]}, ASKED, ANSWERED]
    chat, refusals = read(tmp_path, {"messages": messages})
    assert ((chat.messages[1].metadata or {})["asides"], refusals) == (
        {"notes of calls": [{"server_name": "almanac"}]},
        [],
    )


def test_parallel_calls_with_one_id_have_their_results_in_order(tmp_path: Path) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [call("c", "f"), call("c", "g")]}
    messages = [ASKED, called, result("c", "of f"), result("c", "of g"), ANSWERED]
    chat, refusals = read(tmp_path, {"messages": messages})
    ids = [each["id"] for each in chat.messages[1].tool_calls or ()]
    answers = [each for message in chat.messages for each in message.tool_results or ()]
    assert answers == [
        {"tool_call_id": ids[0], "content": "of f"},
        {"tool_call_id": ids[1], "content": "of g"},
    ]
    assert (len({*ids}), refusals) == (2, [])


def test_calls_of_two_messages_with_one_id_have_their_results_in_order(tmp_path: Path) -> None:
    """Else the first call becomes text, and its result is that of the second one."""
    called = [
        {"role": "assistant", "content": None, "tool_calls": [call("c", tool)]} for tool in "fg"
    ]
    messages = [ASKED, *called, result("c", "of f"), result("c", "of g"), ANSWERED]
    chat, refusals = read(tmp_path, {"messages": messages})
    calls = [each for message in chat.messages for each in message.tool_calls or ()]
    answers = [each for message in chat.messages for each in message.tool_results or ()]
    assert [(each["id"], each["function"]["name"]) for each in calls] == [
        ("c", "f"),
        ("c (2)", "g"),
    ]
    assert answers == [
        {"tool_call_id": "c", "content": "of f"},
        {"tool_call_id": "c (2)", "content": "of g"},
    ]
    assert refusals == []


def test_a_call_that_was_made_again_has_the_result(tmp_path: Path) -> None:
    """Else the result of the second attempt stands below the first one, which had none."""
    attempts = [
        {"role": "assistant", "content": text, "tool_calls": [call("c", "f")]}
        for text in ("I try", "Again")
    ]
    messages = [ASKED, *attempts, result("c", "of the second"), ASKED]
    chat, refusals = read(tmp_path, {"messages": messages})
    first, second = chat.messages[1:3]
    assert (first.tool_calls, [each["id"] for each in second.tool_calls or ()]) == (None, ["c (2)"])
    assert chat.messages[3].tool_results == [{"tool_call_id": "c (2)", "content": "of the second"}]
    assert refusals == []


def test_the_last_call_of_an_id_has_the_result_whatever_its_tool_is(tmp_path: Path) -> None:
    called = [
        {"role": "assistant", "content": None, "tool_calls": [call("c", tool)]} for tool in "fg"
    ]
    messages = [ASKED, *called, result("c", "of g"), ASKED]
    chat, _ = read(tmp_path, {"messages": messages})
    [kept] = [each for message in chat.messages for each in message.tool_calls or ()]
    assert kept["function"]["name"] == "g"


def test_calls_that_are_alike_have_their_results_in_order(tmp_path: Path) -> None:
    """Else two results of a tool that was called twice with one id are exchanged."""
    called = {"role": "assistant", "content": None, "tool_calls": [call("c", "f")]}
    messages = [ASKED, called, called, result("c", "one"), result("c", "two"), ANSWERED]
    chat, _ = read(tmp_path, {"messages": messages})
    answers = [each for message in chat.messages for each in message.tool_results or ()]
    assert [(each["tool_call_id"], each["content"]) for each in answers] == [
        ("c", "one"),
        ("c (2)", "two"),
    ]


def test_a_call_without_a_result_does_not_take_that_of_a_later_message(tmp_path: Path) -> None:
    both = {"role": "assistant", "content": None, "tool_calls": [call("c", "f"), call("c", "f")]}
    third = {"role": "assistant", "content": "Again", "tool_calls": [call("c", "f")]}
    messages = [ASKED, both, result("c", "one"), third, result("c", "two"), ANSWERED]
    chat, _ = read(tmp_path, {"messages": messages})
    calls = [message for message in chat.messages if message.tool_calls]
    answers = [message.content for message in chat.messages if message.tool_results]
    assert ([message.content for message in calls][-1], answers) == ("Again", ["one", "two"])


def test_an_id_that_is_free_again_is_kept(tmp_path: Path) -> None:
    """Programs that count their calls anew in each answer give the same ids again."""
    called = {"role": "assistant", "content": None, "tool_calls": [call("c", "f")]}
    turn = [called, result("c", "of f"), ANSWERED]
    chat, refusals = read(tmp_path, {"messages": [ASKED, *turn, ASKED, *turn]})
    calls = [each for message in chat.messages for each in message.tool_calls or ()]
    assert ([each["id"] for each in calls], refusals) == (["c", "c"], [])


def test_one_result_for_two_calls_with_one_id_is_that_of_the_first(tmp_path: Path) -> None:
    called = {"role": "assistant", "content": None, "tool_calls": [call("c", "f"), call("c", "g")]}
    chat, _ = read(tmp_path, {"messages": [ASKED, called, result("c", "of f"), ASKED]})
    [kept] = chat.messages[1].tool_calls or []
    assert kept["function"]["name"] == "f"
    assert chat.messages[1].content == '[g]\n```\n"g"\n```'


@pytest.mark.parametrize(
    "value",
    [
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": '{"name": "f", "arguments": {}}'},
                {"from": "observation", "value": ""},
            ]
        },
        chatgpt(
            [
                node("q", None, "user", "Hi"),
                node("c", "q", "assistant", "{}", recipient="f"),
                node("r", "c", "tool", "", name="f"),
            ]
        ),
    ],
)
def test_an_empty_result_at_the_end_is_the_result_of_its_call(tmp_path: Path, value: Any) -> None:
    """Else the call looks as if nobody had answered it."""
    chat, _ = read(tmp_path, value)
    [called] = chat.messages[1].tool_calls or []
    assert chat.messages[2].tool_results == [{"tool_call_id": called["id"], "content": ""}]


def test_blank_messages_are_no_text(tmp_path: Path) -> None:
    value = {"messages": [{**ASKED, "content": " "}]}
    chats, [refusal] = read_all(write(tmp_path / "c.json", value))
    assert (chats, refusal.reason) == ([], "none of its 1 messages has text")


@pytest.mark.parametrize("key", ["thinking_content", "reasoning_content"])
def test_the_reasoning_of_older_deepseek_exports_is_reasoning(tmp_path: Path, key: str) -> None:
    said = {"inserted_at": "2025-01-02T03:04:05", "model": "m"}
    mapping = {
        "1": {"id": "1", "children": ["2"], "message": {**said, "content": "Hi", key: None}},
        "2": {"id": "2", "parent": "1", "message": {**said, "content": "Ho", key: "A greeting."}},
    }
    chat, refusals = read(tmp_path, {"id": "d", "mapping": mapping})
    assert (chat.source, refusals) == ("deepseek", [])
    assert (chat.messages[1].metadata or {})["asides"] == {"reasoning": ["A greeting."]}
