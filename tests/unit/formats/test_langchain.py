"""LangChain's messages: three spellings, and calls that stand in several places."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.chat_files import read_all, spoken, write
from tests.formats.langchain import EXAMPLE, MESSAGES, call, chats, constructor, dumped, flat

from faceplate.importers import Chat
from faceplate.importers.formats import langchain
from faceplate.importers.shapes import best_format

TALK = [
    ("system", "You know the weather."),
    ("user", "Rome and Oslo?\n\n[cities.txt]\n```\nRome, Oslo\n```"),
    ("assistant", "I ask."),
    ("tool", "3 degrees"),
    ("tool", "20 degrees"),
    ("assistant", "Warm and cold."),
    ("user", "And Lima?"),
    ("assistant", ""),
    ("tool", "18 degrees"),
    ("assistant", "Mild."),
    ("assistant", "Thank you."),
]


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "messages.json", value))
    assert refusals == []
    return chat


class TestExample:
    def test_a_thread_is_read_whole(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        assert (chat.source, chat.key, chat.title) == ("langchain", "thread-1", "Weather")
        assert spoken(chat) == TALK

    def test_another_role_is_kept_and_reported(self, tmp_path: Path) -> None:
        messages = [*MESSAGES, dumped("chat", "Hello.", role="guest")]
        [chat], refusals = read_all(write(tmp_path / "messages.json", messages))
        assert (chat.messages[-1].metadata or {})["role"] == "guest"
        assert "message 12: its role was not understood" in str(refusals)

    def test_a_call_counts_once_and_has_its_result(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        calls = [each for message in chat.messages for each in message.tool_calls or ()]
        assert [each["function"]["arguments"] for each in calls] == [
            '{"city": "Rome"}',
            '{"city": "Oslo"}',
            '{"city": "Lima"}',
        ]
        answered = {
            each["tool_call_id"]: each["content"]
            for message in chat.messages
            for each in message.tool_results or ()
        }
        assert [answered[each["id"]] for each in calls] == ["20 degrees", "3 degrees", "18 degrees"]

    def test_times_models_tokens_and_reasoning_are_kept(self, tmp_path: Path) -> None:
        chat = read_one(tmp_path, EXAMPLE)
        asked, older = chat.messages[2], chat.messages[7]
        assert (asked.model, asked.input_tokens, asked.output_tokens) == ("model-x", 60, 5)
        assert (older.input_tokens, older.output_tokens) == (9, 4)
        assert chat.messages[5].model == "model-y"
        assert chat.created_at is not None
        assert chat.created_at.isoformat() == "2025-01-02T03:04:05+00:00"
        assert chat.updated_at is not None
        assert chat.updated_at.isoformat() == "2025-01-02T03:05:05+00:00"
        assert "Two calls." in json.dumps(asked.metadata)
        assert "18 is mild." in json.dumps(chat.messages[9].metadata)

    def test_files_and_pictures_are_in_the_body(self, tmp_path: Path) -> None:
        body = read_one(tmp_path, EXAMPLE).messages[1].body
        assert body is not None
        picture, text = json.loads(body)["attachments"]
        assert picture["reference"] == "https://maps.example/a.png"
        assert (text["kind"], text["name"]) == ("text/plain", "cities.txt")


class TestForms:
    @pytest.mark.parametrize(
        "value",
        [
            MESSAGES,
            {"messages": MESSAGES},
            {"values": {"messages": MESSAGES}, "next": [], "checkpoint": {"thread_id": "t"}},
            {"v": 1, "ts": "2025-01-02T03:04:05Z", "channel_values": {"messages": MESSAGES}},
            constructor("ChatPromptValue", None, messages=MESSAGES),
            [{"name": "thread", "state": {"values": {"messages": MESSAGES}}}],
        ],
    )
    def test_every_wrapping_is_read(self, tmp_path: Path, value: object) -> None:
        assert spoken(read_one(tmp_path, value)) == TALK

    def test_each_line_may_be_a_message(self, tmp_path: Path) -> None:
        file = tmp_path / "messages.jsonl"
        file.write_text("\n".join(map(json.dumps, MESSAGES)), encoding="utf-8")
        [chat], refusals = read_all(file)
        assert (spoken(chat), refusals) == (TALK, [])

    def test_states_of_a_thread_have_one_name(self, tmp_path: Path) -> None:
        """A history is newest first, and each state has all messages so far."""
        states = [
            {"values": {"messages": MESSAGES[:count]}, "checkpoint": {"thread_id": "thread-1"}}
            for count in (6, 2)
        ]
        found, refusals = read_all(write(tmp_path / "history.json", states))
        assert ([chat.key for chat in found], refusals) == (["thread-1", "thread-1"], [])
        assert [len(chat.messages) for chat in found] == [6, 2]

    def test_a_run_is_its_messages_and_its_answer(self, tmp_path: Path) -> None:
        run = {
            "id": "run-1",
            "inputs": {"messages": [[constructor("HumanMessage", "Hi")]]},
            "outputs": {"generations": [[{"message": constructor("AIMessage", "Ho")}]]},
        }
        chat = read_one(tmp_path, run)
        assert (chat.key, spoken(chat)) == ("run-1", [("user", "Hi"), ("assistant", "Ho")])

    def test_calls_without_ids_are_answered_in_their_order(self, tmp_path: Path) -> None:
        made = [call(None, "add", {"a": 1}), call(None, "add", {"a": 2})]
        messages = [flat("ai", "", tool_calls=made)]
        messages += [dumped("tool", answer, name="add") for answer in ("1", "2")]
        chat = read_one(tmp_path, [flat("human", "Add"), *messages, flat("ai", "Done")])
        first, second = chat.messages[1].tool_calls or [{}, {}]
        results = [(message.tool_results or [{}])[0] for message in chat.messages[2:4]]
        assert [each["tool_call_id"] for each in results] == [first["id"], second["id"]]

    def test_a_message_of_an_unknown_type_is_reported(self, tmp_path: Path) -> None:
        messages = [flat("human", "Hi"), flat("ai", "Ho"), {"type": "later", "text": "new"}]
        [chat], [refusal] = read_all(write(tmp_path / "chat.json", {"messages": messages}))
        assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho")]
        assert "text was not understood, with 3 characters" in refusal.reason


class TestRecognition:
    def test_threads_are_recognised(self) -> None:
        assert best_format(EXAMPLE) is langchain.FORMAT

    @pytest.mark.parametrize(
        "message",
        [
            {"type": "system", "content": "Hi"},
            {"type": "user", "message": {"role": "user", "content": "Hi"}},
            {"role": "user", "content": "Hi"},
            {"type": "human"},
        ],
    )
    def test_other_messages_are_not(self, message: dict[str, Any]) -> None:
        assert langchain.fits({"messages": [message]}) == 0


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(chats())
def test_every_thread_is_read(value: dict[str, Any]) -> None:
    """No shape of a thread may stop the import."""
    [chat] = langchain.read(value)
    assert len([*chat.messages]) == len(value["messages"])


@pytest.mark.parametrize(
    ("session", "column"), [("session_id", "message"), ("SessionId", "History")]
)
@pytest.mark.parametrize("hold", [json.dumps, dict])
def test_the_rows_of_a_history_are_a_chat_for_each_session(
    tmp_path: Path, session: str, column: str, hold: Callable[[Any], object]
) -> None:
    """Else a dump of the table in which a program keeps its chats is refused."""
    said = [("s-1", "human", "Hi"), ("s-2", "human", "Hello"), ("s-1", "ai", "Ho")]
    rows: list[Any] = []
    for number, (id_, kind, text) in enumerate(said):
        message: Any = {"type": kind, "data": {"content": text, "type": kind}}
        time = f"2025-01-0{number + 1}T00:00:00Z"
        rows.append({"id": number, session: id_, column: hold(message), "created_at": time})
    found, refusals = read_all(write(tmp_path / "message_store.json", rows))
    assert refusals == []
    assert [(chat.source, chat.key, spoken(chat)) for chat in found] == [
        ("langchain", "s-1", [("user", "Hi"), ("assistant", "Ho")]),
        ("langchain", "s-2", [("user", "Hello")]),
    ]
    assert found[0].messages[1].created_at is not None
    assert found[0].messages[1].created_at.day == 3


@pytest.mark.parametrize("key", ["SessionId", "sessionId", "session_id"])
@pytest.mark.parametrize("column", ["History", "messages"])
def test_the_id_of_a_session_names_its_chat(tmp_path: Path, key: str, column: str) -> None:
    """Else a second import, of the session with two more messages, makes a second conversation."""
    history = [dumped("human", "Hi"), dumped("ai", "Ho")]
    chat = read_one(tmp_path, [{key: "s-1", column: history}])
    assert (chat.key, spoken(chat)) == ("s-1", [("user", "Hi"), ("assistant", "Ho")])


def rows_of(*sessions: str) -> list[dict[str, Any]]:
    return [{"session_id": id_, "message": dumped("human", "Hi")} for id_ in sessions]


def test_what_is_said_about_the_rows_of_a_session_is_kept(tmp_path: Path) -> None:
    """Else the title of a chat is lost, and so are notes beside it."""
    value = {"title": "Hills", "notes": "Two hills", "messages": rows_of("s-1", "s-1")}
    [chat], [refusal] = read_all(write(tmp_path / "rows.json", [value]))
    assert (chat.key, chat.title) == ("s-1", "Hills")
    assert "notes was not understood" in refusal.reason
    assert chat.metadata["source"] == {"notes": "Two hills"}


def test_what_is_said_about_rows_of_two_sessions_is_with_the_first(tmp_path: Path) -> None:
    value = {"title": "Hills", "messages": rows_of("s-1", "s-2")}
    [first, other], refusals = read_all(write(tmp_path / "rows.json", [value]))
    assert [chat.title for chat in (first, other)] == ["Hi", "Hi"]
    assert (first.metadata, other.metadata, refusals) == ({"source": {"title": "Hills"}}, {}, [])


@pytest.mark.parametrize(
    "about",
    [
        lambda n: {"id": n},
        lambda n: {"id": str(9 + n), "created_at": "2025-01-02T03:04:05Z"},
        lambda n: {"id": "abcdef"[n], "created_at": f"2025-01-02T03:04:0{n // 2}Z"},
        lambda n: {"created_at": f"2025-01-02T03:04:0{n}.5+00:00"},
    ],
)
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_rows_that_are_newest_first_are_turned_round(
    tmp_path: Path, about: Callable[[int], dict[str, Any]], name: str
) -> None:
    """Else a query with the newest first becomes chats in which answers have no questions yet."""
    kinds = ["human", "ai", "human", "ai"]
    rows = [
        {**about(n), "session_id": session, "message": flat(kind, f"{kind} {n // 2}")}
        for n, kind in enumerate(kinds)
        for session in ("s-1", "s-2")
    ]
    for listed in (rows, rows[::-1]):
        path = tmp_path / name
        lines = "\n".join(map(json.dumps, listed))
        path.write_text(lines if name == "rows.jsonl" else json.dumps(listed))
        found, refusals = read_all(path)
        assert refusals == []
        for chat in found:
            assert [content for _, content in spoken(chat)] == [
                "human 0",
                "ai 0",
                "human 1",
                "ai 1",
            ]


def test_rows_of_one_time_keep_their_order(tmp_path: Path) -> None:
    rows = [{**row, "created_at": "2025-01-02T03:04:05Z"} for row in rows_of("s-1", "s-1")]
    rows[1]["message"] = flat("ai", "Ho")
    chat = read_one(tmp_path, rows)
    assert spoken(chat) == [("user", "Hi"), ("assistant", "Ho")]
