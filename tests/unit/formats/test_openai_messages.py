"""OpenAI chat messages, in the shapes that programs and datasets give them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write

from faceplate.importers import Chat, irregular

HI = {"role": "user", "content": "Hi"}
HO = {"role": "assistant", "content": "Ho"}
SAID = [("user", "Hi"), ("assistant", "Ho")]


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert refusals == []
    assert chat.source == "openai"
    return chat


def read_messages(tmp_path: Path, *messages: dict[str, Any], **fields: Any) -> Chat:
    return read_one(tmp_path, {"id": "o-1", "messages": messages, **fields})


def links(chat: Chat) -> list[tuple[str, str]]:
    """The content of each call's input, with the content of its result."""
    inputs = {
        call["id"]: call["function"]["arguments"]
        for message in chat.messages
        for call in message.tool_calls or ()
    }
    return [
        (inputs[result["tool_call_id"]], message.content)
        for message in chat.messages
        for result in message.tool_results or ()
    ]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "input_text", "text": "Moss"}, "Moss"),
        ({"type": "output_text", "text": "Moss", "annotations": []}, "Moss"),
        ({"type": "refusal", "refusal": "Moss"}, "Moss"),
        ("Moss", "Moss"),
        ({"type": "input_audio", "transcript": "Moss", "audio": None}, "Moss"),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "Fern"}]}, ""),
    ],
)
def test_parts_of_every_interface_are_read(tmp_path: Path, part: Any, said: str) -> None:
    plain = {"type": "text", "text": "So:"}
    chat = read_messages(tmp_path, HI, {"role": "assistant", "content": [plain, part]})
    assert path(chat)[1].content == f"So:\n{said}".strip()


@pytest.mark.parametrize(
    ("part", "kind", "reference"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/i.png"}},
            "image",
            "https://a.test/i.png",
        ),
        (
            {"type": "image_url", "image_url": "https://a.test/i.png"},
            "image",
            "https://a.test/i.png",
        ),
        ({"type": "input_image", "file_id": "file-1"}, "image", "file-1"),
        ({"type": "file", "file": {"file_id": "file-2", "filename": "a.pdf"}}, "file", "file-2"),
        (
            {"type": "input_file", "file_url": "https://a.test/a.pdf"},
            "file",
            "https://a.test/a.pdf",
        ),
        ({"type": "input_audio", "input_audio": {"data": "aQ==", "format": "wav"}}, "wav", "aQ=="),
    ],
)
def test_files_and_pictures_are_attachments(
    tmp_path: Path, part: dict[str, Any], kind: str, reference: str
) -> None:
    chat = read_messages(tmp_path, {"role": "user", "content": [part]}, HO)
    [file] = json.loads(path(chat)[0].body or "")["attachments"]
    assert (file["kind"], file["reference"]) == (kind, reference)
    assert path(chat)[0].content == f"[{file.get('name', kind)}]"


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_kept_beside(tmp_path: Path, key: str) -> None:
    chat = read_messages(tmp_path, HI, {**HO, key: "Ho is polite."})
    assert (path(chat)[1].metadata or {})["asides"] == {"reasoning": ["Ho is polite."]}


def test_a_refusal_is_what_the_assistant_said(tmp_path: Path) -> None:
    chat = read_messages(tmp_path, HI, {"role": "assistant", "content": None, "refusal": "No."})
    assert spoken(chat)[1] == ("assistant", "No.")


def test_speech_has_its_transcript(tmp_path: Path) -> None:
    sound = {"id": "audio_1", "data": "aQ==", "transcript": "Ho there"}
    chat = read_messages(tmp_path, HI, {"role": "assistant", "content": None, "audio": sound})
    assert spoken(chat)[1] == ("assistant", "Ho there")
    [file] = json.loads(path(chat)[1].body or "")["attachments"]
    assert file["reference"] == "audio_1"


