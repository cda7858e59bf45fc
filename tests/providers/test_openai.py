"""History as messages of OpenAI's Chat Completions, and back."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from tests.providers.histories import assistant, call, result, stored, tool, user
from tests.providers.rules import check_openai

from faceplate import InvalidInput
from faceplate.integrations.openai import from_openai, to_openai
from faceplate.services.messages import NewMessage
from faceplate.services.tool_calls import check_calls


def completion(message: dict[str, Any], **more: Any) -> ChatCompletion:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"} | message}
    return ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-test",
            "choices": [choice],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
        | more
    )


def test_a_turn_with_tools_is_said_as_it_was() -> None:
    """Else the model does not know what it has asked its tools, and asks again."""
    history = [
        NewMessage("system", "Be brief."),
        NewMessage("developer", "Use metric units."),
        user("What do I pack?"),
        assistant("I look.", call("a"), call("b", "news", "")),
        tool(result("b", [{"rain": True}])),
        tool(result("a", "broken", is_error=True)),
        assistant("A raincoat."),
    ]
    said = to_openai(history)
    check_openai(said)
    assert said == [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Use metric units."},
        {"role": "user", "content": "What do I pack?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [call("a"), call("b", "news", "")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Error: broken"},
        {"role": "tool", "tool_call_id": "b", "content": '[{"rain": true}]'},
        {"role": "assistant", "content": "A raincoat."},
    ]


def test_a_result_that_came_late_follows_its_call() -> None:
    """Else a user who writes while a tool runs has broken the conversation for good."""
    said = to_openai(
        [
            user("Weather?"),
            assistant("", call("a")),
            user("Well?"),
            tool(result("a")),
            user("Thanks"),
        ]
    )
    check_openai(said)
    assert [message["role"] for message in said] == ["user", "assistant", "tool", "user", "user"]


def test_a_call_that_was_passed_over_gets_a_result_that_says_so() -> None:
    """Else a process that died between call and result has broken the conversation for good."""
    said = to_openai([user("Weather?"), assistant("", call("a")), user("Never mind.")])
    check_openai(said)
    assert said[2] == {
        "role": "tool",
        "tool_call_id": "a",
        "content": "Error: There is no result: the call was interrupted.",
    }


def test_calls_that_wait_for_their_tools_are_refused_in_words() -> None:
    """Else the model is told of a failure where somebody forgot to run the tools."""
    waiting = [user("Weather?"), assistant("", call("a"), call("b")), tool(result("a"))]
    with pytest.raises(InvalidInput, match="the last calls have no results yet"):
        to_openai(waiting)
    check_openai(to_openai([*waiting, tool(result("b"))]))


def test_the_results_of_calls_before_the_history_are_left_out() -> None:
    """Else the last hundred messages of a long conversation are refused, now and then."""
    said = to_openai([tool(result("a"), result("b")), assistant("It rains."), user("Thanks")])
    assert said == [
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "Thanks"},
    ]


def test_what_says_nothing_is_left_out() -> None:
    """Else a reply that broke off before its first word stops the conversation."""
    said = to_openai(
        [
            stored(NewMessage(None, body='{"kind": "theirs"}')),
            stored(user("Hello")),
            stored(assistant(""), "interrupted"),
            stored(assistant("Half a"), "interrupted"),
            stored(user(" \n")),
            stored(user("Go on")),
            stored(assistant("Now being wri"), "streaming"),
        ]
    )
    check_openai(said)
    assert [message.get("content") for message in said] == ["Hello", "Half a", "Go on"]


def test_a_text_and_the_calls_after_it_are_one_turn() -> None:
    """Else a server whose template wants the roles to alternate refuses what was streamed."""
    said = to_openai(
        [user("Weather?"), assistant("I look."), assistant("", call("a")), tool(result("a"))]
    )
    check_openai(said)
    assert said[1] == {"role": "assistant", "content": "I look.", "tool_calls": [call("a")]}


def test_ids_and_names_that_no_server_takes_are_replaced() -> None:
    """Else a conversation cannot go on with the model of another provider."""
    odd = ["functions.weather:0", "a", "a", "x" * 41, "call_3"]
    history = [user("Go")]
    for id_ in odd:
        history += [assistant("", call(id_, "web.run")), tool(result(id_, f"of {id_[:9]}"))]
    said: Any = to_openai(history)
    check_openai(said)
    pairs = list(zip(said[1::2], said[2::2], strict=True))
    assert [answer["content"] for _, answer in pairs] == [f"of {id_[:9]}" for id_ in odd]
    assert len({answer["tool_call_id"] for _, answer in pairs}) == len(odd)
    assert {asked["tool_calls"][0]["function"]["name"] for asked, _ in pairs} == {"web_run"}


def test_a_custom_tools_call_stays_one() -> None:
    """Else the calls of an imported chat are lost, or refused."""
    custom = {"id": "c", "type": "custom", "custom": {"name": "python", "input": "1 + 1"}}
    said = to_openai([user("Go"), assistant("", custom), tool(result("c", "2"))])
    check_openai(said)
    assert said[1] == {"role": "assistant", "content": None, "tool_calls": [custom]}
    untyped = {"id": "c", "function": {"name": "add", "arguments": "{}"}}
    check_openai(to_openai([user("Go"), assistant("", untyped), tool(result("c"))]))


def test_what_a_server_adds_to_a_call_is_sent_back() -> None:
    """Else models that sign their calls refuse the next request."""
    signed = call("a") | {"extra_content": {"google": {"thought_signature": "sig"}}}
    (reply,) = from_openai(completion({"tool_calls": [signed]}))
    said: Any = to_openai([user("Go"), reply, tool(result("a"))])
    assert said[1]["tool_calls"] == [signed]


def test_calls_without_an_id_get_one() -> None:
    """Else the answers of servers that leave it empty cannot be stored."""
    (reply,) = from_openai(completion({"tool_calls": [call(""), call("")]}))
    check_calls(reply.tool_calls or [])
    results = [result(each["id"]) for each in reply.tool_calls or ()]
    check_openai(to_openai([user("Go"), reply, tool(*results)]))


def test_a_completion_is_a_message_with_its_model_and_tokens() -> None:
    """Else the bill does not say what it is for."""
    assert from_openai(completion({"content": "Four degrees."})) == [
        NewMessage(
            "assistant",
            "Four degrees.",
            metadata={},
            model="gpt-test",
            input_tokens=7,
            output_tokens=3,
        )
    ]
    assert from_openai(completion({"content": None, "refusal": "I will not."}))[0].content == (
        "I will not."
    )
    assert from_openai(completion({"content": "Hi"}, usage=None))[0].input_tokens is None


def test_a_message_of_a_completion_is_read_alone_too() -> None:
    """Else the usual way to keep a list of messages does not work: to append what was returned."""
    message = ChatCompletionMessage(role="assistant", content="Hi")
    assert from_openai(message) == from_openai([message])
    assert from_openai(message) == [NewMessage("assistant", "Hi", metadata={})]


def test_what_is_said_is_read_back() -> None:
    """Else a conversation that was kept elsewhere changes when it moves."""
    history = [
        NewMessage("system", "Be brief.", metadata={}),
        NewMessage("user", "Weather?", metadata={}),
        NewMessage("assistant", "I look.", tool_calls=[call("a"), call("b")], metadata={}),
        NewMessage("tool", tool_results=[result("a"), result("b", "rain")], metadata={}),
        NewMessage("assistant", "Rain.", metadata={}),
    ]
    assert from_openai(to_openai(history)) == history


def test_parts_of_text_and_names_are_kept() -> None:
    """Else what a client sends in parts is lost."""
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]
    given: Any = [{"role": "user", "name": "guest", "content": parts}]
    assert from_openai(given) == [NewMessage("user", "One\nTwo", metadata={"name": "guest"})]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages.role: must be one of"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "a part of type image_url"),
        ({"role": "user", "content": [{"type": "text"}]}, "a part of type text has no text"),
        ({"role": "user", "content": [{"type": "text", "text": 7}]}, "text of a part must be text"),
        ({"choices": [{"finish_reason": "stop"}]}, "a message was expected, not NoneType"),
        ({"role": "user", "content": 7}, "must be text or a list of parts"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "function_call has no column"),
        ({"role": "assistant", "audio": {"id": "a"}}, "audio has no column"),
        ("Hello", "a completion, a message or a list of messages was expected"),
        (["Hello"], "a message was expected, not str"),
        ({"choices": []}, "one choice was expected, not 0"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(given: Any, words: str) -> None:
    """Else an image is stored as nothing, and nobody notices."""
    with pytest.raises(InvalidInput, match=words):
        from_openai(given)
