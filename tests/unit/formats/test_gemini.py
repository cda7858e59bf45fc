"""Contents of the Gemini API: calls without ids, code that was run, candidates, both spellings."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.gemini import EXAMPLE, answer, call, content

from faceplate.importers import Chat, recognise

TALK = [content("user", {"text": "Hi"}), content("model", {"text": "Ho"})]
SAID = [("user", "Hi"), ("assistant", "Ho")]


def read_one(tmp_path: Path, value: object, name: str = "chat.json") -> Chat:
    [[found], refusals] = read_all(write(tmp_path / name, value))
    assert (found.source, refusals) == ("gemini", [])
    return found


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    found = read_one(tmp_path, EXAMPLE)
    assert found.key == "weather"
    system, asked, calls, cold, warm, code, output, said, last = path(found)
    assert (system.role, system.content) == ("system", "Answer briefly.")
    assert (asked.role, asked.content) == ("user", "Which city is warmer?")
    files = json.loads(asked.body or "")["attachments"]
    assert [(file["kind"], file.get("name"), file["reference"]) for file in files] == [
        ("image/png", "map.png", "aGk="),
        ("application/pdf", None, "https://f.example/a"),
    ]
    ids = [each["id"] for each in calls.tool_calls or ()]
    cities = [each["function"]["arguments"] for each in calls.tool_calls or ()]
    assert cities == ['{"city": "Oslo"}', '{"city": "Rome"}']
    results = [(each.tool_results or [{}])[0] for each in (cold, warm)]
    assert [each["tool_call_id"] for each in results] == ids
    assert [each["content"] for each in results] == ['{"text": "cold"}', '{"text": "warm"}']
    assert "print(21 - 3)" in (code.tool_calls or [{}])[0]["function"]["arguments"]
    assert (output.role, output.content) == ("tool", "eighteen")
    assert (said.role, said.content, said.model) == (
        "assistant",
        "Rome is warmer.",
        "gemini-2.5-pro",
    )
    assert (last.content, last.input_tokens, last.output_tokens) == ("Anything else?", 12, 3)
    assert found.asides["reasoning"] == 1


@pytest.mark.parametrize(
    "value",
    [
        {"contents": TALK},
        TALK,
        {"history": TALK},
        {"key": "k", "request": {"contents": TALK}},
        {"contents": TALK[:1], "response": {"candidates": [{"content": TALK[1]}]}},
        {"systemInstruction": {}, "contents": TALK},
    ],
)
def test_the_list_stands_in_several_places(tmp_path: Path, value: object) -> None:
    assert spoken(read_one(tmp_path, value)) == SAID


def test_the_contents_may_be_a_text(tmp_path: Path) -> None:
    """The clients of the interface take one for a question."""
    value = {"contents": "Hi", "systemInstruction": "Be brief."}
    assert spoken(read_one(tmp_path, value)) == [("system", "Be brief."), ("user", "Hi")]


def test_a_content_may_be_a_line(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text("\n".join(map(json.dumps, TALK)))
    [[found], refusals] = read_all(file)
    assert (found.source, spoken(found), refusals) == ("gemini", SAID, [])


@pytest.mark.parametrize(
    "instruction",
    ["Be kind", {"text": "Be kind"}, {"parts": {"text": "Be kind"}}, {"parts": ["Be kind"]}],
)
def test_a_system_instruction_comes_first(tmp_path: Path, instruction: object) -> None:
    for key in ("systemInstruction", "system_instruction"):
        found = read_one(tmp_path, {key: instruction, "contents": TALK})
        assert spoken(found) == [("system", "Be kind"), *SAID]


def test_names_with_underscores_are_the_same(tmp_path: Path) -> None:
    value: list[dict[str, Any]] = [
        content("user", {"inline_data": {"mime_type": "image/png", "data": "aGk="}}),
        content("model", {"function_call": {"id": "x", "name": "look", "args": {}}}),
        content("function", {"function_response": {"id": "x", "name": "look", "response": {}}}),
        content("model", {"executable_code": {"language": "PYTHON", "code": "1/0"}}),
        content(
            "model", {"code_execution_result": {"outcome": "OUTCOME_FAILED", "output": "oops"}}
        ),
    ]
    picture, called, result, code, output = read_one(tmp_path, {"contents": value}).messages
    assert picture.content == "[image/png]"
    assert (called.tool_calls or [{}])[0]["id"] == "x"
    assert (result.tool_results or [{}])[0] == {"tool_call_id": "x", "content": "{}"}
    assert code.tool_calls is not None
    assert "OUTCOME_FAILED" in output.content
    assert "oops" in output.content


def test_a_user_content_of_results_is_no_question(tmp_path: Path) -> None:
    value = [content("model", call("a")), content("user", answer("a", result="b"))]
    roles = [role for role, _ in spoken(read_one(tmp_path, {"contents": value}))]
    assert roles == ["assistant", "tool"]


def test_candidates_are_branches(tmp_path: Path) -> None:
    candidates = [{"content": content("model", {"text": text})} for text in ("One", "Two")]
    found = read_one(tmp_path, {"contents": TALK[:1], "candidates": candidates})
    assert spoken(found) == [("user", "Hi"), ("assistant", "One")]
    assert spoken(found, 3) == [("user", "Hi"), ("assistant", "Two")]


def test_chats_with_candidates_keep_apart(tmp_path: Path) -> None:
    values = [
        {"contents": content("user", {"text": ask}), "candidates": [{"content": TALK[1]}] * 2}
        for ask in ("One", "Two")
    ]
    chats, _ = read_all(write(tmp_path / "c.json", values))
    assert len({chat.key for chat in chats}) == 2


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
        [{"role": "user", "content": "Hi"}],
        [{"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Hi"}]}],
    ],
)
def test_other_lists_of_parts_are_not_taken(tmp_path: Path, messages: object) -> None:
    assert recognise(write(tmp_path / "c.json", {"messages": messages})) != "gemini"
