"""Messages of programs that nobody has heard of: a name of who speaks, and a text."""

from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import read_all, spoken, write

SPOKEN = [("user", "Which stone?"), ("assistant", "The grey one.")]


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("sender", "text", ("user", "bot")),
        ("author", "content", ("Human", "Assistant")),
        ("speaker", "utterance", ("User", "Bot")),
        ("type", "text", ("human", "ai")),
        ("isUser", "message", (True, False)),
    ],
)
@pytest.mark.parametrize("key", ["messages", "dialog", ""])
def test_a_name_and_a_text_are_a_message(
    tmp_path: Path, name: str, text: str, names: tuple[Any, Any], key: str
) -> None:
    said = [
        {name: who, text: words, "timestamp": 1_700_000_000 + number}
        for number, (who, (_, words)) in enumerate(zip(names, SPOKEN, strict=True))
    ]
    [chat], refusals = read_all(write(tmp_path / "x.json", {key: said} if key else said))
    assert (refusals, chat.source, spoken(chat)) == ([], "chat-exporter", SPOKEN)
    assert [m.created_at.timestamp() for m in chat.messages if m.created_at] == [
        1_700_000_000,
        1_700_000_001,
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "message", "user": "U1", "text": "Hi"}, {"type": "message", "text": "Hello"}],
        [{"sender": "ann", "text": "Hi"}, {"sender": "user", "text": "Hello"}],
        [{"sender": "user", "text": "Hi"}],
    ],
)
def test_what_people_write_to_each_other_is_no_chat(tmp_path: Path, messages: list[Any]) -> None:
    chats, [refusal, *_] = read_all(write(tmp_path / "x.json", {"messages": messages}))
    assert chats == []
    assert refusal.reason.startswith("of no format that can be read; it is a list, and the keys")


def test_short_ids_of_messages_do_not_mix_up_chats(tmp_path: Path) -> None:
    """Else the second chat would become a branch of the first."""
    chats = [
        {"messages": [{"id": "1", "role": "user", "content": f"Which {what}?", "parentId": None}]}
        for what in ("stone", "tree")
    ]
    read, refusals = read_all(write(tmp_path / "x.json", chats))
    assert refusals == []
    assert len({chat.key for chat in read}) == 2


def test_times_as_mongodb_exports_them_are_read(tmp_path: Path) -> None:
    times = [{"$date": "2025-01-02T03:04:05Z"}, {"$date": {"$numberLong": "1735787046000"}}]
    said = [
        {"role": role, "content": text, "createdAt": time}
        for (role, text), time in zip(SPOKEN, times, strict=True)
    ]
    [chat], refusals = read_all(write(tmp_path / "x.json", {"messages": said}))
    assert refusals == []
    assert [m.created_at.isoformat()[:19] for m in chat.messages if m.created_at] == [
        "2025-01-02T03:04:05",
        "2025-01-02T03:04:06",
    ]


def test_calls_of_bedrock_are_linked(tmp_path: Path) -> None:
    picture = {"image": {"format": "png", "source": {"bytes": "iVBORw0K"}}}
    paper = {"document": {"format": "pdf", "name": "stones", "source": {"s3Location": {}}}}
    said = [
        {"role": "user", "content": [{"text": "Which stone?"}, picture, paper]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
                {"toolUse": {"toolUseId": "t-1", "name": "look", "input": {"at": "stones"}}},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t-1", "content": [{"text": "one is grey"}]}}],
        },
        {"role": "assistant", "content": [{"text": "The grey one."}]},
    ]
    [chat], refusals = read_all(write(tmp_path / "x.json", {"messages": said}))
    assert refusals == []
    assert [m.role for m in chat.messages] == ["user", "assistant", "tool", "assistant"]
    assert chat.messages[2].content == "one is grey"
    assert chat.asides == {"attachments": 2, "reasoning": 1}