def call(argument: object, name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": argument}, **fields}


@pytest.mark.parametrize(
    ("calls", "results", "linked"),
    [
        (
            [call({"x": "a"}, id="1"), call({"x": "b"}, id="2")],
            [{"tool_call_id": "2", "content": "rb"}, {"tool_call_id": "1", "content": "ra"}],
            [('{"x": "b"}', "rb"), ('{"x": "a"}', "ra")],
        ),
        (
            [call({"x": "a"}), call({"x": "b"})],
            [{"content": "ra"}, {"content": "rb"}],
            [('{"x": "a"}', "ra"), ('{"x": "b"}', "rb")],
        ),
        (
            [call({"x": "a"}, "f"), call({"x": "b"}, "g")],
            [{"name": "g", "content": "rb"}, {"name": "f", "content": "ra"}],
            [('{"x": "b"}', "rb"), ('{"x": "a"}', "ra")],
        ),
        (
            [call({"x": "a"}, id="1"), call({"x": "b"}, id="2")],
            [{"toolCallId": "2", "content": "rb"}, {"toolCallId": "1", "content": "ra"}],
            [('{"x": "b"}', "rb"), ('{"x": "a"}', "ra")],
        ),
        (
            [call({"x": "a"}, "f"), call({"x": "b"}, "g")],
            [{"toolName": "g", "content": "rb"}, {"toolName": "f", "content": "ra"}],
            [('{"x": "b"}', "rb"), ('{"x": "a"}', "ra")],
        ),
        (
            [call({"x": "a"}, "f"), call({"x": "b"}, "g")],
            [{"tool_name": "g", "content": "rb"}, {"tool_name": "f", "content": "ra"}],
            [('{"x": "b"}', "rb"), ('{"x": "a"}', "ra")],
        ),
    ],
)
@pytest.mark.parametrize("form", [dict, json.dumps])
def test_results_answer_by_id_or_name_or_order(
    tmp_path: Path, calls: Any, results: Any, linked: Any, form: Any
) -> None:
    calls = [
        {**each, "function": {**each["function"], "arguments": form(each["function"]["arguments"])}}
        for each in calls
    ]
    answers = [{"role": "tool", **result} for result in results]
    asked = {"role": "assistant", "content": "", "tool_calls": calls}
    assert links(read_messages(tmp_path, HI, asked, *answers, HO)) == linked


@pytest.mark.parametrize(
    "given",
    [
        {"tool_calls": {"name": "f", "arguments": {"x": 1}}},
        {"tool_calls": [{"name": "f", "arguments": {"x": 1}}]},
        {"function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"toolCalls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}]},
        {"functionCall": {"name": "f", "arguments": '{"x": 1}'}},
    ],
)
def test_calls_have_older_and_flat_forms(tmp_path: Path, given: dict[str, Any]) -> None:
    result = {"role": "function", "name": "f", "content": "one"}
    chat = read_messages(tmp_path, HI, {"role": "assistant", "content": None, **given}, result, HO)
    assert links(chat) == [('{"x": 1}', "one")]


