"""Chats in ShareGPT's form, in the spellings that datasets have given it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import DATA, MORE, existing, read_all, spoken, write

from faceplate.importers import Chat, Refusal
from faceplate.importers.chats import Place

EXPORTS = [(DATA / "sharegpt.json", 5, 20), (MORE / "sharegpt.json", 500, 2_000)]
TALK = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]
SAID = [("user", "Hi"), ("assistant", "Ho")]


def read_one(tmp_path: Path, chat: object) -> Chat:
    [[found], refusals] = read_all(write(tmp_path / "chats.json", [chat]))
    assert refusals == []
    return found


def talk(*turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "s-1",
        "conversations": [{"from": who, "value": value} for who, value in turns],
        **fields,
    }


class TestForms:
    @pytest.mark.parametrize("key", ["conversations", "conversation", "items", "messages"])
    def test_the_list_has_several_names(self, tmp_path: Path, key: str) -> None:
        chat = read_one(tmp_path, {"id": "s-1", key: TALK})
        assert (chat.key, chat.title, spoken(chat)) == ("s-1", "Hi", SAID)
        assert (chat.source, chat.metadata) == ("sharegpt", {})
        assert [message.metadata for message in chat.messages] == [{}, {}]

    @pytest.mark.parametrize("name", ["one.json", "lines.json", "lines.jsonl", "object.json"])
    def test_every_form_of_file_is_read(self, tmp_path: Path, name: str) -> None:
        """A chat's own list of messages must not be taken for a list of chats."""
        chat = {"id": "s-1", "conversations": TALK}
        value = json.dumps(chat, indent=2 if name == "one.json" else None)
        if name.startswith("lines"):
            value = f"{value}\n{json.dumps({**chat, 'id': 's-2'})}\n"
        elif name == "object.json":
            value = json.dumps({"conversations": [chat]})
        path = tmp_path / name
        path.write_text(value)
        chats, refusals = read_all(path)
        assert refusals == []
        assert [found.key for found in chats] == ["s-1", "s-2"][: len(chats)]
        assert len(chats) == (2 if name.startswith("lines") else 1)
        assert all(spoken(found) == SAID for found in chats)

    def test_openais_roles_are_read_too(self, tmp_path: Path) -> None:
        turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
        assert spoken(read_one(tmp_path, {"conversations": turns})) == SAID

    def test_a_chat_without_id_has_the_same_one_each_time(self, tmp_path: Path) -> None:
        first, again, other = (
            read_one(tmp_path, {"conversations": turns}).key for turns in (TALK, TALK, TALK[:1])
        )
        assert first == again != other
        assert first.startswith("sha256:")

    def test_bad_chats_are_refused_by_their_number(self, tmp_path: Path) -> None:
        path = write(tmp_path / "chats.json", [talk(("human", "Hi")), {"id": 2}, None])
        chats, refusals = read_all(path)
        assert len(chats) == 1
        assert refusals == [
            Refusal(Place("chat", 2), "of no format that can be read; its keys are id"),
            Refusal(Place("chat", 3), "not an object"),
        ]


