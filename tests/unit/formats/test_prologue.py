"""System prompts and files that a program keeps beside the messages: they come before them all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from tests.chat_files import open_webui, path, read_all, reply, spoken, write

from faceplate.importers import Chat

QUESTION: Final = {"role": "user", "content": "Hi"}
TREE: Final = [reply("q", None, "user", "Hi"), reply("a", "q", "assistant", "Hello")]
ROW: Final = {"role": "user", "content": "Hi", "sessionId": "s", "agentId": "g"}
ROWS: Final = [{**ROW, "id": "m", "topicId": "t"}]
PLUM: Final = {"messageId": "m", "text": "Hi", "isCreatedByUser": True}
NODE: Final = {"convId": "c", "id": "1", "role": "user", "content": "Hi", "parent": "0"}
STEP: Final = {"versions": [QUESTION], "currentlySelected": 0}


def lobechat(**tables: Any) -> Any:
    return {"exportType": "all", "state": {"messages": ROWS, **tables}}


def wrapped(**fields: Any) -> Any:
    value = open_webui(TREE)
    return {**value, "chat": {**value["chat"], **fields}}


PROMPTS: Final[dict[str, tuple[Any, Sequence[str]]]] = {
    "open-webui": (wrapped(system="One.", params={"system": "Two."}), ["One.", "Two."]),
    "librechat": (
        {"conversationId": "c", "options": {"promptPrefix": "One."}, "messages": [PLUM]},
        ["One."],
    ),
    "lobechat, sessions": (
        lobechat(sessions=[{"id": "s", "config": {"systemRole": "One."}}]),
        ["One."],
    ),
    "lobechat, agents": (
        lobechat(
            agents=[{"id": "h", "systemRole": "One."}],
            agentsToSessions=[{"agentId": "h", "sessionId": "s"}],
            messages=[{**ROWS[0], "agentId": None}],
        ),
        ["One."],
    ),
    "lobechat, agent of a message": (
        lobechat(agents=[{"id": "g", "systemRole": "One."}]),
        ["One."],
    ),
    "chatbot-ui": ({"id": 1, "name": "x", "prompt": "One.", "messages": [QUESTION]}, ["One."]),
    "typingmind": (
        {
            "chatID": "c",
            "chatTitle": "x",
            "chatParams": {"systemMessage": "One."},
            "character": {"instruction": "Two."},
            "messages": [QUESTION],
        },
        ["One.", "Two."],
    ),
    "llama-cpp": (
        {"conv": {"id": "c", "currNode": "1", "systemMessage": "One."}, "messages": [NODE]},
        ["One."],
    ),
    "lm-studio": (
        {"name": "x", "createdAt": 1, "systemPrompt": "One.", "messages": [STEP]},
        ["One."],
    ),
    "sharegpt": (
        {
            "system": "One.",
            "system_prompt": "Two.",
            "conversations": [{"from": "human", "value": "Hi"}],
        },
        ["One.", "Two."],
    ),
    "openai": (
        {"instructions": "One.", "system": "Two.", "preprompt": "Three.", "messages": [QUESTION]},
        ["One.", "Two.", "Three."],
    ),
    "anthropic": (
        {
            "system": [{"type": "text", "text": "One."}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": "Hi"}],
                }
            ],
        },
        ["One."],
    ),
}


def read(tmp_path: Path, value: object) -> Chat:
    [chat], refusals = read_all(write(tmp_path / "chats.json", [value]))
    assert refusals == []
    return chat


@pytest.mark.parametrize("name", PROMPTS)
def test_the_prompts_beside_the_messages_come_first(tmp_path: Path, name: str) -> None:
    """Else nobody sees what the model had been told, and the words are in no message."""
    value, prompts = PROMPTS[name]
    chat = read(tmp_path, value)
    assert chat.source == name.partition(",")[0]
    said = spoken(chat)
    assert said[: len(prompts)] == [("system", prompt) for prompt in prompts]
    assert next(content for _, content in said[len(prompts) :]) == "Hi"


def test_a_prompt_that_a_message_repeats_is_said_once(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "One."}, QUESTION]
    chat = read(tmp_path, {"system": "One.", "instructions": "Two.", "messages": messages})
    assert [content for _, content in spoken(chat)] == ["Two.", "One.", "Hi"]


def test_each_first_question_follows_the_prompt(tmp_path: Path) -> None:
    other = reply("other", None, "user", "Hello")
    value = open_webui([*TREE, other])
    value["chat"]["params"] = {"system": "One.", "temperature": 1}
    chat = read(tmp_path, value)
    assert spoken(chat) == [("system", "One."), ("user", "Hello")]
    assert spoken(chat, 3) == [("system", "One."), ("user", "Hi"), ("assistant", "Hello")]
    assert chat.metadata["source"]["chat"]["params"] == {"temperature": 1}


def test_a_chat_without_an_id_is_not_named_by_its_prompt(tmp_path: Path) -> None:
    """Else all such chats with one prompt become one conversation."""
    chats = [
        {
            "name": "x",
            "folderId": None,
            "prompt": "One.",
            "messages": [{"role": "user", "content": text}],
        }
        for text in ("Hi", "Hello")
    ]
    read_chats, _ = read_all(write(tmp_path / "chats.json", chats))
    assert len({chat.key for chat in read_chats}) == 2


def test_the_text_of_the_files_of_a_chat_comes_first(tmp_path: Path) -> None:
    file = {"type": "file", "id": "f", "name": "plums.txt", "file": {"data": {"content": "Ripe."}}}
    chat = read(tmp_path, wrapped(files=[file]))
    assert spoken(chat)[0] == ("user", "[plums.txt]\n```\nRipe.\n```")
    assert json.loads(path(chat)[0].body or "")["attachments"][0]["reference"] == "f"


def test_agents_that_no_chat_has_are_kept_and_counted(tmp_path: Path) -> None:
    agents = [{"id": "g", "systemRole": "One."}, {"id": "other", "systemRole": "Two."}]
    chat = read(tmp_path, lobechat(agents=agents))
    assert spoken(chat)[0] == ("system", "One.")
    assert chat.metadata["source"]["agents"] == [agents[1]]
    assert chat.asides["agents"] == 1
