"""What the versions of Open WebUI, and chat.qwen.ai, write into an answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import open_webui, path, read_all, reply, spoken, write
from tests.formats.open_webui import EXAMPLE, MARKUP, OUTPUT, PDF

from faceplate.importers import Chat
from faceplate.services.messages import NewMessage


def read_answer(tmp_path: Path, **fields: Any) -> list[NewMessage]:
    """What follows a question with this answer."""
    answer = reply("a", "q", "assistant", fields.pop("content", ""), **fields)
    value = open_webui([reply("q", None, "user", "Hi"), answer])
    [chat], refusals = read_all(write(tmp_path / "chats.json", [value]))
    assert refusals == []
    return path(chat)[1:]


def said(messages: list[NewMessage]) -> list[tuple[str | None, str]]:
    return [(message.role, message.content) for message in messages]


@pytest.fixture
def chats(tmp_path: Path) -> list[Chat]:
    found, refusals = read_all(write(tmp_path / "chats.json", EXAMPLE))
    assert refusals == []
    return found


RIPE = [
    ("assistant", "I look it up."),
    ("tool", '"Ripe" plums\nare soft.'),
    ("assistant", ""),
    ("tool", "42"),
    ("assistant", "Soft ones are ripe."),
]


def check_ripe(messages: list[NewMessage]) -> None:
    """Check the calls and reasoning of an answer of which the text was compared."""
    search, found, code, output, _ = messages
    assert (search.metadata or {})["asides"]["reasoning"] != []
    assert search.tool_calls == [
        {
            "id": "call-1",
            "type": "function",
            "function": {"name": "search", "arguments": '{"fruit": "plum"}'},
        }
    ]
    assert (found.tool_results or [])[0]["tool_call_id"] == "call-1"
    assert json.loads(found.body or "")["attachments"][0]["reference"] == "/files/plum.png"
    [call] = code.tool_calls or []
    assert call["custom"] == {"name": "code_interpreter", "input": "print(7 * 6)"}
    assert (output.tool_results or [])[0]["tool_call_id"] == call["id"]


def test_an_answer_is_the_same_in_every_version(tmp_path: Path) -> None:
    """Else the answers of one version are markup, or nothing at all."""
    versions: list[dict[str, Any]] = [
        {"content": MARKUP},
        {"content": MARKUP, "output": OUTPUT},
        {"content": "", "output": OUTPUT},
        {"content": "Soft ones are ripe.", "output": OUTPUT},
    ]
    for fields in versions:
        messages = read_answer(tmp_path, **fields)
        assert said(messages) == RIPE
        check_ripe(messages)


def test_the_reasoning_of_both_is_the_same_text(tmp_path: Path) -> None:
    [marked, *_] = read_answer(tmp_path, content=MARKUP)
    assert (marked.metadata or {})["asides"]["reasoning"][0]["text"] == "Ripe\nor not?"
    [listed, *_] = read_answer(tmp_path, output=OUTPUT)
    [item] = (listed.metadata or {})["asides"]["reasoning"]
    assert item["content"][0]["text"] == "Ripe\nor not?"


def test_a_merged_answer_takes_the_place_of_the_ones_it_is_made_of(chats: list[Chat]) -> None:
    """Open WebUI goes on from it, and it was only to be found in the metadata."""
    assert spoken(chats[0])[:3] == [
        ("user", "What is a plum?\n\n[plums.pdf]\n```\nPlums ripen in August.\n```"),
        ("assistant", "A stone fruit, akin to cherries."),
        ("user", "Which are ripe?"),
    ]
    others = [message.content for message in chats[0].messages[1:3]]
    assert others == ["A stone fruit.", "A kind of cherry."]
    assert (chats[0].parents or [])[:4] == [None, None, 1, 1]


def test_a_merged_answer_at_the_end_is_shown(tmp_path: Path) -> None:
    [shown] = read_answer(tmp_path, content="One", merged={"status": True, "content": "Both"})
    assert shown.content == "Both"


def test_tokens_and_models_are_kept(chats: list[Chat]) -> None:
    answer = next(message for message in chats[0].messages if message.output_tokens)
    assert (answer.model, answer.input_tokens, answer.output_tokens) == ("one", 11, 31)
    assert chats[2].messages[1].model == "Three"


def test_the_phases_of_qwen_are_reasoning_and_answer(chats: list[Chat]) -> None:
    assert spoken(chats[2]) == [("user", "Which are sour?"), ("assistant", "Sloes are.")]
    asides = (chats[2].messages[1].metadata or {})["asides"]
    assert [item["phase"] for item in asides["reasoning"]] == ["think", "thinking_summary"]


def test_an_export_of_qwen_may_be_wrapped(tmp_path: Path) -> None:
    value = {"success": True, "request_id": "1", "data": EXAMPLE[2:]}
    chats, refusals = read_all(write(tmp_path / "chats.json", value))
    assert (len(chats), refusals) == (1, [])


def test_text_that_was_edited_counts(tmp_path: Path) -> None:
    """Else the words that somebody put right are lost."""
    messages = read_answer(tmp_path, content="Only soft ones.", output=OUTPUT)
    assert said(messages)[-1] == ("assistant", "Only soft ones.")
    assert ("tool", "42") in said(messages)
    replaced = (messages[0].metadata or {})["asides"]["replaced text"]
    assert [each["text"] for each in replaced] == ["I look it up.", "Soft ones are ripe."]


def test_markup_that_was_edited_counts(tmp_path: Path) -> None:
    messages = read_answer(tmp_path, content=MARKUP.replace("Soft", "Some"), output=OUTPUT)
    assert said(messages)[-1] == ("assistant", "Some ones are ripe.")
    assert said(messages)[:-1] == RIPE[:-1]


def test_the_calls_of_version_05_are_in_two_attributes(tmp_path: Path) -> None:
    calls = [{"id": "c", "function": {"name": "search", "arguments": '{"a": "b"}'}}]
    results = [{"tool_call_id": "c", "content": "Found."}]
    quoted = [json.dumps(value).replace('"', "&quot;") for value in (calls, results)]
    content = (
        f'<details type="tool_calls" done="true" content="{quoted[0]}" results="{quoted[1]}">\n'
        "<summary>Tool Executed</summary>\n&gt; search: Found.\n</details>\nHere."
    )
    asked, result, answer = read_answer(tmp_path, content=content)
    assert (asked.tool_calls or [])[0]["function"]["arguments"] == '{"a": "b"}'
    assert (result.content, answer.content) == ("Found.", "Here.")


@pytest.mark.parametrize(
    "content",
    [
        '<details type="reasoning" done="false">\n<summary>Thinking',
        '<details type="reasoning"',
        "<details><summary>More</summary>Plums</details>",
        '<details type="tool_calls">' * 2_000,
    ],
)
def test_markup_that_is_not_whole_is_text(tmp_path: Path, content: str) -> None:
    [answer] = read_answer(tmp_path, content=content)
    assert answer.content == content


def test_a_call_that_has_not_ended_is_text(tmp_path: Path) -> None:
    content = (
        '<details type="tool_calls" done="false" id="c" name="search" '
        'arguments="&quot;{}&quot;">\n<summary>Executing...</summary>\n</details>'
    )
    [answer] = read_answer(tmp_path, content=content)
    assert (answer.content, answer.tool_calls) == ("[search]\n```\n{}\n```", None)


def test_markup_in_a_question_is_the_question(tmp_path: Path) -> None:
    value = open_webui([reply("q", None, "user", MARKUP)])
    [chat], _ = read_all(write(tmp_path / "chats.json", [value]))
    assert chat.messages[0].content == MARKUP


def test_items_of_later_versions_are_kept_or_reported(tmp_path: Path) -> None:
    output = [
        {"type": "open_webui:context_compaction", "call_id": "c", "summary": "Plums so far."},
        {"type": "hologram", "text": "Three dimensions"},
        *OUTPUT[-1:],
    ]
    answer = reply("a", "q", "assistant", "", output=output)
    value = open_webui([reply("q", None, "user", "Hi"), answer])
    [chat], [refusal] = read_all(write(tmp_path / "chats.json", [value]))
    assert chat.messages[1].content == "Soft ones are ripe."
    assert "part 2 was not understood" in refusal.reason
    asides = (chat.messages[1].metadata or {})["asides"]
    assert asides["context_compaction"][0]["summary"] == "Plums so far."


def test_a_call_without_an_id_of_its_own_is_named_by_its_item(tmp_path: Path) -> None:
    output = [{**OUTPUT[2], "call_id": None}, {**OUTPUT[3], "call_id": "fc-1"}, OUTPUT[-1]]
    asked, result, _ = read_answer(tmp_path, output=output)
    assert (asked.tool_calls or [])[0]["id"] == "fc-1"
    assert (result.tool_results or [])[0]["tool_call_id"] == "fc-1"


def test_the_files_of_a_chat_are_not_kept_twice(tmp_path: Path) -> None:
    """Else every chat with a file is reported as one that was not understood."""
    value = open_webui([reply("q", None, "user", "Hi", files=[PDF])])
    other = {"type": "collection", "id": "k-1", "name": "Orchard"}
    value["chat"]["files"] = [PDF, other]
    [chat], refusals = read_all(write(tmp_path / "chats.json", [value]))
    assert refusals == []
    assert chat.messages[0].content == "Hi\n\n[plums.pdf]\n```\nPlums ripen in August.\n```"
    assert chat.metadata["source"]["chat"]["files"] == [other]


@pytest.mark.parametrize(
    "fields",
    [
        {"output": [{"type": "open_webui:canvas", "text": "A drawn plum"}]},
        {"content_list": [{"phase": "canvas", "content": "A drawn plum", "status": "finished"}]},
    ],
)
def test_a_part_of_a_later_version_is_reported(tmp_path: Path, fields: dict[str, Any]) -> None:
    """Else an answer that is only there vanishes, and nobody knows."""
    answer = reply("a", "q", "assistant", "Here:", **fields)
    value = open_webui([reply("q", None, "user", "Draw"), answer])
    [chat], [refusal] = read_all(write(tmp_path / "chats.json", [value]))
    assert "part 1 was not understood, with" in refusal.reason
    assert "A drawn plum" in json.dumps(chat.messages[1].metadata)


def test_a_search_of_qwen_is_beside_the_answer(tmp_path: Path) -> None:
    phases = [
        {"phase": "web_search", "content": "three pages", "extra": {}},
        {"phase": "answer", "content": "Sloes are."},
    ]
    [answer] = read_answer(tmp_path, content_list=phases)
    assert answer.content == "Sloes are."


def test_messages_with_parents_are_not_yet_its_messages(tmp_path: Path) -> None:
    """Many programs have such a list; their times have other names, and would be lost."""
    times = {"createdAt": "2025-01-01T00:00:01Z"}
    listed = [
        {"id": "q", "parentId": None, "role": "user", "content": "Hi", **times},
        {"id": "a", "parentId": "q", "role": "assistant", "content": "Ho", **times},
    ]
    [chat], refusals = read_all(write(tmp_path / "chats.json", {"messages": listed}))
    assert (chat.source, refusals) == ("openai", [])
    assert chat.messages[1].created_at is not None
