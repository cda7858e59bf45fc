"""ShareGPT chats as data sets spell them: calls, choices, media and pairs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.chat_files import path as thread
from tests.chat_files import read_all, spoken, write
from tests.formats.sharegpt import EXAMPLE, chats, named, turn

from faceplate.importers import Chat
from faceplate.importers.formats import sharegpt
from faceplate.importers.shapes import best_format


def read_one(tmp_path: Path, row: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "rows.json", [row]))
    assert refusals == []
    return chat


class TestExample:
    def test_every_row_is_a_chat(self, tmp_path: Path) -> None:
        found, refusals = read_all(write(tmp_path / "rows.json", EXAMPLE))
        assert ([chat.key for chat in found], refusals) == (["s-1", "s-2", "s-3", "s-4"], [])
        assert spoken(found[0]) == [
            ("system", "Answer briefly."),
            ("user", "<image>Which orchard is larger?<image>"),
            ("assistant", ""),
            ("assistant", ""),
            ("tool", "nine hectares"),
            ("tool", "seven hectares"),
            ("assistant", "The northern one."),
            ("user", "And both together?"),
            ("assistant", ""),
            ("tool", "sixteen"),
            ("tool", "told"),
            ("assistant", "It is rounded."),
            ("tool", "twenty"),
            ("assistant", "Sixteen hectares."),
        ]
        assert spoken(found[1]) == [
            ("user", "Which pear?"),
            ("assistant", ""),
            ("tool", "Conference"),
            ("assistant", "The Conference."),
        ]
        assert spoken(found[2]) == [
            ("user", "Which plum?"),
            ("assistant", "The Victoria."),
            ("user", "Why?"),
        ]
        assert spoken(found[3]) == [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello")]

    def test_results_answer_the_oldest_open_call(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE[0])
        named_by = {
            each["id"]: each["function"]["arguments"]
            for message in chat.messages
            for each in message.tool_calls or ()
        }
        answers = [
            (named_by[each["tool_call_id"]], each["content"])
            for message in chat.messages
            for each in message.tool_results or ()
        ]
        assert answers == [
            ('{"a": "north"}', "nine hectares"),
            ('{"a": "south"}', "seven hectares"),
            ('{"a": 9, "b": 7}', "sixteen"),
            ('{"to": "me"}', "told"),
            ("{}", "twenty"),
        ]

    def test_the_answers_to_choose_from_are_branches(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE[0])
        said = [message.content for message in chat.messages]
        rejected = thread(chat, said.index("I cannot add.") + 1)
        assert [message.content for message in rejected][-2:] == ["twenty", "I cannot add."]

    def test_pictures_models_times_and_reasoning_are_kept(self, tmp_path: Path) -> None:
        body = read_one(tmp_path, EXAMPLE[0]).messages[1].body
        assert body is not None
        pictures = json.loads(body)["attachments"]
        assert [(each["name"], each["reference"]) for each in pictures] == [
            ("north.png", "maps/north.png"),
            ("south.png", "south.png"),
        ]
        other = read_one(tmp_path, EXAMPLE[1])
        assert other.messages[1].model == "model-x"
        assert "I look it up." in json.dumps(other.messages[1].metadata)
        assert other.messages[3].created_at is not None
        assert other.messages[3].created_at.year == 2023

    def test_media_beside_openais_messages_are_read(self, tmp_path: Path) -> None:
        messages = [{"role": "user", "content": "<audio>Hm?<video>"}]
        row = {"messages": messages, "audios": ["a.mp3"], "videos": [["1.jpg", "2.jpg"]]}
        body = read_one(tmp_path, row).messages[0].body
        assert body is not None
        media = json.loads(body)["attachments"]
        assert [(each["kind"], each["name"]) for each in media] == [
            ("video", "1.jpg"),
            ("audio", "a.mp3"),
            ("video", "2.jpg"),
        ]


class TestCalls:
    @pytest.mark.parametrize(
        ("value", "names"),
        [
            (json.dumps(named("a")), ["a"]),
            (json.dumps([named("a"), named("b")]), ["a", "b"]),
            (named("a"), ["a"]),
            ([named("a"), named("b")], ["a", "b"]),
            (json.dumps({"type": "function", "function": named("a")}), ["a"]),
            (f"<think>Hm</think>\n{json.dumps(named('a'))}", ["a"]),
            (f"<tool_call>{json.dumps(named('a'))}</tool_call>", ["a"]),
            ("a()", ["function"]),
        ],
    )
    def test_calls_of_every_spelling_are_read(
        self, tmp_path: Path, value: object, names: list[str]
    ) -> None:
        turns = [turn("human", "Go"), turn("function_call", value)]
        turns += [turn("observation", name) for name in names]
        chat = read_one(tmp_path, {"conversations": turns})
        calls = [each for message in chat.messages for each in message.tool_calls or ()]
        assert [each[each["type"]]["name"] for each in calls] == names

    def test_a_list_of_results_answers_the_calls_in_their_order(self, tmp_path: Path) -> None:
        results = [{"tool_call_id": f"c{n}", "name": "a", "content": f"{n}"} for n in (1, 2)]
        turns = [
            turn("human", "Go"),
            turn("function_call", json.dumps([named("a", n=1), named("a", n=2)])),
            turn("observation", json.dumps(results)),
            turn("gpt", "Done"),
        ]
        chat = read_one(tmp_path, {"conversations": turns})
        assert spoken(chat)[2:] == [("tool", "1"), ("tool", "2"), ("assistant", "Done")]

    def test_openais_messages_keep_their_ids(self, tmp_path: Path) -> None:
        made = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
        turns = [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": None, "tool_calls": [made]},
            {"role": "ipython", "tool_call_id": "c1", "content": "1"},
            {"role": "assistant", "content": "One", "reasoning_content": "I count."},
        ]
        chat = read_one(tmp_path, {"conversations": turns})
        assert (chat.messages[1].tool_calls or [{}])[0]["id"] == "c1"
        assert (chat.messages[2].tool_results or [{}])[0]["tool_call_id"] == "c1"
        assert "I count." in json.dumps(chat.messages[3].metadata)

    def test_tags_without_an_end_are_text(self, tmp_path: Path) -> None:
        said = "Write <tool_call> before a call"
        assert spoken(read_one(tmp_path, {"conversations": [turn("gpt", said)]})) == [
            ("assistant", said)
        ]


class TestForms:
    @pytest.mark.parametrize(
        "row",
        [
            {"conversation": [{"human": "Hi", "assistant": "Ho"}]},
            {"data": ["Hi", "Ho"]},
            {"conversations": [["human", "Hi"], ["gpt", "Ho"]]},
            {"conversations": [turn("user", "Hi"), turn("assistant", "Ho")], "kto_tag": True},
            {"messages": [turn("human", "Hi")], "chosen": turn("gpt", "Ho"), "rejected": "No"},
        ],
    )
    def test_rows_of_every_form_are_read(self, tmp_path: Path, row: dict[str, Any]) -> None:
        assert spoken(read_one(tmp_path, row)) == [("user", "Hi"), ("assistant", "Ho")]

    @pytest.mark.parametrize(
        "value",
        [
            {"data": [{"role": "user", "content": "Hi"}]},
            {"data": ["one"]},
            {"items": [{"input": "Hi", "output": "Ho"}]},
            {"messages": [{"role": "user", "content": "Hi"}]},
        ],
    )
    def test_other_lists_are_left_to_other_formats(self, value: dict[str, Any]) -> None:
        assert sharegpt.fits(value) == 0
        assert best_format(value) is not sharegpt.FORMAT


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_row_is_read(value: dict[str, Any]) -> None:
    """No shape of a row may stop the import."""
    [chat] = sharegpt.read(value)
    assert chat.messages
