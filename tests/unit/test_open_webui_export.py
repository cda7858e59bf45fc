"""Open WebUI exports: a chat with its branches, and all that stands beside the text."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import DATA, MORE, existing, open_webui, read_all, reply, spoken, write

from faceplate.importers import Chat
from faceplate.importers.chats import Place
from faceplate.services.messages import NewMessage

EXPORTS = [
    (DATA / "open_webui_export.json", ["🍁 Red leaves"]),
    (MORE / "openwebui_export.json", ["🧠 Goldwater Rule Ethics"]),
]


def read(tmp_path: Path, *chats: object) -> list[Chat]:
    found, refusals = read_all(write(tmp_path / "chats.json", list(chats)))
    assert refusals == []
    return found


def read_reply(tmp_path: Path, **fields: Any) -> NewMessage:
    """The reply to a question, with ``fields`` of its own."""
    answer = reply("a", "q", "assistant", fields.pop("content", "Ho"), **fields)
    [chat] = read(tmp_path, open_webui([reply("q", None, "user", "Hi"), answer]))
    return chat.messages[-1]


def attachments(message: NewMessage) -> list[dict[str, Any]]:
    assert message.body is not None
    found: list[dict[str, Any]] = json.loads(message.body)["attachments"]
    return found


class TestForms:
    @pytest.mark.parametrize("form", ["list", "one", "bare", "bare list", "old"])
    def test_a_chat_is_found_in_every_form(self, tmp_path: Path, form: str) -> None:
        wrapped = open_webui([reply("q", None, "user", "Hi"), reply("a", "q", "assistant", "Ho")])
        bare = wrapped["chat"]
        old = {"title": "Plums", "messages": list(bare["history"]["messages"].values())}
        value = {
            "list": [wrapped],
            "one": wrapped,
            "bare": bare,
            "bare list": [bare],
            "old": old,
        }[form]
        [[chat], refusals] = read_all(write(tmp_path / "chats.json", value))
        assert refusals == []
        assert (chat.title, chat.source) == ("Plums", "open-webui")
        assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho")]
        assert chat.key.split()[0] == ("w-1" if form in ("list", "one") else "message:q")

    def test_a_chat_without_id_is_known_by_its_first_message(self, tmp_path: Path) -> None:
        """Else a chat that is exported once more, with more in it, would be stored twice."""
        question, answer = reply("q", None, "user", "Hi"), reply("a", "q", "assistant", "Ho")
        [before] = read(tmp_path, open_webui([question], id="")["chat"])
        question["childrenIds"].clear()
        [after] = read(tmp_path, open_webui([question, answer], id="")["chat"])
        assert before.key == after.key
        assert before.key.startswith("message:q sha256:")

    def test_chats_without_any_id_are_told_apart(self, tmp_path: Path) -> None:
        """Else the second one would be taken for an edited version of the first."""
        bare = [{"role": "user", "content": text} for text in ("Pears?", "Plums?")]
        chats = [{"chat": {"title": "Pears?", "tag": "Pears?", "messages": [m]}} for m in bare]
        pears, plums = read(tmp_path, *chats)
        assert pears.key != plums.key
        assert [pears.key, plums.key] == [chat.key for chat in read(tmp_path, *chats)]
        assert pears.metadata["source"]["chat"]["tag"] == "Pears?"

    def test_a_list_that_repeats_the_tree_is_not_kept_twice(self, tmp_path: Path) -> None:
        chat = open_webui([reply("q", None, "user", "Hi")])
        chat["chat"]["messages"] = list(chat["chat"]["history"]["messages"].values())
        [plain] = read(tmp_path, chat)
        assert plain.metadata["source"] == {
            "user_id": "u-1",
            "created_at": 1_700_000_000,
            "updated_at": 1_700_000_100,
            "chat": {"models": ["llama"]},
        }
        chat["chat"]["messages"][0]["content"] = "Otherwise"
        other = json.loads(json.dumps(chat))
        other["chat"]["messages"].append({"id": "z", "content": "lost"})
        [[kept], [refusal]] = read_all(write(tmp_path / "other.json", [other]))
        assert "chat was not understood" in refusal.reason
        assert kept.metadata["source"]["chat"]["messages"] == [{"id": "z", "content": "lost"}]

    def test_a_list_of_an_earlier_moment_is_no_other_text(self, tmp_path: Path) -> None:
        """Else every chat with further questions, or of a closed page, is reported and is there
        twice."""
        thought = '<details type="reasoning" done="{}">\n<summary>{}</summary>\n> {}\n</details>\n'
        whole = thought.format("true", "Thought for 2 seconds", "Soft is ripe.") + "Ripe ones."
        answer = reply("a", "q", "assistant", whole, followUps=["Which?"], done=True)
        chat = open_webui([reply("q", None, "user", "Hi"), answer])
        begun = thought.format("false", "Thinking", "Soft is ri")
        cut = thought.format("true", "Thought", "Soft is ripe.") + "Ripe on"
        for content, is_cut in ((whole, False), ("", False), (begun, True), (cut, True)):
            listed = {"id": "a", "role": "assistant", "content": content, "done": False}
            chat["chat"]["messages"] = [{"id": "q", "role": "user", "content": "Hi"}, listed]
            [plain] = read(tmp_path, chat)
            earlier = {"earlier_messages": [listed]} if is_cut else {}
            assert plain.metadata["source"]["chat"] == {"models": ["llama"], **earlier}
        chat["chat"]["messages"][1]["content"] = "Sour ones."
        [[kept], [refusal]] = read_all(write(tmp_path / "other.json", [chat]))
        assert "chat was not understood, with 10 characters" in refusal.reason
        assert kept.metadata["source"]["chat"]["messages"] == [listed]

    def test_a_chat_without_messages_is_refused_or_empty(self, tmp_path: Path) -> None:
        path = write(tmp_path / "chats.json", [open_webui([reply("q", None, "user", "Hi")]), {}])
        _, refusals = read_all(path)
        [refusal] = refusals
        assert refusal.place == Place("chat", 2)
        [empty] = read(tmp_path, {"chat": {"title": "New", "messages": [], "history": {}}})
        assert (empty.title, empty.messages) == ("New", [])


class TestBranches:
    def test_the_answers_of_several_models_are_branches(self, tmp_path: Path) -> None:
        [chat] = read(
            tmp_path,
            open_webui(
                [
                    reply("q", None, "user", "Hi", models=["a", "b"]),
                    reply("a", "q", "assistant", "From a", model="a", modelIdx=0),
                    reply("b", "q", "assistant", "From b", model="b", modelIdx=1),
                    reply("q2", "b", "user", "Go on"),
                ]
            ),
        )
        assert [content for _, content in spoken(chat)] == ["Hi", "From b", "Go on"]
        assert [content for _, content in spoken(chat, 2)] == ["Hi", "From a"]
        assert chat.parents == [None, None, 1, None]
        assert [message.model for message in chat.messages] == [None, "a", "b", None]

    def test_parents_are_believed_where_children_are_missing(self, tmp_path: Path) -> None:
        """Open WebUI has written assistants' messages without their children."""
        chat = open_webui(
            [
                reply("q", None, "user", "1"),
                reply("a", "q", "assistant", "2"),
                reply("q2", "a", "user", "3"),
                reply("a2", "q2", "assistant", "4"),
            ]
        )
        for message in chat["chat"]["history"]["messages"].values():
            message["childrenIds"] = []
        [only] = read(tmp_path, chat)
        assert [content for _, content in spoken(only)] == ["1", "2", "3", "4"]

    @pytest.mark.parametrize("current", ["gone", None, 3])
    def test_without_a_current_message_the_newest_leaf_is_shown(
        self, tmp_path: Path, current: object
    ) -> None:
        chat = open_webui(
            [
                reply("q", None, "user", "Hi"),
                reply("new", "q", "assistant", "New", timestamp=1_800_000_000),
                reply("old", "q", "assistant", "Old"),
            ]
        )
        chat["chat"]["history"]["currentId"] = current
        [found] = read(tmp_path, chat)
        assert spoken(found)[-1] == ("assistant", "New")


