"""LobeChat exports: chats out of tables, with parallel calls, threads and what stands beside."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.lobechat import EXAMPLE, MESSAGES, OLD, TABLES, row

from faceplate.importers import Chat


def read(tmp_path: Path, value: object) -> list[Chat]:
    chats, refusals = read_all(write(tmp_path / "chats.json", value))
    assert refusals == []
    assert {chat.source for chat in chats} == {"lobechat"}
    return chats


def read_rows(tmp_path: Path, *rows: Any, **tables: Any) -> list[Chat]:
    return read(tmp_path, {"data": {"messages": list(rows), **tables}, "schemaHash": "x"})


def test_all_of_an_export_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    topic, loose = read(tmp_path, EXAMPLE[0])
    assert (topic.key, topic.title) == ("top-1", "Two beds")
    assert topic.updated_at is not None
    assert topic.updated_at.isoformat() == "2025-01-02T04:00:00+00:00"
    assert spoken(topic) == [
        ("user", "Which bed is larger?"),
        ("assistant", "I measure both."),
        ("tool", "nine rows"),
        ("tool", "seven rows"),
        ("assistant", "The northern one."),
        ("user", "Thanks."),
    ]
    question, asked, north, south, answer, _ = path(topic)
    [file] = json.loads(question.body or "")["attachments"]
    assert (file["kind"], file["name"], file["reference"]) == (
        "image/png",
        "beds.png",
        "files/beds.png",
    )
    assert [(call["id"], call["function"]) for call in asked.tool_calls or []] == [
        ("t-1", {"name": "garden.measure", "arguments": '{"place": "north"}'}),
        ("t-2", {"name": "garden.measure", "arguments": '{"place": "south"}'}),
    ]
    assert [(result.tool_results or [])[0]["tool_call_id"] for result in (north, south)] == [
        "t-1",
        "t-2",
    ]
    assert (asked.model, asked.input_tokens, asked.output_tokens) == ("gardener-1", 12, 40)
    assert (asked.metadata or {})["asides"]["reasoning"][0]["content"] == "Two calls."
    assert (answer.metadata or {})["asides"]["translations"][0]["content"] == "Das nördliche."
    assert (south.metadata or {})["asides"]["states of tools"] == [{"text": "Measured twice."}]
    assert (loose.key, loose.title, spoken(loose)) == (
        "sessionId:ses-1",
        "Gardener",
        [("user", "Water them.")],
    )


def test_a_thread_is_a_branch_of_its_topic(tmp_path: Path) -> None:
    topic, _ = read(tmp_path, EXAMPLE[0])
    end = next(place for place, each in enumerate(topic.messages, 1) if "none" in each.content)
    assert [text for _, text in spoken(topic, end)] == [
        "Which bed is larger?",
        "I measure both.",
        "nine rows",
        "seven rows",
        "And the third?",
        "There is none.",
    ]


def test_an_older_export_is_read_as_well(tmp_path: Path) -> None:
    [chat] = read(tmp_path, OLD)
    assert (chat.key, chat.title) == ("t-9", "Ripe?")
    assert chat.created_at is not None
    assert chat.created_at.isoformat() == "2024-03-17T04:30:45.534000+00:00"
    question, answer = path(chat)
    assert json.loads(question.body or "")["attachments"][0]["reference"] == "file-1"
    assert (answer.content, answer.model) == ("No answer came", "gardener-0")
    assert (answer.metadata or {})["status"] == "failed"


def test_two_answers_to_a_question_are_branches(tmp_path: Path) -> None:
    rows = [
        row("a", "user", "Ripe?"),
        row("bb", "assistant", "No.", parentId="a"),
        row("ccc", "assistant", "Yes.", parentId="a"),
    ]
    [chat] = read_rows(tmp_path, *rows, topics=[])
    assert spoken(chat) == [("user", "Ripe?"), ("assistant", "Yes.")]
    assert chat.parents == [None, None, 1]


def test_messages_without_parents_follow_each_other(tmp_path: Path) -> None:
    """Else every question of an older version is a branch of its own."""
    rows = [
        row("a", "user", "Ripe?"),
        row("bb", "assistant", "No.", parentId="a"),
        row("ccc", "user", "Now?"),
        row("dddd", "assistant", "Yes.", parentId="ccc"),
    ]
    [chat] = read_rows(tmp_path, *reversed(rows), topics=[])
    assert [text for _, text in spoken(chat)] == ["Ripe?", "No.", "Now?", "Yes."]


def test_a_message_without_a_time_keeps_its_place(tmp_path: Path) -> None:
    rows = [row("a", "user", "Which bed?"), row("b", "assistant", "That one.", createdAt=None)]
    [chat] = read_rows(tmp_path, *rows)
    assert spoken(chat) == [("user", "Which bed?"), ("assistant", "That one.")]


def test_a_plugin_of_an_early_version_is_a_call_with_its_result(tmp_path: Path) -> None:
    plugin = {"identifier": "garden", "apiName": "water", "arguments": "{}", "type": "default"}
    rows = [
        row("a", "user", "Water."),
        row("bb", "function", "Done.", plugin=plugin),
        row("ccc", "assistant", "It is wet."),
    ]
    [chat] = read_rows(tmp_path, *rows, topics=[])
    _, asked, result, _ = path(chat)
    [call] = asked.tool_calls or []
    assert call["function"] == {"name": "garden.water", "arguments": "{}"}
    assert result.tool_results == [{"tool_call_id": call["id"], "content": "Done."}]


def test_bare_tables_are_recognised(tmp_path: Path) -> None:
    assert len(read(tmp_path, TABLES)) == 2


@pytest.mark.parametrize("messages", [[], [{"id": "a", "role": "user", "content": "Hi"}]])
def test_messages_of_no_topic_or_session_are_not_its(tmp_path: Path, messages: Any) -> None:
    value = {"exportType": "all", "state": {"messages": messages, "topics": []}}
    chats, _ = read_all(write(tmp_path / "chats.json", value))
    assert all(chat.source != "lobechat" for chat in chats)


def test_keys_of_providers_are_not_stored(tmp_path: Path) -> None:
    chats = read(tmp_path, EXAMPLE[0])
    assert "secret" not in str(chats)
    assert len(MESSAGES) == sum(len(chat.messages) for chat in chats)


def editor(*words: str) -> Any:
    """The state of the editor in which these words were written."""
    line = {"type": "paragraph", "children": [{"type": "text", "text": each} for each in words]}
    return {"root": {"type": "root", "direction": "ltr", "children": [line]}}


def test_the_state_of_an_editor_is_no_other_text(tmp_path: Path) -> None:
    """Else every message of a newer version is reported."""
    rows = [row("a", "user", "**Ripe** or not?", editorData=editor("Ripe", " or not?"))]
    topic = {"id": "top-1", "title": "T", "content": "Ripe or not?", "editorData": editor("Ripe")}
    [chat] = read_rows(tmp_path, *rows, topics=[topic])
    assert "root" not in json.dumps([chat.metadata, chat.messages[0].metadata])
    topic["content"] = "Never asked"
    value = {"data": {"messages": rows, "topics": [topic]}, "schemaHash": "x"}
    [chat], [refusal] = read_all(write(tmp_path / "chats.json", value))
    assert "topic was not understood, with 11 characters" in refusal.reason
    assert chat.metadata["source"]["topic"]["content"] == "Never asked"


def test_the_examples_of_an_agent_come_before_the_messages(tmp_path: Path) -> None:
    shots = [{"role": "user", "content": "Plum?"}, {"role": "assistant", "content": "Ripe."}]
    agents = [{"id": "ag-1", "systemRole": "Answer briefly.", "fewShots": shots}]
    rows = [row("a", "user", "Pear?", agentId="ag-1")]
    expected = [
        ("system", "Answer briefly."),
        ("user", "Plum?"),
        ("assistant", "Ripe."),
        ("user", "Pear?"),
    ]
    assert spoken(read_rows(tmp_path, *rows, agents=agents)[0]) == expected
    sessions = [{"id": "ses-1", "config": {"systemRole": "Answer briefly.", "fewShots": shots}}]
    assert spoken(read_rows(tmp_path, row("a", "user", "Pear?"), sessions=sessions)[0]) == expected


def test_the_prompt_of_a_group_comes_before_its_messages(tmp_path: Path) -> None:
    group = {"id": "g-1", "title": "Garden", "config": {"systemPrompt": "Answer in turn."}}
    other = {"id": "g-2", "config": {"systemPrompt": "Answer at once."}}
    agents = [{"id": "ag-1", "systemRole": "Be brief."}, {"id": "ag-2", "systemRole": "Be long."}]
    rows = [
        row("a", "user", "Pear?", groupId="g-1", agentId="ag-1"),
        row("bb", "assistant", "Ripe.", groupId="g-1", agentId="ag-2"),
    ]
    [chat] = read_rows(tmp_path, *rows, agents=agents, chatGroups=[group, other])
    assert spoken(chat)[:2] == [("system", "Be brief."), ("system", "Answer in turn.")]
    about = chat.metadata["source"]
    assert (about["agents"], about["chatGroups"]) == ([agents[1]], [other])


def test_rows_without_a_message_are_kept(tmp_path: Path) -> None:
    """Else a title, a summary or a text of a file is dropped without a word."""
    tables: dict[str, Any] = {
        "topics": [
            {"id": "top-1", "title": "Pears"},
            {"id": "top-2", "title": "Plums", "historySummary": "It was about plums."},
        ],
        "threads": [
            {"id": "thr-1", "topicId": "top-1", "title": "On ripe pears"},
            {"id": "thr-2", "topicId": "top-2", "title": "On ripe plums"},
        ],
        "documents": [{"id": "d-1", "content": "Plums ripen in August."}],
        "chunks": [{"id": "c-1", "text": "in August"}, {"id": "c-2", "text": None}],
    }
    [chat] = read_rows(tmp_path, row("a", "user", "Ripe?"), **tables)
    about = chat.metadata["source"]
    assert about["threads"] == tables["threads"][:1]
    assert about["other_threads"] == tables["threads"][1:]
    assert about["topics"] == tables["topics"][1:]
    assert about["documents"] == tables["documents"]
    assert about["chunks"] == tables["chunks"][:1]
    assert chat.asides["documents"] == 1


def test_a_row_without_an_id_belongs_to_no_chat(tmp_path: Path) -> None:
    """Else its words are lost in silence: it looks like the missing session of a chat."""
    loose = {"description": "Of nobody", "text": "words of a session"}
    [chat] = read_rows(tmp_path, *MESSAGES[:1], sessions=[loose], agents=[loose])
    assert chat.metadata["source"]["sessions"] == [loose]
    assert chat.metadata["source"]["agents"] == [loose]
