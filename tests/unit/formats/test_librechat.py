"""LibreChat exports: in a list or nested, with all that an agent writes."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.librechat import ANSWER, EXAMPLE, NO_PARENT, OTHER, QUESTION, THANKS, said

from faceplate.importers import Chat
from faceplate.services.messages import NewMessage

BARE = {key: field for key, field in EXAMPLE.items() if key != "options"}
"""The export without its options, and so without the system prompt in them."""


def read(tmp_path: Path, value: object = EXAMPLE) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert refusals == []
    assert chat.source == "librechat"
    return chat


def read_answer(tmp_path: Path, *parts: Any, **fields: Any) -> list[NewMessage]:
    """What follows a question of which the answer has these parts."""
    question = said("q", NO_PARENT, "Tea?", is_user=True)
    answer = said("a", "q", fields.pop("text", ""), content=list(parts), **fields)
    return path(read(tmp_path, {**BARE, "messages": [question, answer]}))[1:]


def test_all_of_an_export_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read(tmp_path)
    assert (chat.key, chat.title) == ("tea-1", "Water for tea")
    assert chat.created_at is not None
    assert chat.created_at.isoformat() == "2025-01-02T03:04:01+00:00"
    assert spoken(chat) == [
        ("system", "Be brief."),
        (
            "user",
            (
                "> green tea\n> from Uji\n\nHow hot should the water be?"
                "\n\n[notes.txt]\n```\nSteep briefly.\n```"
            ),
        ),
        ("assistant", "I look it up."),
        ("tool", "75 to 80"),
        ("assistant", "Between 75 and 80 degrees."),
        ("user", "Thanks!"),
    ]
    _, question, call, result, answer, _ = path(chat)
    files = json.loads(question.body or "")["attachments"]
    assert [(file["kind"], file["name"], file["reference"]) for file in files] == [
        ("image/png", "leaf.png", "/images/leaf.png"),
        ("text/plain", "notes.txt", "/files/notes.txt"),
    ]
    assert call.tool_calls == [
        {
            "id": "t-1",
            "type": "function",
            "function": {"name": "lookup", "arguments": '{"leaf": "green"}'},
        }
    ]
    assert result.tool_results == [{"tool_call_id": "t-1", "content": "75 to 80"}]
    assert json.loads(answer.body or "")["attachments"][0]["name"] == "cup.webp"
    assert call.metadata is not None
    assert call.metadata["asides"]["reasoning"] == [{"think": "Green, so not boiling."}]
    assert (question.input_tokens, call.output_tokens, call.model) == (7, 21, "brewer-1")


def test_the_other_answer_is_a_branch(tmp_path: Path) -> None:
    """Else two answers to one question stand one after the other."""
    chat = read(tmp_path)
    other = next(place for place, each in enumerate(chat.messages, 1) if "Not" in each.content)
    assert spoken(chat, other)[2:] == [("assistant", "Not too hot.")]
    assert (chat.messages[other - 1].metadata or {})["status"] == "interrupted"


@pytest.mark.parametrize("key", ["messages", "messagesTree"])
def test_nested_messages_are_the_same_chat(tmp_path: Path, key: str) -> None:
    answer = {**ANSWER, "children": [{**THANKS, "children": []}]}
    question = {**QUESTION, "children": [answer, {**OTHER, "children": []}]}
    nested = {**EXAMPLE, "recursive": True, "messages": None, key: [question]}
    assert [each.content for each in read(tmp_path, nested).messages] == [
        each.content for each in read(tmp_path).messages
    ]


def test_a_message_whose_parent_is_not_in_the_file_follows_the_one_before(tmp_path: Path) -> None:
    messages = [said("q", "gone", "Tea?", is_user=True), said("a", "lost", "Yes.")]
    chat = read(tmp_path, {**BARE, "branches": False, "messages": messages})
    assert spoken(chat) == [("user", "Tea?"), ("assistant", "Yes.")]


def test_two_first_questions_are_branches(tmp_path: Path) -> None:
    messages = [said(id_, NO_PARENT, f"Tea {id_}?", is_user=True) for id_ in ("a", "bb")]
    assert spoken(read(tmp_path, {**BARE, "messages": messages})) == [("user", "Tea bb?")]


def test_messages_of_a_dump_are_collected_by_their_chat(tmp_path: Path) -> None:
    lines = [said("q", NO_PARENT, "Tea?", is_user=True), said("a", "q", "Yes.")]
    file = tmp_path / "messages.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    [chat], refusals = read_all(file)
    assert refusals == []
    assert (chat.source, chat.key) == ("librechat", "tea-1")
    assert spoken(chat) == [("user", "Tea?"), ("assistant", "Yes.")]


@pytest.mark.parametrize(
    ("call", "name", "arguments", "output"),
    [
        (
            {"type": "function", "function": {"name": "f", "arguments": "{}", "output": "ok"}},
            "f",
            "{}",
            "ok",
        ),
        (
            {
                "type": "code_interpreter",
                "code_interpreter": {"input": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
            },
            "code_interpreter",
            "1+1",
            "2",
        ),
        ({"type": "tool_call", "name": "f", "args": '{"a": 1}', "output": ""}, "f", '{"a": 1}', ""),
    ],
)
def test_calls_of_every_kind_have_their_results(
    tmp_path: Path, call: Any, name: str, arguments: str, output: str
) -> None:
    part = {"type": "tool_call", "tool_call": {"id": "t", **call}}
    asked, result, _ = read_answer(tmp_path, part, {"type": "text", "text": "So."})
    [stored] = asked.tool_calls or []
    assert stored[stored["type"]] in (
        {"name": name, "arguments": arguments},
        {"name": name, "input": arguments},
    )
    assert result.tool_results == [{"tool_call_id": "t", "content": output}]


def test_a_call_without_a_result_is_text(tmp_path: Path) -> None:
    part = {"type": "tool_call", "tool_call": {"id": "t", "name": "f", "args": "tea"}}
    [asked] = read_answer(tmp_path, part)
    assert (asked.role, asked.content, asked.tool_calls) == (
        "assistant",
        "[f]\n```\ntea\n```",
        None,
    )


def test_text_beside_the_parts_is_said_once(tmp_path: Path) -> None:
    """Else an answer whose text repeats its parts is stored twice, or one that adds to them not."""
    part = {"type": "text", "text": "Hot\nwater."}
    [repeated] = read_answer(tmp_path, part, text="Hot water.")
    [added] = read_answer(tmp_path, part, text="Cold water.")
    assert (repeated.content, added.content) == ("Hot\nwater.", "Hot\nwater.\nCold water.")


def test_an_error_is_the_text_of_a_reply_that_failed(tmp_path: Path) -> None:
    [reply] = read_answer(tmp_path, {"type": "error", "error": "No water"}, error=True)
    assert reply.content == "No water"
    assert reply.metadata is not None
    assert reply.metadata["status"] == "failed"


def test_what_is_no_message_is_reported(tmp_path: Path) -> None:
    question = {**QUESTION, "children": [{"text": "No id"}]}
    _, refusals = read_all(write(tmp_path / "chat.json", {**BARE, "messages": [question]}))
    assert [str(each.reason) for each in refusals] == [
        "imported, but message 1: messages was not understood, with 5 characters of text"
    ]


def test_reasoning_in_the_text_is_set_apart(tmp_path: Path) -> None:
    [reply] = read_answer(tmp_path, text=":::thinking\nGreen, so\nnot hot.\n:::\n\n75 degrees.")
    assert reply.content == "75 degrees."
    assert (reply.metadata or {})["asides"]["reasoning"] == [{"text": "Green, so\nnot hot."}]


def test_a_missing_parent_counts_in_whatever_order_the_list_is(tmp_path: Path) -> None:
    """Else a question would follow an answer that was given after it."""
    late = said("c", "gone", "And the cup?", is_user=True, createdAt="2025-01-02T03:05:00.000Z")
    reply = said("d", "c", "A warm one.", createdAt="2025-01-02T03:06:00.000Z")
    [chat], refusals = read_all(
        write(tmp_path / "chat.json", {**BARE, "messages": [reply, late, OTHER, QUESTION]})
    )
    assert refusals == []
    ends = [spoken(chat, end)[-1][1] for end in range(1, 5) if len(spoken(chat, end)) == 2]
    assert sorted(ends) == ["A warm one.", "Not too hot."]
    assert [text for _, text in spoken(chat)] == ["And the cup?", "A warm one."]
    [chat], _ = read_all(write(tmp_path / "x.json", {**BARE, "messages": [QUESTION, OTHER, late]}))
    assert [text for _, text in spoken(chat)][-2:] == ["Not too hot.", "And the cup?"]
