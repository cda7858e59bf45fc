"""ChatGPT exports: a chat is a tree, and what was not shown is kept as well."""

import json
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import DATA, MORE, chatgpt, existing, node, read_all, spoken, write

from faceplate.importers import Chat, Refusal
from faceplate.importers.chats import Place
from faceplate.services.messages import NewMessage

EXPORTS = [(DATA / "chatgpt_export.json", [6, 4]), (MORE / "chatgpt_export.json", [10])]
PAGE = {
    "content_type": "sonic_webpage",
    "url": "u",
    "domain": "example.com",
    "title": "T",
    "text": "They said it.",
    "pub_date": None,
    "crawl_date": "2025-04-01",
    "ref_id": "turn0search0",
}


def read(tmp_path: Path, *chats: object) -> list[Chat]:
    found, refusals = read_all(write(tmp_path / "conversations.json", list(chats)))
    assert refusals == []
    return found


def read_thread(tmp_path: Path, *nodes: dict[str, Any]) -> Sequence[NewMessage]:
    """The messages of a chat without branches; each node follows the one before it."""
    previous = None
    for each in nodes:
        each["parent"], previous = previous, each["id"]
    [chat] = read(tmp_path, chatgpt(nodes))
    return chat.messages


def read_content(tmp_path: Path, content: Any, role: str = "assistant") -> NewMessage:
    asked, answered = read_thread(
        tmp_path, node("a", None, "user", "Go"), node("b", None, role, content)
    )
    assert asked.content == "Go"
    return answered


