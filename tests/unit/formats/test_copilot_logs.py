"""Logs of the changes of a chat of GitHub Copilot in Visual Studio Code."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken
from tests.formats.copilot_chat import LOG, asked

from faceplate.importers import Chat, read_chats


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
        {"kind": 1, "k": ["requests"], "v": "lost words"},
        {"kind": 3, "k": ["requests", 0], "v": {"text": "lost words"}},
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


@pytest.mark.parametrize("is_whole", [True, False])
def test_memory_holds_a_few_requests_of_a_log(tmp_path: Path, *, is_whole: bool) -> None:
    """Else the log of a year takes the memory of the process."""
    requests = [
        asked(f"request-{number}", "Hi", {"value": "\U0001f332" + "tree " * 1_000})
        for number in range(2_000)
    ]
    lines = [whole("session-3", *requests)]
    if not is_whole:
        pushes = ({"kind": 2, "k": ["requests"], "v": [request]} for request in requests)
        lines = [whole("session-3"), *pushes]
    file = tmp_path / "log.jsonl"
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "utf-8")
    size = file.stat().st_size
    del lines, requests
    tracemalloc.start()
    try:
        count = sum(len(item.messages) for item in read_chats(file) if isinstance(item, Chat))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 4_000
    assert peak_bytes < 2 * size
