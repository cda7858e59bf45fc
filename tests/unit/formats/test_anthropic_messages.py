"""Anthropic messages: blocks of every kind are where a reader finds them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import path, read_all, spoken, write
from tests.formats.anthropic import EXAMPLE

from faceplate.importers import Chat


def read_one(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "chat.json", value))
    assert refusals == []
    assert chat.source == "anthropic"
    return chat


def talk(*messages: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": "a-1",
        "system": "Be kind.",
        "messages": [{"role": role, "content": content} for role, content in messages],
        **fields,
    }


def test_all_of_a_chat_is_where_a_reader_finds_it(tmp_path: Path) -> None:
    chat = read_one(tmp_path, EXAMPLE)
    assert (chat.key, chat.title) == ("harbour", "A harbour in winter")
    assert spoken(chat) == [
        ("system", "Speak like a pilot."),
        ("user", "Is the harbour frozen?\n\n[Tides]\n```\nHigh at noon.\n```"),
        ("assistant", "I shall ask both gauges."),
        ("tool", "minus four"),
        ("tool", "the gauge is broken"),
        ("user", "Also ask the almanac."),
        ("assistant", ""),
        ("tool", json.dumps(EXAMPLE["messages"][3]["content"][1]["content"])),
        ("assistant", "It is frozen at the second pier."),
        ("tool", "entry seven"),
        ("assistant", "It is in the log."),
    ]


def test_results_answer_the_calls_that_they_name(tmp_path: Path) -> None:
    """The results of parallel calls come in any order."""
    messages = path(read_one(tmp_path, EXAMPLE))
    calls = [call["id"] for message in messages for call in message.tool_calls or ()]
    answers = [each["tool_call_id"] for message in messages for each in message.tool_results or ()]
    assert calls == ["toolu_1", "toolu_2", "srvtoolu_1", "mcptoolu_1"]
    assert answers == ["toolu_2", "toolu_1", "srvtoolu_1", "mcptoolu_1"]
    assert [
        (message.metadata or {}).get("status") for message in messages if message.role == "tool"
    ] == [
        None,
        "failed",
        None,
        None,
    ]


def test_a_reply_has_its_model_tokens_and_end(tmp_path: Path) -> None:
    reply = next(m for m in path(read_one(tmp_path, EXAMPLE)) if m.output_tokens)
    assert (reply.model, reply.input_tokens, reply.output_tokens) == ("claude-4-large", 120, 34)
    assert (reply.metadata or {})["status"] == "interrupted"


def test_pictures_and_documents_are_attachments(tmp_path: Path) -> None:
    files = json.loads(path(read_one(tmp_path, EXAMPLE))[1].body or "")["attachments"]
    assert [(file["kind"], file.get("name"), file.get("reference")) for file in files] == [
        ("image", None, "https://example.com/pier.png"),
        ("text/plain", "Tides", None),
    ]


def test_reasoning_is_kept_beside(tmp_path: Path) -> None:
    chat = read_one(tmp_path, EXAMPLE)
    assert chat.asides["reasoning"] == 2
    kept = (path(chat)[2].metadata or {})["asides"]["reasoning"]
    assert [block.get("thinking") for block in kept] == ["Two gauges know it.", None]


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, "[file]"),
        ({"type": "container_upload", "file_id": "file_2"}, "[file]"),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aQ=="},
            },
            "[image/png]",
        ),
    ],
)
def test_a_message_of_only_a_file_is_a_message(
    tmp_path: Path, block: dict[str, Any], name: str
) -> None:
    chat = read_one(tmp_path, talk(("user", [block]), ("assistant", "Seen.")))
    assert spoken(chat)[1:] == [("user", name), ("assistant", "Seen.")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"type": "content", "content": "Rain."}, "Rain."),
        ({"type": "content", "content": [{"type": "text", "text": "Snow."}]}, "Snow."),
        ({"type": "text", "media_type": "text/plain", "data": "Hail."}, "Hail."),
    ],
)
def test_the_text_of_a_document_is_in_the_content(
    tmp_path: Path, source: dict[str, Any], said: str
) -> None:
    block = {"type": "document", "title": "Weather", "source": source}
    chat = read_one(tmp_path, talk(("user", [block, {"type": "text", "text": "Read it."}])))
    assert spoken(chat)[1] == ("user", f"Read it.\n\n[Weather]\n```\n{said}\n```")


def test_a_search_result_is_a_text_with_its_source(tmp_path: Path) -> None:
    block = {
        "type": "search_result",
        "title": "Soups",
        "source": "https://example.com/soup",
        "content": [{"type": "text", "text": "Leek and potato."}],
    }
    chat = read_one(tmp_path, talk(("user", [block])))
    assert spoken(chat)[1] == ("user", "[Soups]\n```\nLeek and potato.\n```")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("plain", "plain"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        (
            [{"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}}],
            "c",
        ),
        (
            [
                {"type": "text", "text": "seen"},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            ],
            "seen",
        ),
        ({"type": "bash_code_execution_result", "stdout": "7", "return_code": 0}, '"stdout": "7"'),
    ],
)
def test_results_have_every_form(tmp_path: Path, content: Any, said: str) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": content}
    chat = read_one(tmp_path, talk(("user", "Go."), ("assistant", [call]), ("user", [result])))
    assert [message.role for message in path(chat)] == ["system", "user", "assistant", "tool"]
    assert said in path(chat)[-1].content


def test_a_message_of_only_results_is_no_message_of_the_user(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "done"}
    said = [("user", "Go."), ("assistant", [call]), ("user", [result]), ("assistant", "Gone.")]
    roles = [message.role for message in path(read_one(tmp_path, talk(*said)))]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]


def test_a_prompt_amid_the_messages_is_a_system_message(tmp_path: Path) -> None:
    """It must not look like something that the user wrote."""
    prompt = {"type": "mid_conv_system", "content": [{"type": "text", "text": "Now whisper."}]}
    chat = read_one(tmp_path, talk(("user", [prompt, {"type": "text", "text": "Hm?"}])))
    assert spoken(chat)[1:] == [("system", "Now whisper."), ("user", "Hm?")]


def test_a_call_without_a_result_does_not_wait_for_one(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"deep": "sea"}}
    chat = read_one(tmp_path, talk(("user", "Go."), ("assistant", [call])))
    assert path(chat)[-1].tool_calls is None
    assert '"deep": "sea"' in path(chat)[-1].content


def test_chats_without_an_id_are_told_apart(tmp_path: Path) -> None:
    """Two chats that begin with the same prompt are two conversations."""
    values = [talk(("user", word), id=None) for word in ("One", "Two")]
    chats, refusals = read_all(write(tmp_path / "chats.json", values))
    assert (len({chat.key for chat in chats}), refusals) == (2, [])


def test_results_answer_calls_without_ids_in_their_order(tmp_path: Path) -> None:
    """A program that keeps the names of calls alone still has the ids in their results."""
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "name": name, "input": {}} for name in ("wind", "tide")
    ]
    results = [
        {"type": "tool_result", "tool_use_id": id_, "content": said}
        for id_, said in (("toolu_1", "north"), ("toolu_2", "low"))
    ]
    chat = read_one(tmp_path, talk(("user", "Go."), ("assistant", calls), ("user", results)))
    _, _, asked, *answers = path(chat)
    assert spoken(chat)[3:] == [("tool", "north"), ("tool", "low")]
    assert [call["id"] for call in asked.tool_calls or ()] == [
        (answer.tool_results or [])[0]["tool_call_id"] for answer in answers
    ]
    named = [(answer.metadata or {})["tool_call_id"] for answer in answers]
    assert named == ["toolu_1", "toolu_2"]


def test_a_result_whose_call_was_cut_off_is_kept_with_its_name(tmp_path: Path) -> None:
    """A program that shortens its history often keeps a result without the call."""
    result = {"type": "tool_result", "tool_use_id": "toolu_9", "content": "done"}
    [_, kept, _] = path(read_one(tmp_path, talk(("user", [result]), ("assistant", "Gone."))))
    assert (kept.role, kept.content) == ("assistant", "done")
    assert kept.metadata == {"role": "tool", "tool_call_id": "toolu_9"}