class TestBranches:
    def test_a_chat_is_one_and_has_each_message_once(self, tmp_path: Path) -> None:
        """Else 60 regenerated answers to a long chat are 60 copies of it."""
        [chat] = read(
            tmp_path,
            chatgpt(
                [
                    node("root", None),
                    node("q", "root", "user", "Pear?"),
                    node("a1", "q", "assistant", "A fruit."),
                    node("a2", "q", "assistant", "A tree."),
                    node("q2", "a2", "user", "Tall?"),
                ]
            ),
        )
        assert (chat.source, chat.key, chat.title) == ("chatgpt", "c-1", "Pears")
        assert spoken(chat) == [("user", "Pear?"), ("assistant", "A tree."), ("user", "Tall?")]
        assert [m.content for m in chat.messages] == ["Pear?", "A fruit.", "A tree.", "Tall?"]
        assert (chat.parents, chat.head) == ([None, None, 1, None], None)

    def test_the_path_ends_at_the_current_node(self, tmp_path: Path) -> None:
        """Else a chat would be shown with answers that its author had thrown away."""
        nodes = [
            node("q", None, "user", "Pear?"),
            node("a1", "q", "assistant", "A fruit."),
            node("q2", "a1", "user", "Sweet?"),
            node("a2", "q", "assistant", "A tree."),
        ]
        [chat] = read(tmp_path, chatgpt(nodes, current="q2"))
        assert (chat.parents, chat.head) == ([None, None, None, 1], 3)
        assert spoken(chat) == [("user", "Pear?"), ("assistant", "A fruit."), ("user", "Sweet?")]

    def test_alternatives_are_in_the_order_of_the_source(self, tmp_path: Path) -> None:
        """By that a page says `2 of 3`."""
        chat = chatgpt(
            [
                node("q", None, "user", "Hi"),
                node("c", "q", "assistant", "C"),
                node("a", "q", "assistant", "A"),
                node("a2", "a", "user", "AA"),
                node("b", "q", "assistant", "B"),
            ]
        )
        chat["mapping"]["q"]["children"] = ["a", "b", "c"]
        [read_chat] = read(tmp_path, chat)
        assert [m.content for m in read_chat.messages] == ["Hi", "A", "AA", "B", "C"]
        assert (read_chat.parents, read_chat.head) == ([None, None, None, 1, 1], 4)

    def test_a_chat_without_branches_stores_nothing_about_them(self, tmp_path: Path) -> None:
        nodes = [node("q", None, "user", "Hi"), node("a", "q", "assistant", "Ho")]
        [chat] = read(tmp_path, chatgpt(nodes))
        assert (chat.parents, chat.head) == (None, None)

    def test_a_current_node_that_is_no_leaf_ends_the_path(self, tmp_path: Path) -> None:
        [chat] = read(
            tmp_path,
            chatgpt(
                [node("a", None, "user", "1"), node("b", "a", "user", "2")],
                current="a",
            ),
        )
        assert spoken(chat) == [("user", "1")]
        assert (len(chat.messages), chat.parents, chat.head) == (2, None, 1)

    @pytest.mark.parametrize("current", [None, "nowhere", 7, ["a"]])
    def test_without_a_current_node_the_newest_leaf_is_shown(
        self, tmp_path: Path, current: object
    ) -> None:
        new = node("new", "q", "assistant", "New", create_time=1_800_000_000)
        old = node("old", "q", "assistant", "Old")
        chat = chatgpt([node("q", None, "user", "Hi"), new, old])
        [found] = read(tmp_path, {**chat, "current_node": current})
        assert spoken(found) == [("user", "Hi"), ("assistant", "New")]

    def test_a_node_whose_parent_is_missing_is_a_first_message(self, tmp_path: Path) -> None:
        [chat] = read(
            tmp_path,
            chatgpt([node("lost", "gone", "user", "Lost"), node("a", None, "user", "Here")]),
        )
        assert [spoken(chat), spoken(chat, 2)] == [[("user", "Here")], [("user", "Lost")]]
        assert chat.parents == [None, 2]

    def test_a_cycle_is_cut(self, tmp_path: Path) -> None:
        """It must not hang, nor cost a message."""
        nodes = [node("a", "c", "user", "1"), node("b", "a", "user", "2")]
        [chat] = read(tmp_path, chatgpt([*nodes, node("c", "b", "user", "3")]))
        assert [content for _, content in spoken(chat)] == ["1", "2", "3"]

    def test_a_branch_of_which_nothing_was_shown_is_no_message(self, tmp_path: Path) -> None:
        """An answer that was stopped before its first word would look like a chat cut short."""
        empty = node("stopped", "q", "assistant", "", status="in_progress")
        [chat] = read(
            tmp_path,
            chatgpt([node("q", None, "user", "Hi"), empty, node("a", "q", "assistant", "Ho")]),
        )
        assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho")]
        assert chat.parents is None
        assert [hidden["id"] for hidden in chat.metadata["hidden"]] == ["stopped"]

    def test_what_was_hidden_before_alternatives_is_kept_once(self, tmp_path: Path) -> None:
        hidden = node("h", "q", "assistant", {"content_type": "thoughts", "thoughts": [{"a": "x"}]})
        [chat] = read(
            tmp_path,
            chatgpt(
                [
                    node("q", None, "user", "Hi"),
                    hidden,
                    node("a1", "h", "assistant", "Ho"),
                    node("a2", "h", "assistant", "Hey"),
                ]
            ),
        )
        assert [bool((m.metadata or {}).get("hidden")) for m in chat.messages] == [
            *(False, True, False)
        ]
        assert chat.parents == [None, None, 1]


class TestHidden:
    @pytest.mark.parametrize(
        "hidden",
        [
            node("h", None, "system", "", weight=0.0),
            node("h", None, "system", "Be brief", weight=0),
            node("h", None, "tool", "x", metadata={"is_visually_hidden_from_conversation": True}),
            node("h", None, "user", {"content_type": "user_editable_context", "user_profile": "x"}),
            node("h", None, "assistant", {"content_type": "model_editable_context"}),
            node("h", None, "assistant", {"content_type": "thoughts", "thoughts": [{"a": "x"}]}),
            node("h", None, "assistant", {"content_type": "reasoning_recap", "content": "7 s"}),
        ],
    )
    def test_what_was_not_shown_is_kept_with_the_message_after_it(
        self, tmp_path: Path, hidden: dict[str, Any]
    ) -> None:
        [said] = read_thread(tmp_path, node("r", None), hidden, node("q", None, "user", "Hi"))
        assert said.content == "Hi"
        assert said.metadata is not None
        assert said.metadata["hidden"] == [hidden["message"]]

    def test_after_the_last_message_it_is_kept_with_the_chat(self, tmp_path: Path) -> None:
        thoughts = node("t", "q", "assistant", {"content_type": "thoughts", "thoughts": []})
        [chat] = read(tmp_path, chatgpt([node("q", None, "user", "Hi"), thoughts]))
        assert spoken(chat) == [("user", "Hi")]
        assert chat.metadata["hidden"] == [thoughts["message"]]

    def test_a_chat_of_which_nothing_was_shown_is_empty(self, tmp_path: Path) -> None:
        [chat] = read(tmp_path, chatgpt([node("s", None, "system", "", weight=0)], title=None))
        assert (chat.title, chat.messages) == ("New Chat", [])