class TestMessages:
    def test_what_stands_beside_the_text_is_kept(self, tmp_path: Path) -> None:
        beside = {
            "model": "llama",
            "sources": [{"source": {"name": "pears.pdf"}, "document": ["A pear"]}],
            "statusHistory": [{"action": "web_search", "done": True}],
            "done": True,
        }
        message = read_reply(tmp_path, **beside)
        assert (message.content, message.model) == ("Ho", "llama")
        assert message.created_at == datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
        assert message.metadata == {
            "source": {**beside, "id": "a", "role": "assistant", "timestamp": 1_700_000_001},
        }

    def test_an_unfinished_reply_was_interrupted(self, tmp_path: Path) -> None:
        message = read_reply(tmp_path, done=False)
        assert message.metadata is not None
        assert message.metadata["status"] == "interrupted"

    @pytest.mark.parametrize("error", [{"content": "Out of plums"}, "Out of plums"])
    def test_a_failed_reply_says_why(self, tmp_path: Path, error: object) -> None:
        message = read_reply(tmp_path, content="", error=error)
        assert (message.role, message.content) == ("assistant", "Out of plums")
        assert message.metadata is not None
        assert message.metadata["status"] == "failed"

    def test_pictures_among_the_text_are_attachments(self, tmp_path: Path) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://example.com/plum.png"}}
        message = read_reply(tmp_path, content=[{"type": "text", "text": "Look"}, image])
        assert message.content == "Look"
        [kept] = attachments(message)
        assert kept == {
            "kind": "image",
            "reference": "https://example.com/plum.png",
            "part": image,
        }

    def test_a_picture_without_words_is_a_message(self, tmp_path: Path) -> None:
        picture = {"type": "image", "name": "plum.png", "url": "data:image/png;base64,AAAA"}
        message = read_reply(tmp_path, content="", files=[picture])
        assert message.content == "[plum.png]"
        [kept] = attachments(message)
        assert (kept["name"], kept["reference"]) == ("plum.png", "data:image/png;base64,AAAA")
        assert kept["part"] == picture

    def test_a_picture_that_is_too_large_costs_only_itself(self, tmp_path: Path) -> None:
        picture = {"type": "image", "url": f"data:image/png;base64,{'A' * 400_000}"}
        chat = open_webui([reply("q", None, "user", "Look", files=[picture])])
        [[found], [refusal]] = read_all(write(tmp_path / "chats.json", [chat]))
        [message] = found.messages
        assert message.content == "Look"
        [kept] = attachments(message)
        assert kept["part"] == {"type": "image", "url": None}
        assert "400,022 characters" in refusal.reason

    @pytest.mark.parametrize(
        "timestamp",
        [
            1_700_000_000,
            1_700_000_000_000,
            1_700_000_000_000_000_000,
            "2023-11-14T22:13:20Z",
            "2023-11-14 22:13:20",
        ],
    )
    def test_times_are_read_in_every_unit(self, tmp_path: Path, timestamp: Any) -> None:
        message = read_reply(tmp_path, timestamp=timestamp)
        assert message.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)

    @pytest.mark.parametrize("timestamp", [1e400, -(10**30), 10**400, "yesterday", True, None])
    def test_what_is_no_time_is_passed_over(self, tmp_path: Path, timestamp: Any) -> None:
        message = read_reply(tmp_path, timestamp=timestamp)
        of_the_question = datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC)
        assert message.created_at == of_the_question


@pytest.mark.parametrize(("path", "titles"), existing(EXPORTS))
def test_a_whole_export_is_read(path: Path, titles: list[str]) -> None:
    chats, refusals = read_all(path)
    assert refusals == []
    assert [chat.title for chat in chats] == titles
    assert all([role for role, _ in spoken(chat)] == ["user", "assistant"] for chat in chats)
