"""What the providers refuse: each check names what a real server answers 400 to.

The types are those of the official clients. The rest, which no type says, is in the providers'
documentation and in their answers.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

OPENAI: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)
ANTHROPIC: TypeAdapter[Any] = TypeAdapter(MessageParam)


def check_openai(messages: Any) -> None:
    """Fail unless OpenAI would take the messages."""
    messages = _check_types(OPENAI, messages)
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert waiting, "a tool message follows its call"
            assert message["tool_call_id"] == waiting.pop(0), "results are in the order of calls"
            continue
        assert not waiting, "each call is followed by its result"
        assert message.get("content") or message.get("tool_calls"), "a message says something"
        for call in message.get("tool_calls", ()):
            waiting.append(call["id"])
            assert re.fullmatch(r"\S{1,40}", call["id"])
            assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", call[call["type"]]["name"])
        assert len({*waiting}) == len(waiting)
    assert not waiting, "each call is followed by its result"


def check_anthropic(request: Any) -> None:
    """Fail unless Anthropic would take the request."""
    assert {*request} <= {"messages", "system"}
    assert request.get("system", "said").strip()
    messages = _check_types(ANTHROPIC, request["messages"])
    seen: set[str] = set()
    waiting: list[str] = []
    for number, message in enumerate(messages):
        assert message["role"] == ("assistant" if number % 2 else "user"), "the roles alternate"
        blocks = message["content"]
        assert blocks
        kinds = [block["type"] for block in blocks]
        results = [block for block in blocks if block["type"] == "tool_result"]
        assert kinds[: len(results)] == ["tool_result"] * len(results), "results come first"
        assert [block["tool_use_id"] for block in results] == waiting, "each call has its result"
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        for block in blocks:
            assert block["type"] != "text" or block["text"].strip(), "no text is blank"
            if block["type"] == "tool_use":
                assert message["role"] == "assistant"
                assert re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"])
                assert re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", block["name"])
        assert not seen & {*waiting}, "ids of calls are unique"
        assert len({*waiting}) == len(waiting)
        seen |= {*waiting}
    assert not waiting, "each call has its result"
    last = messages[-1]["content"][-1]
    assert (
        last["type"] != "text" or messages[-1]["role"] == "user" or not last["text"][-1].isspace()
    )


def _check_types(adapter: TypeAdapter[Any], messages: Any) -> list[dict[str, Any]]:
    """Fail unless each message is of the client's types and has no key but theirs."""
    plain: list[dict[str, Any]] = json.loads(json.dumps(messages))
    assert plain
    for message in plain:
        assert _whole(adapter.validate_python(message)) == message
    return plain


def _whole(validated: Any) -> Any:
    """Read what pydantic validates only when it is read: what the types call iterable."""
    if isinstance(validated, dict):
        return {key: _whole(value) for key, value in validated.items()}
    if isinstance(validated, Iterable) and not isinstance(validated, str):
        return [_whole(value) for value in validated]
    return validated