def test_the_role_of_the_first_exports_is_read(tmp_path: Path) -> None:
    """They have no author; else the user's words are the assistant's."""
    nodes = [node("q", None, "user", "Hi"), node("a", "q", "assistant", "Ho")]
    for each in nodes:
        each["message"]["role"] = each["message"].pop("author")["role"]
    [chat] = read(tmp_path, chatgpt(nodes))
    assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho")]


class TestContent:
    @pytest.mark.parametrize(
        ("content", "text"),
        [
            ({"content_type": "text", "parts": ["One", "two"]}, "One\ntwo"),
            ({"content_type": "code", "language": "python", "text": "1"}, "```python\n1\n```"),
            ({"content_type": "code", "language": "unknown", "text": "1"}, "```\n1\n```"),
            ({"content_type": "code", "text": "a ``` b"}, "````\na ``` b\n````"),
            (
                {"content_type": "code", "text": "`" * 99},
                "\n".join(["`" * 100, "`" * 99, "`" * 100]),
            ),
            ({"content_type": "execution_output", "text": "3"}, "3"),
            ({"content_type": "system_error", "name": "Oh", "text": "no"}, "no"),
            ({"content_type": "tether_browsing_display", "result": "Page"}, "Page"),
            (
                {"content_type": "tether_quote", "url": "u", "title": "T", "text": "said"},
                "T\nu\nsaid",
            ),
            ({**PAGE, "content_type": "tether_quote"}, "T\nu\nThey said it."),
            ({**PAGE, "snippet": "said"}, "T\nu\nThey said it."),
            ({**PAGE, "snippet": "A summary."}, "T\nu\nThey said it.\nA summary."),
            ({"content_type": "citable_code_output", "output_str": "3"}, "3"),
            ({"content_type": "of_next_year", "text": "new", "more": 1}, "new"),
            ({"parts": ["untyped"]}, "untyped"),
        ],
    )
    def test_its_text_is_the_messages(self, tmp_path: Path, content: Any, text: str) -> None:
        assert read_content(tmp_path, content).content == text

    def test_what_is_no_text_is_kept_by_its_place(self, tmp_path: Path) -> None:
        image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f"}
        said = {"content_type": "audio_transcription", "text": "Hear me", "direction": "in"}
        message = read_content(
            tmp_path,
            {"content_type": "multimodal_text", "parts": [image, "Look:", said], "extra": 1},
            role="user",
        )
        assert message.content == "Look:\nHear me"
        assert message.metadata is not None
        transcription = {"content_type": "audio_transcription", "direction": "in"}
        assert message.metadata["asides"] == {"speech": [transcription]}
        assert message.body is not None
        assert json.loads(message.body) == {
            "attachments": [
                {"kind": "image", "reference": "file-service://f", "part": image},
            ]
        }
        assert message.metadata["source"]["content"] == {
            "content_type": "multimodal_text",
            "extra": 1,
        }

    def test_content_of_an_unknown_kind_is_kept_whole(self, tmp_path: Path) -> None:
        content = {"content_type": "hologram", "voxels": [1, 2]}
        message = read_content(tmp_path, content)
        assert message.content == ""
        assert message.metadata is not None
        assert message.metadata["content_parts"] == [{"index": 0, "part": content}]

    def test_times_status_and_unknown_keys_are_kept(self, tmp_path: Path) -> None:
        [message] = read_thread(
            tmp_path,
            node(
                "a",
                None,
                "assistant",
                "Half an ans",
                create_time=1_700_000_000.25,
                status="in_progress",
                metadata={"model_slug": "gpt-4o"},
                novelty={"deep": [1]},
            ),
        )
        assert message.metadata is not None
        assert message.created_at == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
        assert message.model == "gpt-4o"
        assert message.metadata["status"] == "interrupted"
        assert message.metadata["source"]["metadata"] == {"model_slug": "gpt-4o"}
        assert message.metadata["source"]["novelty"] == {"deep": [1]}

    def test_what_stands_beside_a_message_is_kept(self, tmp_path: Path) -> None:
        bare, said = node("r", None), node("q", None, "user", "Hi")
        for each in (bare, said):
            each["novelty"] = each["id"]
        [message] = read_thread(tmp_path, bare, said)
        assert message.metadata is not None
        assert message.metadata["hidden"] == [{"novelty": "r"}]
        assert message.metadata["source"]["node"] == {"novelty": "q"}

    def test_the_chats_own_fields_are_kept(self, tmp_path: Path) -> None:
        [chat] = read(
            tmp_path,
            chatgpt([node("q", None, "user", "Hi")], gizmo_id="g-1", title="T" * 300),
        )
        assert len(chat.title) == 255
        assert chat.created_at == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
        assert chat.metadata == {
            "title": "T" * 300,
            "source": {
                "create_time": 1_700_000_000.5,
                "update_time": 1_700_000_100,
                "gizmo_id": "g-1",
            },
        }

    def test_what_has_no_time_has_the_one_before_it(self, tmp_path: Path) -> None:
        """With the time of the import, an old chat would be the newest of the list."""
        nodes = [
            node("q", None, "user", "Hi", create_time=None),
            node("a", "q", "assistant", "Ho", create_time=1_700_000_007),
            node("b", "a", "user", "Go", create_time="soon"),
            node("c", "q", "assistant", "Hey", create_time=None),
        ]
        [chat] = read(tmp_path, chatgpt(nodes))
        began = datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
        answered = datetime(2023, 11, 14, 22, 13, 27, tzinfo=UTC)
        assert [m.created_at for m in chat.messages] == [began, answered, answered, began]
        [timeless] = read(tmp_path, chatgpt(nodes, create_time=None))
        assert timeless.created_at == answered
        assert [m.created_at for m in timeless.messages] == [answered] * 4

    def test_developers_are_developers(self, tmp_path: Path) -> None:
        [message] = read_thread(tmp_path, node("d", None, "developer", "Be brief"))
        assert message.role == "developer"
        assert "role" not in (message.metadata or {})

    @pytest.mark.parametrize("role", ["critic", None, 7])
    def test_an_unknown_author_is_kept_beside_the_text(self, tmp_path: Path, role: Any) -> None:
        told = node("b", None, "user", "Boo")
        told["message"]["author"] = {"role": role}
        [[chat], refusals] = read_all(write(tmp_path / "c.json", [chatgpt([told])]))
        assert "message 1: its role was not understood" in str(refusals)
        [message] = chat.messages
        assert (message.role, message.content) == ("assistant", "Boo")
        assert message.metadata is not None
        assert message.metadata["role"] == (role if isinstance(role, str) else "unknown")
        assert message.metadata["source"]["author"] == {"role": role}


