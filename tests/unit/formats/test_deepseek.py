"""DeepSeek exports: questions and answers by their fragments, searches as calls, branches."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.deepseek import EXAMPLE, chat, node, said

from faceplate.importers import Chat, recognise


def read_one(tmp_path: Path, value: object) -> Chat:
    [[found], refusals] = read_all(write(tmp_path / "conversations.json", value))
    assert (found.source, refusals) == ("deepseek", [])
    return found


def test_everything_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    found = read_one(tmp_path, EXAMPLE)
    assert (found.key, found.title) == ("d-1", "Rain")
    assert found.created_at == datetime(2025, 4, 2, 1, 10, 11, tzinfo=UTC)
    assert found.updated_at == datetime(2025, 4, 2, 1, 12, 11, tzinfo=UTC)
    asked, search, answer, replied, again = path(found)
    assert (asked.role, asked.content, asked.model) == ("user", "Why does it rain?", None)
    files = json.loads(asked.body or "")["attachments"]
    assert [(file["name"], file["reference"]) for file in files] == [("sky.pdf", "f-1")]
    assert search.tool_calls is not None
    assert search.tool_calls[0]["function"]["name"] == "search"
    assert answer.tool_results is not None
    assert answer.tool_results[0]["tool_call_id"] == search.tool_calls[0]["id"]
    assert "Clouds cool." in answer.content
    assert (replied.role, replied.content) == ("assistant", "Because clouds cool.")
    assert replied.model == "deepseek-reasoner"
    assert (again.role, again.content) == ("user", "Where?")
    other = path(found, len(found.messages))
    assert other[-1].content == "Because of gravity."
    assert '{"query": "gravity"}' in (other[1].tool_calls or [{}])[0]["function"]["arguments"]
    assert found.asides == {"reasoning": 1, "notices": 1, "attachments": 1}


def test_an_answer_with_an_earlier_time_follows_its_question(tmp_path: Path) -> None:
    value = chat(
        node("root", None),
        node("1", "root", said("REQUEST", "Hi"), inserted_at="2025-04-02T09:00:00.010+08:00"),
        node("2", "1", said("RESPONSE", "Ho"), inserted_at="2025-04-02T09:00:00.006+08:00"),
    )
    assert spoken(read_one(tmp_path, [value])) == [("user", "Hi"), ("assistant", "Ho")]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_the_answer_of_the_web_interface_is_read(tmp_path: Path, levels: int) -> None:
    value: dict[str, Any] = {
        "chat_session": {
            "id": "d-2",
            "title": "Tea",
            "inserted_at": 1763826110.639,
            "updated_at": 1763826766.5,
            "current_message_id": 2,
        },
        "chat_messages": [
            {"message_id": 1, "parent_id": None, "role": "USER", "content": "How hot?"},
            {
                "message_id": 2,
                "parent_id": 1,
                "role": "ASSISTANT",
                "status": "INCOMPLETE",
                "content": "Ninety",
                "thinking_content": "green or black",
                "inserted_at": 1763826114.5,
            },
            {
                "message_id": 3,
                "parent_id": 1,
                "role": "ASSISTANT",
                "fragments": [{"id": 1, "type": "RESPONSE", "content": "Eighty", "references": []}],
            },
        ],
        "route_id": None,
    }
    for key in ("biz_data", "data")[:levels]:
        value = {"code": 0, "msg": "", key: value}
    found = read_one(tmp_path, value)
    assert (found.key, found.title) == ("d-2", "Tea")
    assert spoken(found) == [("user", "How hot?"), ("assistant", "Ninety")]
    assert (found.messages[1].metadata or {})["status"] == "interrupted"
    assert found.messages[1].created_at == datetime.fromtimestamp(1763826114.5, UTC)
    assert spoken(found, 3)[-1] == ("assistant", "Eighty")
    assert found.asides == {"reasoning": 1}


def test_saved_messages_without_ids_follow_each_other(tmp_path: Path) -> None:
    searched = [{"type": "TOOL_SEARCH"}, {"type": "SEARCH", "results": []}]
    messages = [
        {"role": "USER", "fragments": [{"type": "REQUEST", "content": "Hi"}]},
        {"role": "ASSISTANT", "fragments": [*searched, {"type": "RESPONSE", "content": "Ho"}]},
    ]
    path = write(tmp_path / "c.json", {"data": {"biz_data": {"chat_messages": messages}}})
    [[found], refusals] = read_all(path)
    assert (found.source, refusals) == ("deepseek", [])
    assert spoken(found) == [("user", "Hi"), ("assistant", "Ho")]


def test_an_older_export_with_text_and_no_fragments_alternates(tmp_path: Path) -> None:
    value = chat(
        node("root", None),
        node("1", "root", {}, fragments=None, content="Hi"),
        node("2", "1", {}, fragments=None, content="Ho"),
        node("3", "2", {}, fragments=None, content="Hm"),
    )
    assert [role for role, _ in spoken(read_one(tmp_path, value))] == ["user", "assistant", "user"]


def test_a_question_that_is_only_a_file_is_a_turn(tmp_path: Path) -> None:
    file = {"type": "FILE", "files": [{"file_id": "f", "file_name": "a.png"}]}
    value = chat(node("1", None, file), node("2", "1", said("RESPONSE", "A tree.")))
    assert spoken(read_one(tmp_path, value)) == [("user", "[a.png]"), ("assistant", "A tree.")]


def test_a_reply_stopped_while_thinking_is_kept_beside(tmp_path: Path) -> None:
    value = chat(node("1", None, said("REQUEST", "Hi")), node("2", "1", said("THINK", "so far")))
    found = read_one(tmp_path, value)
    assert spoken(found) == [("user", "Hi")]
    assert "so far" in json.dumps(found.metadata)


def test_an_unknown_fragment_is_reported(tmp_path: Path) -> None:
    value = chat(node("1", None, said("REQUEST", "Hi"), said("SONG", "tra la la")))
    [_, [refusal]] = read_all(write(tmp_path / "c.json", value))
    assert "part 2 was not understood" in refusal.reason


def test_a_chatgpt_export_is_not_taken_for_it(tmp_path: Path) -> None:
    message = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Hi"]}}
    value = chat({"id": "1", "parent": None, "children": [], "message": message})
    assert recognise(write(tmp_path / "c.json", value)) == "chatgpt"