class TestTurns:
    @pytest.mark.parametrize(
        ("speaker", "role"),
        [
            ("human", "user"),
            ("User", "user"),
            ("gpt", "assistant"),
            ("chatgpt", "assistant"),
            ("bing", "assistant"),
            ("bard", "assistant"),
            ("system", "system"),
            ("developer", "developer"),
            ("Gandalf", "assistant"),
            (None, "assistant"),
        ],
    )
    def test_speakers_become_roles(self, tmp_path: Path, speaker: Any, role: str) -> None:
        talk_ = talk(("human", "Hi"), (speaker, "Boo"))
        [[chat], refusals] = read_all(write(tmp_path / "chats.json", [talk_]))
        assert bool(refusals) == (speaker in ("Gandalf", None))
        assert spoken(chat)[1] == (role, "Boo")
        source = (chat.messages[1].metadata or {}).get("source", {})
        is_plain = speaker in ("human", "User", "gpt", "system", "developer")
        assert source == ({} if is_plain else {"from": speaker})
        assert (chat.messages[1].metadata or {}).get("role") == (
            {"Gandalf": "Gandalf", None: "unknown"}.get(speaker)
        )

    def test_a_system_prompt_beside_the_list_comes_first(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, talk(("human", "Hi"), system="Be brief", tools="[]"))
        assert spoken(chat) == [("system", "Be brief"), ("user", "Hi")]
        assert chat.metadata["source"] == {"tools": "[]"}

    @pytest.mark.parametrize(
        ("call", "result"),
        [("function_call", "observation"), ("tool_call", "tool"), ("function-call", "function")],
    )
    def test_calls_and_results_are_paired(self, tmp_path: Path, call: str, result: str) -> None:
        named = json.dumps({"name": "mul", "arguments": {"a": 17, "b": 19}})
        chat = read_one(
            tmp_path, talk(("human", "17 * 19"), (call, named), (result, "323"), ("gpt", "It is"))
        )
        _, made, answered, _ = chat.messages
        function = {"name": "mul", "arguments": '{"a": 17, "b": 19}'}
        assert made.tool_calls == [{"id": "call_2", "type": "function", "function": function}]
        assert answered.tool_results == [{"tool_call_id": "call_2", "content": "323"}]

    def test_a_call_that_is_no_json_is_kept_as_it_is(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, talk(("function_call", "print(1)"), ("observation", "1")))
        custom = {"name": "function", "input": "print(1)"}
        assert chat.messages[0].tool_calls == [{"id": "call_1", "type": "custom", "custom": custom}]

    def test_calls_and_results_that_stay_alone_are_text(self, tmp_path: Path) -> None:
        chat = read_one(
            tmp_path,
            talk(
                ("observation", "early"),
                ("function_call", "go()"),
                ("human", "Hm"),
                ("tool", "late"),
            ),
        )
        assert spoken(chat) == [
            ("assistant", "early"),
            ("assistant", "[function]\n```\ngo()\n```"),
            ("user", "Hm"),
            ("assistant", "late"),
        ]

    def test_values_and_turns_of_any_shape_are_kept(self, tmp_path: Path) -> None:
        turns = [
            {"from": "human", "value": {"a": [1]}, "weight": 0.5},
            "loose",
            7,
            {"from": "gpt", "value": None, "text": "By another name"},
        ]
        [[chat], refusals] = read_all(write(tmp_path / "c.json", [{"conversations": turns}]))
        assert len(refusals) == 1  # two of the turns have no speaker
        assert [content for _, content in spoken(chat)] == [
            '{"a": [1]}',
            "loose",
            "7",
            "By another name",
        ]
        assert chat.messages[0].metadata == {"source": {"weight": 0.5}}


@pytest.mark.parametrize(("path", "number", "said"), existing(EXPORTS))
def test_every_chat_of_a_file_is_read(path: Path, number: int, said: int) -> None:
    chats, refusals = read_all(path)
    assert refusals == []
    assert (len(chats), sum(len(chat.messages) for chat in chats)) == (number, said)
    assert len({chat.key for chat in chats}) == number


@pytest.mark.parametrize(
    "value",
    [
        [{"from": "Ann <ann@example.com>", "to": "Bo", "subject": "Plums", "text": "Ripe."}],
        {"messages": [{"from": "+43 1", "text": "Ripe."}, {"from": "+43 2", "text": "Yes."}]},
        {"items": [{"from": "Graz", "to": "Wien", "value": "2 h"}]},
    ],
)
def test_what_only_looks_like_a_chat_is_refused(tmp_path: Path, value: object) -> None:
    """Mail would be a chat in which everybody is the assistant."""
    chats, refusals = read_all(write(tmp_path / "chats.json", value))
    assert (chats, len(refusals)) == ([], 1)