class TestTools:
    def test_a_call_and_its_result_are_paired(self, tmp_path: Path) -> None:
        """Else no model could take up the thread again."""
        code = {"content_type": "code", "language": "python", "text": "1 + 2"}
        output = {"content_type": "execution_output", "text": "3"}
        _, made, answered, said = read_thread(
            tmp_path,
            node("q", None, "user", "Sum?"),
            node("call", None, "assistant", code, recipient="python"),
            node("out", None, "tool", output, name="python"),
            node("a", None, "assistant", "Three."),
        )
        custom = {"name": "python", "input": "1 + 2"}
        assert made.tool_calls == [{"id": "call", "type": "custom", "custom": custom}]
        assert made.content == ""
        assert answered.tool_results == [{"tool_call_id": "call", "content": "3"}]
        assert said.content == "Three."

    def test_a_call_with_json_is_a_functions(self, tmp_path: Path) -> None:
        made, answered = read_thread(
            tmp_path,
            node("call", None, "assistant", '{"size": 1}', recipient="dalle.text2im"),
            node("out", None, "tool", "Drawn", name="dalle.text2im"),
        )
        function = {"name": "dalle.text2im", "arguments": '{"size": 1}'}
        assert made.tool_calls == [{"id": "call", "type": "function", "function": function}]
        assert answered.role == "tool"

    def test_a_result_answers_the_newest_call_of_its_tool(self, tmp_path: Path) -> None:
        messages = read_thread(
            tmp_path,
            node("c1", None, "assistant", "look", recipient="web.search"),
            node("c2", None, "assistant", "1", recipient="python"),
            node("r1", None, "tool", "Found", name="web"),
            node("r2", None, "tool", "One", name="python"),
        )
        results = [message.tool_results for message in messages if message.tool_results]
        assert [result["tool_call_id"] for [result] in results] == ["c1", "c2"]

    def test_a_call_nobody_answered_is_text(self, tmp_path: Path) -> None:
        """As a call it would keep a model waiting for its result for ever."""
        call, question = read_thread(
            tmp_path,
            node("c", None, "assistant", "Remember me", recipient="bio"),
            node("q", None, "user", "Do you?"),
        )
        assert (call.role, call.content) == ("assistant", "[bio]\n```\nRemember me\n```")
        assert call.tool_calls is None
        assert call.metadata is not None
        assert call.metadata["lone_tool_calls"] == [{"id": "c", "name": "bio"}]
        assert question.content == "Do you?"

    def test_a_result_nobody_asked_for_is_an_assistants_text(self, tmp_path: Path) -> None:
        """As a system message it would give a web page the authority of a prompt."""
        messages = read_thread(
            tmp_path,
            node("c", None, "assistant", "open", recipient="browser"),
            node("r1", None, "tool", "Page 1", name="browser"),
            node("r2", None, "tool", "Page 2", name="browser"),
            node("q", None, "user", "So?"),
            node("r3", None, "tool", "Late", name="browser"),
        )
        assert [message.role for message in messages] == [
            "assistant",
            "tool",
            "assistant",
            "user",
            "assistant",
        ]
        assert messages[2].metadata is not None
        assert (messages[2].metadata["role"], messages[2].metadata["tool"]) == ("tool", "browser")

    def test_each_branch_has_a_result_of_its_own(self, tmp_path: Path) -> None:
        """They answer one call: over the list, the second would answer nothing."""
        [chat] = read(
            tmp_path,
            chatgpt(
                [
                    node("c", None, "assistant", "1 + 2", recipient="python"),
                    node("r1", "c", "tool", "Timeout", name="python"),
                    node("a1", "r1", "assistant", "It failed."),
                    node("r2", "c", "tool", "3", name="python"),
                    node("a2", "r2", "assistant", "Three."),
                ]
            ),
        )
        assert chat.parents == [None, None, None, 1, None]
        results = [message.tool_results for message in chat.messages if message.tool_results]
        assert [result["tool_call_id"] for [result] in results] == ["c", "c"]

    def test_a_call_that_one_branch_leaves_open_is_text(self, tmp_path: Path) -> None:
        """On that branch, as a call it would keep a model waiting for its result for ever."""
        [chat] = read(
            tmp_path,
            chatgpt(
                [
                    node("c", None, "assistant", "1 + 2", recipient="python"),
                    node("r", "c", "tool", "3", name="python"),
                    node("q", "c", "user", "Never mind"),
                ]
            ),
        )
        assert [message.role for message in chat.messages] == ["assistant", "assistant", "user"]
        assert [message.content for message in chat.messages] == [
            *("[python]\n```\n1 + 2\n```", "3", "Never mind")
        ]

    def test_a_hidden_result_still_answers_its_call(self, tmp_path: Path) -> None:
        hidden = {"is_visually_hidden_from_conversation": True}
        made, answered, _ = read_thread(
            tmp_path,
            node("c", None, "assistant", "search", recipient="web"),
            node("r", None, "tool", "Found", name="web", metadata=hidden),
            node("a", None, "assistant", "Here."),
        )
        assert made.tool_calls
        assert answered.tool_results == [{"tool_call_id": "c", "content": "Found"}]


