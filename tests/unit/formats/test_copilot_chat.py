"""Chats of GitHub Copilot in Visual Studio Code."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write
from tests.formats.copilot_chat import LOG, SESSION, asked


def test_all_of_a_chat_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    [chat], refusals = read_all(write(tmp_path / "chat.json", SESSION))
    assert refusals == []
    assert (chat.source, chat.key, chat.title) == ("copilot-chat", "session-1", "Two paths")
    assert spoken(chat) == [
        ("user", "Which path is shorter?"),
        ("assistant", "The one in `north.txt`, I think."),
        ("tool", "nine metres"),
        ("assistant", "It is."),
        ("user", "And the other?"),
        ("assistant", "It is"),
    ]
    assert chat.messages[1].model == "copilot/path-1"
    assert (chat.messages[-1].metadata or {})["status"] == "interrupted"
    assert chat.asides["reasoning"] == 1


def test_why_an_answer_failed_is_read(tmp_path: Path) -> None:
    failed = {"message": "Hi", "result": {"errorDetails": {"message": "Out of reach."}}}
    [chat], refusals = read_all(write(tmp_path / "chat.json", {"requests": [failed]}))
    assert refusals == []
    assert spoken(chat) == [("user", "Hi"), ("assistant", "Out of reach.")]
    assert (chat.messages[1].metadata or {})["status"] == "failed"


def read_answer(tmp_path: Path, *parts: Any) -> tuple[list[tuple[str | None, str]], list[str]]:
    """Return what follows a question whose answer has these parts, and the reasons of a report."""
    value = {"requests": [{"message": "Hi", "response": [{"value": "Ho"}, *parts]}]}
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    return spoken(chat)[1:], [refusal.reason for refusal in refusals]


@pytest.mark.parametrize(
    "part",
    [
        {
            "kind": "questionCarousel",
            "questions": [{"id": "q", "title": "Which of the paths?"}],
            "data": {"q": "the northern one"},
        },
        {"kind": "hologram", "value": "the answer stands here"},
        {"kind": "inlineReference", "inlineReference": {"place": "a place of another kind"}},
    ],
)
def test_a_part_of_an_unknown_kind_is_reported(tmp_path: Path, part: Any) -> None:
    """Programs write new kinds in every version, and some have what somebody has said."""
    said, [reason] = read_answer(tmp_path, part)
    assert said == [("assistant", "Ho")]
    assert "not understood" in reason


@pytest.mark.parametrize("kind", ["textEditGroup", "codeblockUri", "undoStop", "progressMessage"])
def test_a_step_is_no_part_of_the_answer(tmp_path: Path, kind: str) -> None:
    part = {"kind": kind, "uri": {"path": "/maps/north.txt"}, "content": {"value": "Drawing"}}
    assert read_answer(tmp_path, part) == ([("assistant", "Ho")], [])


FILE = {"path": "/maps/north.txt", "scheme": "file"}


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (FILE, "north.txt"),
        ({"uri": FILE, "range": {"startLineNumber": 1}}, "north.txt"),
        ({"name": "measure", "kind": 11, "location": {"uri": FILE, "range": {}}}, "measure"),
        ({"kind": 11, "location": {"uri": FILE, "range": {}}}, "north.txt"),
    ],
)
def test_what_a_sentence_refers_to_is_in_it(tmp_path: Path, reference: Any, name: str) -> None:
    """Else the sentence has a gap where the name of a file stood."""
    part = {"kind": "inlineReference", "inlineReference": reference}
    said, reasons = read_answer(tmp_path, part, {"value": "!"})
    assert (said, reasons) == ([("assistant", f"Ho`{name}`!")], [])


def test_a_session_without_requests_is_no_conversation(tmp_path: Path) -> None:
    """Else a folder has a refusal, or an empty chat, for each window that was not used."""
    value = {"version": 3, "requests": [], "sessionId": "session-2", "responderUsername": "A B"}
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert (chat.source, chat.key, chat.has_nothing) == ("copilot-chat", "session-2", True)
    assert refusals == []
    typed = {**value, "inputState": {"inputText": "Not sent"}}
    [chat], [_] = read_all(write(tmp_path / "typed.json", typed))
    assert not chat.has_nothing
    assert read_all(write(tmp_path / "other.json", {"requests": [], "id": "x"}))[0] == []


def test_the_state_of_the_input_is_no_text_but_for_what_is_typed(tmp_path: Path) -> None:
    """Else every session of a newer version is reported, or words that were not sent are not."""
    extension = {"value": "GitHub.copilot-chat", "_lower": "github.copilot-chat"}
    model = {"identifier": "copilot/path-1", "metadata": {"extension": extension}}
    state = {"selectedModel": model, "inputText": "", "attachments": []}
    _, refusals = read_all(write(tmp_path / "chat.json", {**SESSION, "inputState": state}))
    assert refusals == []
    typed = {**SESSION, "inputState": {**state, "inputText": "And the third?"}}
    [chat], [refusal] = read_all(write(tmp_path / "typed.json", typed))
    assert "inputText was not understood, with 14 characters" in refusal.reason
    assert chat.metadata["source"]["inputText"] == {"text": "And the third?"}


def read_log(tmp_path: Path, *lines: Any) -> tuple[Any, list[str]]:
    [chat], reasons = read_logs(tmp_path, *lines)
    return chat, reasons


def read_logs(tmp_path: Path, *lines: Any) -> tuple[list[Any], list[str]]:
    file = tmp_path / "session-2.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    chats, refusals = read_all(file)
    return chats, [refusal.reason for refusal in refusals]


def whole(id_: str, *requests: Any) -> dict[str, Any]:
    """The first line of a log."""
    return {"kind": 0, "v": {"version": 3, "sessionId": id_, "requests": [*requests]}}


def test_a_log_is_the_session_that_it_leads_to(tmp_path: Path) -> None:
    """Else every chat of a newer version is refused."""
    chat, reasons = read_log(tmp_path, *LOG)
    assert reasons == []
    assert (chat.source, chat.key, chat.title) == ("copilot-chat", "session-2", "Two hills")
    opening = [("user", "Which hill is higher?"), ("assistant", "I look it up.  The east one.")]
    assert spoken(chat) == [*opening, ("user", "And steeper?"), ("assistant", "The west one.")]
    assert spoken(chat, 4) == [*opening, ("user", "And steep?"), ("assistant", "No.")]
    assert chat.messages[1].output_tokens == 12


def test_a_log_of_its_first_line_is_a_session(tmp_path: Path) -> None:
    chat, reasons = read_log(tmp_path, LOG[0])
    assert (spoken(chat)[-1], reasons) == (("assistant", "I look it up. "), [])


@pytest.mark.parametrize(
    "line",
    [
        {"kind": 2, "k": ["requests", 7, "response"], "v": [{"value": "lost words"}]},
        {"kind": 2, "k": ["sessionId"], "v": [{"value": "lost words"}]},
        {"kind": 1, "k": ["requests", 7], "v": {"text": "lost words"}},
        {"kind": 1, "k": ["requests", "x", "y"], "v": {"text": "lost words"}},
    ],
)
def test_a_line_that_leads_nowhere_is_reported(tmp_path: Path, line: Any) -> None:
    chat, [reason] = read_log(tmp_path, LOG[0], line)
    assert "other_lines was not understood" in reason
    assert "lost words" in json.dumps(chat.metadata)


def test_a_request_that_is_written_again_is_no_branch(tmp_path: Path) -> None:
    again = asked("request-1", "Which hill is higher?", {"value": "The east one."})
    chat, reasons = read_log(tmp_path, LOG[0], {"kind": 2, "k": ["requests"], "i": 0, "v": [again]})
    assert (chat.parents, reasons) == (None, [])
    assert spoken(chat)[-1] == ("assistant", "The east one.")


def test_logs_in_one_stream_are_a_chat_each(tmp_path: Path) -> None:
    """Else the last one has taken the place of the others, and nobody is told."""
    other = asked("request-9", "Which lake is deeper?", {"value": "The north one."})
    chats, reasons = read_logs(tmp_path, *LOG, whole("session-3", other))
    assert reasons == []
    assert [chat.key for chat in chats] == ["session-2", "session-3"]
    assert spoken(chats[0])[-1] == ("assistant", "The west one.")
    assert spoken(chats[1]) == [("user", "Which lake is deeper?"), ("assistant", "The north one.")]


def test_a_session_that_is_written_again_keeps_what_it_lacks(tmp_path: Path) -> None:
    again = whole("session-2", asked("request-9", "Which lake is deeper?"))
    chat, reasons = read_log(tmp_path, *LOG, again)
    assert reasons == []
    said = {message.content for message in chat.messages}
    assert {"And steep?", "And steeper?", "The west one.", "Which lake is deeper?"} <= said
    assert spoken(chat) == [("user", "Which lake is deeper?")]


def test_a_question_that_follows_a_replaced_one_stays_after_it(tmp_path: Path) -> None:
    """Else it begins the chat, with an answer to what nobody has asked."""
    a, b, c, d = (
        asked(f"request-{number}", f"{name}?", {"value": f"{name}!"})
        for number, name in enumerate(("North", "East", "South", "West"), start=1)
    )
    edits = [{"kind": 2, "k": ["requests"], "i": at, "v": [by]} for at, by in ((1, c), (0, d))]
    chat, reasons = read_log(tmp_path, whole("session-3", a, b), *edits)
    assert reasons == []
    assert spoken(chat) == [("user", "West?"), ("assistant", "West!")]
    ends = {message.content: at for at, message in enumerate(chat.messages, start=1)}
    for name in ("East", "South"):
        assert [text for _, text in spoken(chat, ends[f"{name}!"])] == [
            *("North?", "North!", f"{name}?", f"{name}!"),
        ]


def test_what_follows_a_question_without_an_answer_stays_after_it(tmp_path: Path) -> None:
    first, second = asked("request-1", "North?"), asked("request-2", "East?", {"value": "East!"})
    edit = {"kind": 2, "k": ["requests"], "i": 1, "v": [asked("request-3", "South?")]}
    chat, reasons = read_log(tmp_path, whole("session-3", first, second), edit)
    assert reasons == []
    assert [text for _, text in spoken(chat, 3)] == ["North?", "East?", "East!"]
    assert spoken(chat) == [("user", "North?"), ("user", "South?")]


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ({"kind": 1, "k": ["requests", 0, "message"], "v": {"text": "edited"}}, "Which hill"),
        ({"kind": 1, "k": ["requests", 0, "message", "text"], "v": "edited"}, "Which hill"),
        ({"kind": 1, "k": ["requests", 0, "response"], "v": [{"value": "Other"}]}, "I look it up"),
        ({"kind": 2, "k": ["requests", 0, "response"], "i": 0, "v": None}, "I look it up"),
        ({"kind": 3, "k": ["requests", 0, "response"]}, "I look it up"),
        (
            {"kind": 1, "k": ["requests", 0], "v": asked("request-1", "Which hill is higher?")},
            "I look it up",
        ),
    ],
)
def test_a_value_that_is_replaced_is_kept_beside_the_chat(
    tmp_path: Path, line: Any, lost: str
) -> None:
    """Else the first words of a question, or an answer that was removed, are nowhere."""
    chat, reasons = read_log(tmp_path, LOG[0], line)
    assert reasons == []
    assert chat.asides["earlier_values"] == 1
    assert lost in json.dumps(chat.messages[0].metadata)


def test_a_step_that_goes_on_is_not_kept_twice(tmp_path: Path) -> None:
    step = {"kind": "progressMessage", "content": {"value": "Drawing"}}
    more = {"kind": 2, "k": ["requests", 0, "response"], "i": 0}
    begun, done = ({**more, "v": [{**step, "isComplete": is_done}]} for is_done in (False, True))
    chat, reasons = read_log(tmp_path, whole("session-3", asked("request-1", "Hi")), begun, done)
    assert ("earlier_values" in chat.asides, reasons) == (False, [])


def test_replaced_requests_without_ids_are_branches(tmp_path: Path) -> None:
    requests = [{"message": f"Hill {n}?", "response": [{"value": f"Hill {n}."}]} for n in (1, 2, 3)]
    edit = {"kind": 2, "k": ["requests"], "i": 1, "v": requests[2:]}
    chat, reasons = read_log(tmp_path, whole("session-3", *requests[:2]), edit)
    assert reasons == []
    assert [text for _, text in spoken(chat)] == ["Hill 1?", "Hill 1.", "Hill 3?", "Hill 3."]
    assert [text for _, text in spoken(chat, 6)] == ["Hill 1?", "Hill 1.", "Hill 2?", "Hill 2."]


@pytest.mark.parametrize(
    "request_",
    [
        {"requestId": "request-2", "message": {"text": "Hi"}, "response": "lost words"},
        {"requestId": "request-2", "message": {"parts": [{"text": "lost words"}]}},
    ],
)
def test_a_replaced_value_that_is_no_request_is_reported(tmp_path: Path, request_: Any) -> None:
    edit = {"kind": 2, "k": ["requests"], "i": 0, "v": [asked("request-1", "Hi")]}
    chat, [reason] = read_log(tmp_path, whole("session-3", request_), edit)
    assert "other_lines was not understood" in reason
    assert "lost words" in json.dumps(chat.metadata)


def test_a_question_that_waits_to_be_sent_is_kept(tmp_path: Path) -> None:
    """Else the log counts as empty, and the words are nowhere."""
    waiting = [{"id": "p", "request": {"message": {"text": "Which lake is deeper?"}}}]
    line = {"kind": 1, "k": ["pendingRequests"], "v": waiting}
    chat, [reason] = read_log(tmp_path, whole("session-3"), line)
    assert "pendingRequests was not understood, with 21 characters" in reason
    assert chat.metadata["source"]["pendingRequests"] == waiting
    assert not chat.has_nothing


def test_a_log_in_which_nothing_was_said_has_nothing(tmp_path: Path) -> None:
    """Else a folder has an empty conversation for each window in which the model was changed."""
    models = ({"metadata": {"extension": {"value": f"Maps.paths-{n}"}}} for n in (1, 2))
    lines = [{"kind": 1, "k": ["inputState", "selectedModel"], "v": model} for model in models]
    state = {"kind": 1, "k": ["inputState"], "v": {"inputText": "", "attachments": []}}
    chat, reasons = read_log(tmp_path, whole("session-3"), state, *lines)
    assert (chat.has_nothing, reasons) == (True, [])
