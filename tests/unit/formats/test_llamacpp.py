"""Exports of llama.cpp's web UI: JSON and JSON lines, with branches, tools and files."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.llamacpp import CONV, EXAMPLE, LINES, said

from faceplate.importers import Chat
from faceplate.services.messages import NewMessage


def read_file(file: Path) -> Chat:
    [chat], refusals = read_all(file)
    assert refusals == []
    assert chat.source == "llama-cpp"
    return chat


def read_answer(tmp_path: Path, content: str, **fields: Any) -> list[NewMessage]:
    """What follows a question with this answer."""
    question, answer = said("q", None, "user", "Tea?"), said("a", "q", "assistant", content)
    value = {"conv": {**CONV, "currNode": "a"}, "messages": [question, {**answer, **fields}]}
    return path(read_file(write(tmp_path / "chat.json", value)))[1:]


def test_messages_without_ids_keep_the_order_of_the_list(tmp_path: Path) -> None:
    """Their parents are nowhere; else each of them is a first message, and one is shown."""
    listed = [said("q", None, "user", "Tea?"), said("a", "q", "assistant", "At 80 degrees.")]
    value = {"conv": CONV, "messages": [{**each, "id": None} for each in listed]}
    chat = read_file(write(tmp_path / "chat.json", value))
    assert spoken(chat) == [("user", "Tea?"), ("assistant", "At 80 degrees.")]


def as_lines(lines: list[Any]) -> str:
    return "\n".join(map(json.dumps, lines))


@pytest.mark.parametrize("form", ["one", "list", "lines", "zip"])
def test_all_of_an_export_is_where_a_reader_finds_it(tmp_path: Path, form: str) -> None:
    file = tmp_path / "chat.json"
    if form == "lines":
        file = tmp_path / "chat.jsonl"
        file.write_text(as_lines(LINES), encoding="utf-8")
    elif form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("chat.jsonl", as_lines(LINES))
    else:
        write(file, EXAMPLE if form == "one" else [EXAMPLE])
    chat = read_file(file)
    assert (chat.key, chat.title) == ("k-1", "Water for tea")
    assert chat.updated_at is not None
    assert chat.updated_at.isoformat() == "2025-01-02T03:05:00+00:00"
    assert spoken(chat) == [
        ("system", "Be brief."),
        (
            "user",
            "\n\n".join(
                [
                    "How hot?",
                    "[notes.txt]\n```\nSteep briefly.\n```",
                    "[uji.pdf]\n```\nShade grown.\n```",
                    "[context]\n```\nPasted.\n```",
                ]
            ),
        ),
        ("assistant", "I look it up."),
        ("tool", "75 to 80"),
        ("assistant", "Between 75 and 80."),
    ]
    _, question, answer, result, more = path(chat)
    files = json.loads(question.body or "")["attachments"]
    assert [(each["kind"], each.get("name")) for each in files] == [
        ("text", "notes.txt"),
        ("image", "leaf.png"),
        ("pdf", "uji.pdf"),
        ("context", None),
    ]
    assert files[1]["reference"] == "data:image/png;base64,AAAA"
    assert (answer.tool_calls or [])[0]["function"] == {"name": "lookup", "arguments": '{"a": 1}'}
    assert result.tool_results == [{"tool_call_id": "t-1", "content": "75 to 80"}]
    assert (answer.model, answer.input_tokens, answer.output_tokens) == ("brewer-1", 12, 30)
    assert (answer.metadata or {})["asides"]["reasoning"] == [{"text": "Green."}]
    assert (more.metadata or {})["asides"]["reasoning"] == [{"text": "Sure."}]
    other = next(place for place, each in enumerate(chat.messages, 1) if "Not" in each.content)
    assert [text for _, text in spoken(chat, other)[2:]] == ["Not too hot."]


def test_several_chats_of_one_file_of_lines_are_told_apart(tmp_path: Path) -> None:
    lines: list[Any] = []
    for name in ("a", "b"):
        lines.append({"type": "session", **CONV, "id": name, "name": name, "currNode": "q"})
        message = said("q", None, "user", f"Tea {name}?", convId=name)
        lines.append({"type": "message", "message": message})
    file = tmp_path / "chats.jsonl"
    file.write_text(as_lines(lines), encoding="utf-8")
    chats, refusals = read_all(file)
    assert refusals == []
    assert [(each.key, each.title, spoken(each)) for each in chats] == [
        ("a", "a", [("user", "Tea a?")]),
        ("b", "b", [("user", "Tea b?")]),
    ]


def test_ids_of_early_versions_are_numbers(tmp_path: Path) -> None:
    root = said("", None, "system", "", type="root") | {"id": 1, "parent": -1, "children": [2]}
    question = said("", None, "user", "Tea?") | {"id": 2, "parent": 1, "children": [3, 4]}
    answers: list[Any] = [
        said("", None, "assistant", text) | {"id": id_, "parent": 2}
        for id_, text in ((3, "Yes."), (4, "No."))
    ]
    value = {"conv": {**CONV, "currNode": 3}, "messages": [root, question, *answers]}
    chat = read_file(write(tmp_path / "chat.json", value))
    assert spoken(chat) == [("user", "Tea?"), ("assistant", "Yes.")]
    assert len(chat.messages) == 3


def test_the_files_of_a_result_stay_with_it(tmp_path: Path) -> None:
    call = {"id": "t", "type": "function", "function": {"name": "draw", "arguments": "{}"}}
    messages = [
        said("q", None, "user", "Draw."),
        said("a", "q", "assistant", "", toolCalls=json.dumps([call])),
        said(
            "t",
            "a",
            "tool",
            "Done.",
            toolCallId="t",
            extra=[{"type": "IMAGE", "name": "cup.png", "base64Url": "data:image/png;base64,AA"}],
        ),
    ]
    value = {"conv": {**CONV, "currNode": "t"}, "messages": messages}
    _, asked, result = path(read_file(write(tmp_path / "chat.json", value)))
    assert (asked.tool_calls or [])[0]["id"] == "t"
    assert result.tool_results == [{"tool_call_id": "t", "content": "Done."}]
    assert json.loads(result.body or "")["attachments"][0]["name"] == "cup.png"


def test_marks_in_the_text_are_reasoning_calls_and_results(tmp_path: Path) -> None:
    """Else the marks and all between them are the answer."""
    content = (
        "<<<reasoning_content_start>>>Hm.<<<reasoning_content_end>>>I look.\n\n"
        "<<<AGENTIC_TOOL_CALL_START>>>\n<<<TOOL_NAME:lookup>>>\n<<<TOOL_ARGS_START>>>\n"
        '{"a": 1}<<<TOOL_ARGS_END>>>\n75\n<<<AGENTIC_TOOL_CALL_END>>>\nIt is 75.'
    )
    call = [{"id": "x", "type": "function", "function": {"name": "lookup", "arguments": ""}}]
    asked, result, answer = read_answer(tmp_path, content, toolCalls=json.dumps(call))
    assert (asked.content, answer.content) == ("I look.", "It is 75.")
    assert (asked.tool_calls or [])[0]["function"] == {"name": "lookup", "arguments": '{"a": 1}'}
    assert (result.tool_results or [])[0]["content"] == "75"
    assert (asked.metadata or {})["asides"]["reasoning"] == [{"text": "Hm."}]


@pytest.mark.parametrize("calls", ["", "[]", None, []])
def test_no_calls_are_no_calls(tmp_path: Path, calls: object) -> None:
    [answer] = read_answer(tmp_path, "Yes.", toolCalls=calls)
    assert (answer.content, answer.tool_calls) == ("Yes.", None)


def test_calls_that_are_no_json_are_text(tmp_path: Path) -> None:
    [answer] = read_answer(tmp_path, "Yes.", toolCalls="[{broken")
    assert answer.content == "Yes.\n\n[function]\n```\n[{broken\n```"