class TestLimits:
    def test_text_that_is_too_long_goes_on_in_another_message(self, tmp_path: Path) -> None:
        long = "x" * 1_000_000 + "y" * 1_000_000 + "z"
        messages = read_thread(tmp_path, node("q", None, "user", long))
        assert "".join(message.content for message in messages) == long
        assert [message.role for message in messages] == ["user"] * 3
        assert [(m.metadata or {}).get("piece") for m in messages] == [None, 2, 3]
        assert (messages[0].metadata or {})["pieces"] == 3

    def test_a_result_that_is_too_long_still_answers(self, tmp_path: Path) -> None:
        messages = read_thread(
            tmp_path,
            node("c", None, "assistant", "all", recipient="files"),
            node("r", None, "tool", "x" * 1_500_000, name="files"),
        )
        assert [message.role for message in messages] == ["assistant", "tool", "assistant"]
        assert sum(len(message.content) for message in messages) == 1_500_000
        assert messages[2].metadata == {"role": "tool", "piece": 2}

    def test_a_call_that_is_too_long_is_text(self, tmp_path: Path) -> None:
        messages = read_thread(
            tmp_path,
            node("c", None, "assistant", "x" * 1_500_000, recipient="files"),
            node("r", None, "tool", "Done", name="files"),
        )
        assert [message.role for message in messages] == ["assistant"] * 3
        assert sum(message.content.count("x") for message in messages) == 1_500_000

    def test_characters_that_cannot_be_stored_are_replaced_and_counted(
        self, tmp_path: Path
    ) -> None:
        """One of them in ten years of chats must not cost the chat."""
        path = tmp_path / "conversations.json"
        chat = json.dumps([chatgpt([node("q", None, "user", "a?b", odd="c?d")])])
        path.write_text(chat.replace("?", "\\u0000\\ud800"))
        [[read_chat], _] = read_all(path)
        [message] = read_chat.messages
        assert message.content == "a\ufffd\ufffdb"
        assert message.metadata is not None
        assert message.metadata["replaced_chars"] == 2
        assert message.metadata["source"]["odd"] == "c\ufffd\ufffdd"

    def test_ids_that_cannot_be_stored_are_replaced_too(self, tmp_path: Path) -> None:
        nodes = [node("q", None, "user", "Hi"), node("?", "q", "assistant", "1")]
        chat = json.dumps([chatgpt([*nodes, node("b", "q", "assistant", "2")], id="c?")])
        path = tmp_path / "conversations.json"
        path.write_text(chat.replace("?", "\\ud800").replace('"c-1"', '"c\\ud800"'))
        [[read_chat], _] = read_all(path)
        assert read_chat.key == "c\ufffd"
        assert read_chat.names is not None
        assert read_chat.names[1] == "1:\ud800"

    def test_a_key_that_is_too_long_is_its_hash(self, tmp_path: Path) -> None:
        long = "c" * 3_000
        nodes = [node("q", None, "user", "Hi")]
        [chat] = read(tmp_path, chatgpt(nodes, id=long, conversation_id=long))
        assert chat.key.startswith("sha256:")
        assert chat.metadata["source"]["id"] == long

    def test_metadata_that_are_too_large_lose_their_largest_piece(self, tmp_path: Path) -> None:
        """And the report says so: else nobody would know what is missing."""
        big = node("q", None, "user", "Hi", metadata={"page": "hunter2" * 50_000, "small": "kept"})
        chats, refusals = read_all(write(tmp_path / "c.json", [chatgpt([big])]))
        [[message]] = [chat.messages for chat in chats]
        assert message.metadata is not None
        assert message.metadata["source"]["metadata"] == {"page": None, "small": "kept"}
        [left_out] = message.metadata["left_out"]
        assert (left_out["at"], left_out["chars"]) == ("source.metadata.page", 350_000)
        assert len(left_out["sha256"]) == 64
        reason = "imported, but message 1: 350,000 characters of metadata left out"
        assert refusals == [Refusal(Place("chat", 1), reason)]

    def test_a_value_that_is_nested_too_deeply_is_kept_as_text(self, tmp_path: Path) -> None:
        deep = json.loads('{"x":' * 60 + "1" + "}" * 60)
        [message] = read_thread(tmp_path, node("q", None, "user", "Hi", deep=deep))
        assert message.metadata is not None
        inner = message.metadata["source"]["deep"]
        while isinstance(inner, dict):
            inner = inner["x"]
        assert json.loads(inner)["x"]

    def test_numbers_that_would_come_back_as_others_are_kept_as_text(self, tmp_path: Path) -> None:
        [message] = read_thread(tmp_path, node("q", None, "user", "Hi", n=[2**70, 1e300, 7]))
        assert message.metadata is not None
        assert message.metadata["source"]["n"] == [str(2**70), "1e+300", 7]

    def test_thousands_of_values_fit_or_are_left_out_whole(self, tmp_path: Path) -> None:
        many = {str(number): number for number in range(30_000)}
        path = write(tmp_path / "c.json", [chatgpt([node("q", None, "user", "Hi", many=many)])])
        [[chat], [refusal]] = read_all(path)
        assert chat.messages[0].content == "Hi"
        assert "left out" in refusal.reason