def test_calls_and_results_have_the_names_of_javascript(tmp_path: Path) -> None:
    """Else a call is out of sight in the metadata, its result has none, and nobody is told."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    chat = read_messages(
        tmp_path,
        HI,
        {"role": "assistant", "toolCalls": [call]},
        {"role": "tool", "toolCallId": "c", "toolName": "f", "content": "seven"},
        {**HO, "finishReason": "length"},
    )
    assert links(chat) == [('{"a": 1}', "seven")]
    assert (path(chat)[3].metadata or {})["status"] == "interrupted"


def test_a_call_may_have_its_tool_under_function(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": "bash", "arguments": {"command": "ls"}}
    result = {"role": "tool", "tool_call_id": "c", "content": "a.txt"}
    chat = read_messages(tmp_path, HI, {"role": "assistant", "tool_calls": [call]}, result, HO)
    [made] = path(chat)[1].tool_calls or []
    assert made["function"] == {"name": "bash", "arguments": '{"command": "ls"}'}


def test_a_custom_call_keeps_its_input(tmp_path: Path) -> None:
    custom = {"id": "1", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}
    chat = read_messages(
        tmp_path,
        HI,
        {"role": "assistant", "content": None, "tool_calls": [custom]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "none"}]},
    )
    assert path(chat)[1].tool_calls == [custom]
    assert spoken(chat)[2] == ("tool", "none")


@pytest.mark.parametrize("roles", [("User", "Assistant"), ("USER", "ASSISTANT"), ("human", "ai")])
def test_roles_have_several_spellings(tmp_path: Path, roles: tuple[str, str]) -> None:
    chat = read_messages(tmp_path, {**HI, "role": roles[0]}, {**HO, "role": roles[1]})
    assert spoken(chat) == SAID


def test_times_model_and_tokens_are_in_their_columns(tmp_path: Path) -> None:
    reply = {
        **HO,
        "timestamp": "2024-01-02T03:04:05Z",
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        "finish_reason": "length",
    }
    chat = read_messages(tmp_path, HI, reply, created=1_700_000_000, model="gpt-5")
    answer = path(chat)[1]
    assert answer.created_at is not None
    assert answer.created_at.isoformat() == "2024-01-02T03:04:05+00:00"
    assert (answer.model, answer.input_tokens, answer.output_tokens) == ("gpt-5", 3, 4)
    assert (answer.metadata or {})["status"] == "interrupted"
    assert chat.created_at is not None
    assert path(chat)[0].model is None


def test_a_time_that_is_none_is_kept_as_it_is(tmp_path: Path) -> None:
    chat = read_messages(tmp_path, {**HI, "date": "a Tuesday"}, HO)
    assert (path(chat)[0].metadata or {})["source"] == {"date": "a Tuesday"}


@pytest.mark.parametrize("key", ["system", "system_prompt"])
def test_a_prompt_beside_the_messages_comes_first(tmp_path: Path, key: str) -> None:
    prompt = {"role": "developer", "content": "Be brief."}
    chat = read_messages(tmp_path, prompt, HI, HO, **{key: "Be loud."})
    assert spoken(chat)[0] == ("system", "Be loud.")
    again = read_messages(tmp_path, prompt, HI, HO, **{key: "Be brief."})
    assert spoken(again) == [("developer", "Be brief."), *SAID]


def test_an_empty_content_is_not_the_text(tmp_path: Path) -> None:
    said = {"role": "assistant", "content": "", "text": "Ho"}
    assert spoken(read_messages(tmp_path, HI, said)) == SAID


def test_messages_may_be_newest_first(tmp_path: Path) -> None:
    """A table is often read with its newest rows first."""
    times = ["2024-01-01T00:00:02Z", "2024-01-01T00:00:02Z", "2024-01-01T00:00:01Z"]
    said = [{"role": "user", "content": "Bye"}, HO, HI]
    rows = [{**each, "created_at": time} for each, time in zip(said, times, strict=True)]
    assert spoken(read_messages(tmp_path, *rows)) == [*SAID, ("user", "Bye")]
    assert spoken(read_messages(tmp_path, *rows[:2]))[0] == ("user", "Bye")  # at one time


@pytest.mark.parametrize(
    "times", [(1_700_000_000.9, 1_700_000_000), (1_700_000_002, 1_700_000_000)]
)
def test_a_question_and_its_answer_are_in_order(tmp_path: Path, times: tuple[float, float]) -> None:
    """Else the answer comes first where two programs have set the times."""
    rows = [{**HI, "timestamp": times[0]}, {**HO, "created": times[1]}]
    assert spoken(read_messages(tmp_path, *rows)) == SAID


def test_a_part_of_a_second_is_no_order(tmp_path: Path) -> None:
    rows = [{**HO, "timestamp": 1_700_000_000.9}, {**HI, "created": 1_700_000_000}]
    assert spoken(read_messages(tmp_path, *rows)) == [*reversed(SAID)]


def test_what_cannot_be_stored_is_replaced_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text(
        '{"id": "o-1", "score": NaN, "messages": ['
        '{"role": "user", "content": "a\\u0000b"}, {"role": "assistant", "content": "\\ud83d"}]}'
    )
    [chat], refusals = read_all(file)
    assert (spoken(chat), refusals) == ([("user", "a\ufffdb"), ("assistant", "\ufffd")], [])
    assert chat.asides["replaced characters"] == 2
    assert chat.metadata == {"source": {"score": "nan"}}


def test_what_a_message_says_as_well_is_no_unread_text(tmp_path: Path) -> None:
    assert spoken(read_messages(tmp_path, HI, HO, prompt="Hi", completion="Ho")) == SAID


def test_a_text_that_stands_in_two_fields_is_one(tmp_path: Path) -> None:
    """Else a chat is reported as not understood, for words that it shows."""
    assert spoken(read_messages(tmp_path, {**HI, "text": "Hi"}, {**HO, "message": "Ho"})) == SAID


def test_stored_completions_have_parts_beside_the_content(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "Hi"},
        {"type": "image_url", "image_url": {"url": "https://a.test/i.png"}},
    ]
    chat = read_messages(tmp_path, {**HI, "content_parts": parts}, {**HO, "content_parts": None})
    assert spoken(chat) == SAID
    assert path(chat)[0].body is not None


def test_a_message_without_content_is_one_of_the_chat(tmp_path: Path) -> None:
    assert spoken(read_messages(tmp_path, HI, {"role": "assistant"}))[1] == ("assistant", "")


class TestTrees:
    def test_parents_are_branches(self, tmp_path: Path) -> None:
        """A question with two answers must not become three messages in a row."""
        chat = read_messages(
            tmp_path,
            {**HI, "id": "q", "parent_id": None},
            {**HO, "id": "a", "parent_id": "q"},
            {**HO, "id": "b", "parent_id": "q", "content": "Hey"},
            current="a",
        )
        assert spoken(chat) == SAID
        assert spoken(chat, 3) == [("user", "Hi"), ("assistant", "Hey")]

    def test_a_root_without_a_message_costs_nobody_a_chat(self, tmp_path: Path) -> None:
        """Programs begin a thread with a parent that they do not export."""
        chat = read_messages(
            tmp_path,
            {**HI, "id": "q", "parentMessageId": "root-of-all"},
            {**HO, "id": "a", "parentMessageId": "q"},
            {**HO, "id": "b", "parentMessageId": "q", "content": "Hey"},
            current="a",
        )
        assert (spoken(chat), len(chat.messages)) == (SAID, 3)

    @pytest.mark.parametrize(
        "answers",
        [
            [{**HO, "id": "a", "parentId": "nobody"}],
            [{**HO, "parentId": "q"}],
            [{**HO, "id": "a", "children": [{**HI, "id": "c"}]}],
        ],
    )
    def test_a_tree_of_another_kind_is_not_flattened(
        self, tmp_path: Path, answers: list[dict[str, Any]]
    ) -> None:
        value = {"messages": [{**HI, "id": "q"}, *answers]}
        chats, refusals = read_all(write(tmp_path / "chat.json", value))
        assert all(chat.source != "openai" for chat in chats)
        assert chats or refusals


class TestBareLists:
    def test_a_list_is_one_chat(self, tmp_path: Path) -> None:
        assert spoken(read_one(tmp_path, [HI, HO])) == SAID

    def test_a_list_of_lists_is_several(self, tmp_path: Path) -> None:
        """Messages that are numbered in each chat do not make them one conversation."""
        lists = [[{**HI, "id": 1}, {**HO, "id": 2}], [{**HI, "id": 1}, {**HI, "id": 2}]]
        chats, refusals = read_all(write(tmp_path / "chats.json", lists))
        assert [len(chat.messages) for chat in chats] == [2, 2]
        assert len({chat.key for chat in chats}) == 2
        assert refusals == []

    def test_named_lists_have_their_names(self, tmp_path: Path) -> None:
        file = write(
            tmp_path / "c.json", [{"one": [HI, HO], "two": [HI]}, {"one": [HO], "two": [HO]}]
        )
        chats, refusals = read_all(file)
        assert [chat.title for chat in chats] == ["one", "two", "one", "two"]
        assert len({chat.key for chat in chats}) == 4
        assert refusals == []
        [grown, _] = read_all(write(file, {"one": [HI, HO, HI], "two": [HI]}))[0]
        assert grown.key == chats[0].key

    @pytest.mark.parametrize("key", ["conversation_id", "chatId", "session_id", "thread_id"])
    def test_messages_on_lines_are_grouped(self, tmp_path: Path, key: str) -> None:
        lines = [{**HI, key: "a"}, {**HI, key: 7}, {**HO, key: "a"}, {**HO, key: 7}]
        file = tmp_path / "log.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)))
        chats, refusals = read_all(file)
        assert [(chat.key, spoken(chat)) for chat in chats] == [("a", SAID), ("7", SAID)]
        assert refusals == []

    def test_a_first_line_may_say_what_the_chat_is(self, tmp_path: Path) -> None:
        header = {"type": "session", "title": "Greetings", "created": "2025-02-08T19:00:00Z"}
        file = tmp_path / "log.jsonl"
        file.write_text("\n".join(map(json.dumps, [header, HI, HO])))
        [chat], refusals = read_all(file)
        assert (chat.title, spoken(chat), refusals) == ("Greetings", SAID, [])


@pytest.mark.parametrize("role", ["User", "USER", " user "])
def test_a_role_is_read_however_it_is_spelt(tmp_path: Path, role: str) -> None:
    """Else the user's words become the assistant's."""
    messages = [{"role": role, "content": "Hi"}, {"role": role, "content": "Ho", "name": "Ada"}]
    [chat], refusals = read_all(write(tmp_path / "chats.json", {"messages": messages}))
    assert ([message.role for message in chat.messages], refusals) == (["user", "user"], [])


def test_a_zone_that_is_none_costs_one_time_and_no_chat(tmp_path: Path) -> None:
    """Else one line ends the import of all that follow."""
    odd = "Mon, 15 Jan 2024 10:00:00 +99999999999999999999"
    value = {"messages": [{"role": "user", "content": "Where?", "created_at": odd}]}
    chats, _ = read_all(write(tmp_path / "chats.json", value))
    assert len(chats) == 1


def test_a_result_answers_no_call_whose_own_id_begins_alike(tmp_path: Path) -> None:
    """Else the answer of a tool stands under a call that somebody else has made."""
    call = {"id": "call_2abc", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_other", "content": "of another"},
    ]
    [chat], _ = read_all(write(tmp_path / "chats.json", {"messages": said}))
    assert chat.messages[-1].role == "assistant"


def test_a_list_of_lines_with_few_messages_is_no_chat(tmp_path: Path) -> None:
    said = [{"role": role, "content": "Where?"} for role in ("user", "assistant")]
    value = {"messages": [*said, *(f"line {number}" for number in range(100))]}
    chats, refusals = read_all(write(tmp_path / "chats.json", value))
    assert (len(chats), len(refusals)) == (0, 1)


def test_many_lists_take_linear_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each list that may have odd messages is tried in a copy of the value."""
    tried: list[object] = []
    monkeypatch.setattr(irregular, "best_format", tried.append)
    value = {f"list-{n}": [{"a": 1}, {"a": 2}, {"a": 3}, None] for n in range(100)}
    assert read_all(write(tmp_path / "chats.json", value))[0] == []
    assert 0 < len(tried) < 50
