"""Trees whose messages name their children or their ancestors: each answer is a branch."""

import json
from pathlib import Path

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.message_trees import LISTED, NESTED


def test_each_answer_is_a_branch_and_the_newest_is_shown(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "chat.json", LISTED))
    assert refusals == []
    assert (chat.key, chat.title, chat.source) == ("chat-1", "Two lakes", "message-tree")
    opening = [("system", "Answer briefly."), ("user", "Which lake is deeper?")]
    assert spoken(chat) == [*opening, ("assistant", "The northern one."), ("user", "Thanks!")]
    other = next(n for n, each in enumerate(chat.messages, 1) if each.content == "Both are")
    assert spoken(chat, other) == [*opening, ("assistant", "Both are")]
    assert (chat.messages[other - 1].metadata or {})["status"] == "interrupted"
    assert json.loads(chat.messages[1].body or "{}")["attachments"][0]["reference"] == "f-1"
    assert {each.model for each in chat.messages if each.role == "assistant"} == {"lake-1"}


@pytest.mark.parametrize("link", ["children", "ancestors"])
def test_one_kind_of_links_is_enough(tmp_path: Path, link: str) -> None:
    whole, _ = read_all(write(tmp_path / "chat.json", LISTED))
    messages = [{k: v for k, v in each.items() if k != link} for each in LISTED["messages"]]
    [chat], refusals = read_all(write(tmp_path / "x.json", {**LISTED, "messages": messages}))
    assert (refusals, chat.messages, chat.parents) == ([], whole[0].messages, whole[0].parents)


def test_messages_may_stand_in_the_ones_before_them(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "chat.json", NESTED))
    assert refusals == []
    question = ("user", "Which lake is colder?")
    ends = [end for end in range(1, 5) if len(spoken(chat, end)) > 1]
    assert [spoken(chat, end) for end in ends] == [
        [question, ("assistant", "The upper one.")],
        [question, ("assistant", "Neither.")],
        [question, ("assistant", "Neither."), ("user", "Are you sure?")],
    ]


def test_ids_as_openai_writes_them_are_branches_too(tmp_path: Path) -> None:
    messages = [
        {"id": 1, "role": "user", "content": "Hi", "children": [2, 3]},
        {"id": 2, "role": "assistant", "content": "Hello", "children": []},
        {"id": 3, "role": "assistant", "content": "Hey", "children": []},
    ]
    [chat], refusals = read_all(write(tmp_path / "chat.json", {"messages": messages}))
    assert refusals == []
    assert [spoken(chat, end)[-1][1] for end in (2, 3)] == ["Hello", "Hey"]
    assert chat.parents is not None


def test_a_parent_that_a_message_names_counts_beside_children(tmp_path: Path) -> None:
    """Else the message that no list of children has begins a chat of its own."""
    messages = [
        {"id": "1", "role": "user", "content": "Hi", "children": ["2"]},
        {"id": "2", "role": "assistant", "content": "Hello", "parent": "1"},
        {"id": "3", "role": "assistant", "content": "Hey", "parent": "1"},
        {"id": "4", "role": "user", "content": "Bye", "parent": "gone"},
    ]
    [chat], refusals = read_all(write(tmp_path / "chat.json", {"messages": messages}))
    assert refusals == []
    question = ("user", "Hi")
    assert spoken(chat, 2) == [question, ("assistant", "Hello")]
    assert spoken(chat, 3) == [question, ("assistant", "Hey")]
    assert spoken(chat, 4) == [("user", "Bye")]