class TestFiles:
    def test_a_bad_chat_costs_nobody_the_others(self, tmp_path: Path) -> None:
        good = chatgpt([node("q", None, "user", "Hi")])
        path = write(tmp_path / "c.json", [good, {"mapping": None, "title": "x"}, 7, good])
        chats, refusals = read_all(path)
        assert len(chats) == 2
        assert refusals == [
            Refusal(Place("chat", 2), "of no format that can be read; its keys are mapping, title"),
            Refusal(Place("chat", 3), "not an object"),
        ]

    def test_nodes_of_any_shape_are_passed_over(self, tmp_path: Path) -> None:
        mapping = {"a": None, "b": 7, "c": {"message": "odd"}, "d": {"message": {"author": 1}}}
        [[chat], refusals] = read_all(write(tmp_path / "c.json", [{"mapping": mapping}]))
        assert spoken(chat) == [("assistant", "odd")]
        assert len(refusals) == 1

    def test_an_archive_is_read_as_it_arrived(self, tmp_path: Path) -> None:
        """Nobody should have to unpack it, or to find the right file in it."""
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("me/user.json", "{}")
            archive.writestr("__MACOSX/me/conversations.json", "junk")
            for number in (1, 0):
                chat = chatgpt(
                    [node(f"q{number}", None, "user", "Hi")], conversation_id=f"{number}"
                )
                archive.writestr(f"me/conversations-00{number}.json", json.dumps([chat, 7]))
        chats, refusals = read_all(path)
        assert [chat.key for chat in chats] == ["0", "1"]
        assert [str(refusal.place) for refusal in refusals] == [
            "me/conversations-000.json chat 2",
            "me/conversations-001.json chat 2",
        ]

    def test_a_damaged_archive_gives_what_it_can(self, tmp_path: Path) -> None:
        path = tmp_path / "export.zip"
        chats = [
            chatgpt([node(f"q{n}", None, "user", f"{n}" * 5_000)], conversation_id=f"{n}")
            for n in range(50)
        ]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("conversations.json", json.dumps(chats))
        content = bytearray(path.read_bytes())
        content[-2_000] ^= 1  # within the last chat
        path.write_bytes(content)
        found, refusals = read_all(path)
        assert len(found) >= 30
        assert "damaged" in refusals[-1].reason

    def test_an_archive_without_chats_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "photos.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("photo.jpg", b"x")
        assert read_all(path) == (
            [],
            [Refusal(Place("file", 1), "an archive without a file of chats")],
        )

    def test_an_encrypted_archive_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", "[]")
        content = bytearray(path.read_bytes())
        content[content.index(b"PK\x01\x02") + 8] |= 1  # as the directory says it
        path.write_bytes(content)
        assert read_all(path) == ([], [Refusal(Place("file", 1), "an archive that is encrypted")])

    def test_a_file_that_is_no_archive_after_all_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "export.zip"
        path.write_bytes(b"PK\x03\x04 and nothing more")
        [[], [refusal]] = read_all(path)
        assert "damaged" in refusal.reason

    @pytest.mark.parametrize(("path", "lengths"), existing(EXPORTS))
    def test_a_whole_export_is_read(self, path: Path, lengths: list[int]) -> None:
        chats, refusals = read_all(path)
        assert refusals == []
        assert [len(chat.messages) for chat in chats] == lengths
        roles = [role for role, _ in spoken(chats[0])]
        assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_node_may_have_an_empty_name(tmp_path: Path) -> None:
    nodes = [node("", "a", "user", "Which tea?"), node("a", "b", "assistant", "The green one.")]
    [chat] = read(tmp_path, {**chatgpt(nodes), "current_node": ""})
    assert spoken(chat) == [("assistant", "The green one."), ("user", "Which tea?")]
