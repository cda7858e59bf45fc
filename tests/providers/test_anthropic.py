"""History as a request of Anthropic's Messages API, and back."""

import json
from typing import Any

import pytest
from anthropic.types import Message
from tests.providers.histories import assistant, call, result, stored, tool, user
from tests.providers.rules import check_anthropic

from faceplate import Database, InvalidInput, User
from faceplate.integrations.anthropic import from_anthropic, to_anthropic
from faceplate.integrations.openai import from_openai, to_openai
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

THINKING = {"type": "thinking", "thinking": "Rain?", "signature": "c2ln"}


def response(*content: dict[str, Any], **more: Any) -> Message:
    return Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-test",
            "stop_reason": "end_turn",
            "content": list(content),
            "usage": {
                "input_tokens": 7,
                "cache_creation_input_tokens": 20,
                "cache_read_input_tokens": 100,
                "output_tokens": 3,
            },
        }
        | more
    )


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def tool_use(id_: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": "weather", "input": arguments}


def test_a_turn_with_tools_is_said_as_it_was() -> None:
    """Else the model does not know what it has asked its tools, and asks again."""
    request = to_anthropic(
        [
            NewMessage("system", "Be brief."),
            user("What do I pack?"),
            assistant("I look.", call("a"), call("b", arguments="")),
            tool(result("b", [{"rain": True}])),
            tool(result("a", "broken", is_error=True)),
            user("And quickly."),
            NewMessage("developer", "Use metric units."),
            assistant("A raincoat."),
        ]
    )
    check_anthropic(request)
    assert request == {
        "system": "Be brief.\n\nUse metric units.",
        "messages": [
            {"role": "user", "content": [text("What do I pack?")]},
            {
                "role": "assistant",
                "content": [text("I look."), tool_use("a", city="Oslo"), tool_use("b")],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "a",
                        "content": "broken",
                        "is_error": True,
                    },
                    {"type": "tool_result", "tool_use_id": "b", "content": '[{"rain": true}]'},
                    text("And quickly."),
                ],
            },
            {"role": "assistant", "content": [text("A raincoat.")]},
        ],
    }


def test_neighbours_of_one_role_are_one_message() -> None:
    """Else two questions in a row, or what was streamed before a call, are refused."""
    request = to_anthropic(
        [
            user("One"),
            user("Two"),
            assistant("I look."),
            assistant("", call("a")),
            tool(result("a", "")),
        ]
    )
    check_anthropic(request)
    assert "system" not in request
    assert [message["role"] for message in request["messages"]] == ["user", "assistant", "user"]
    assert request["messages"][0]["content"] == [text("One"), text("Two")]
    assert request["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_a_request_begins_with_the_user() -> None:
    """Else the last hundred messages of a long conversation are refused, now and then."""
    request = to_anthropic(
        [
            tool(result("z")),
            assistant("", call("a")),
            tool(result("a")),
            NewMessage("system", "Be brief."),
            assistant("It rains."),
            user("Thanks"),
        ]
    )
    check_anthropic(request)
    assert request == {
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [text("Thanks")]}],
    }
    with pytest.raises(InvalidInput, match="a message of the user was expected"):
        to_anthropic([assistant("Hello, how can I help?")])


def test_calls_without_results_are_refused_or_told_of() -> None:
    """Else one process that died between call and result breaks the conversation for good."""
    asked = [user("Weather?"), assistant("", call("a"))]
    with pytest.raises(InvalidInput, match="the last calls have no results yet"):
        to_anthropic(asked)
    request = to_anthropic([*asked, user("Never mind.")])
    check_anthropic(request)
    assert request["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "a",
            "content": "There is no result: the call was interrupted.",
            "is_error": True,
        },
        text("Never mind."),
    ]


def test_what_says_nothing_is_left_out() -> None:
    """Else a reply that broke off before its first word stops the conversation."""
    request = to_anthropic(
        [
            stored(NewMessage(None, body='{"anthropic": "theirs"}')),
            stored(user("Hello")),
            stored(assistant(""), "interrupted"),
            stored(user(" \n")),
            stored(assistant("Half a "), "interrupted"),
            stored(assistant("Now being wri"), "streaming"),
        ]
    )
    check_anthropic(request)
    assert request["messages"] == [
        {"role": "user", "content": [text("Hello")]},
        {"role": "assistant", "content": [text("Half a")]},  # no blank at the very end
    ]


def test_ids_and_names_of_another_provider_are_replaced() -> None:
    """Else a conversation cannot go on with the model of another provider."""
    history = [user("Go")]
    for number in range(3):
        history += [
            assistant("", call("web.run:0", "web.run")),
            tool(result("web.run:0", str(number))),
        ]
    request: Any = to_anthropic(history)
    check_anthropic(request)
    answers = [message["content"][0] for message in request["messages"][2::2]]
    assert [answer["content"] for answer in answers] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"input": [1]}),
        ("not JSON", {"input": "not JSON"}),
    ],
)
def test_arguments_are_an_object(arguments: str, sent: dict[str, Any]) -> None:
    """Else a call that some model wrote badly has broken the conversation for good."""
    request: Any = to_anthropic(
        [user("Go"), assistant("", call("a", arguments=arguments)), tool(result("a"))]
    )
    check_anthropic(request)
    assert request["messages"][1]["content"][0]["input"] == sent
    custom = {"id": "c", "type": "custom", "custom": {"name": "python", "input": "1 + 1"}}
    request = to_anthropic([user("Go"), assistant("", custom), tool(result("c"))])
    check_anthropic(request)
    assert request["messages"][1]["content"][0]["input"] == {"input": "1 + 1"}


def test_a_response_is_a_message_with_its_model_and_tokens() -> None:
    """Else the bill does not say what it is for: cached tokens are read, and paid, as well."""
    given = response(text("Four "), text("degrees."), tool_use("a", city="Ås"))
    assert from_anthropic(given) == [
        NewMessage(
            "assistant",
            "Four degrees.",
            tool_calls=[call("a", arguments='{"city": "Ås"}')],
            model="claude-test",
            input_tokens=127,
            output_tokens=3,
        )
    ]


def test_thinking_comes_back_as_it_was() -> None:
    """Else a model that thinks between its tools refuses its own conversation."""
    (reply,) = from_anthropic(
        response(THINKING, text("I look."), THINKING, tool_use("a", city="Oslo"))
    )
    assert (reply.content, reply.tool_calls) == ("I look.", [call("a")])
    request: Any = to_anthropic([user("Go"), stored(reply), tool(result("a"))])
    check_anthropic(request)
    assert request["messages"][1]["content"] == [
        THINKING,
        text("I look."),
        THINKING,
        tool_use("a", city="Oslo"),
    ]
    # Another provider's model does not see them, and a message that was replaced has none.
    assert "Rain?" not in json.dumps(to_openai([user("Go"), reply, tool(result("a"))]))
    request = to_anthropic([user("Go"), reply._replace(body=None), tool(result("a"))])
    assert request["messages"][1]["content"] == [text("I look."), tool_use("a", city="Oslo")]


async def test_thinking_outlasts_the_process(db: Database, user: User) -> None:
    """Else a turn that another process goes on with is refused."""
    given = [NewMessage("user", "Go"), *from_anthropic(response(THINKING, tool_use("a")))]
    chat = await db.run(user.id, conversations.create)
    await db.run(user.id, messages.append_many, chat.id, [*given, tool(result("a"))])
    history = await db.run(user.id, messages.history, chat.id, limit=50)
    request: Any = to_anthropic(history)
    assert request["messages"][1]["content"] == [THINKING, tool_use("a")]


def test_what_is_said_is_read_back() -> None:
    """Else a conversation that was kept elsewhere changes when it moves."""
    history = [
        NewMessage("system", "Be brief."),
        user("Weather?"),
        assistant("I look.", call("a"), call("b")),
        tool(result("a"), result("b", "broken", is_error=True)),
        user("Well?"),
        assistant("Rain."),
    ]
    assert from_anthropic(to_anthropic(history)) == history
    assert from_anthropic(to_anthropic(history)["messages"]) == history[1:]


def test_a_conversation_goes_from_one_provider_to_the_other() -> None:
    """Else the choice of a provider is one for good."""
    begun = [user("Weather?"), assistant("", call("a")), tool(result("a", "broken", is_error=True))]
    moved = from_openai(to_openai(from_anthropic(to_anthropic(begun))))
    check_anthropic(to_anthropic(moved))
    assert [message.role for message in moved] == [message.role for message in begun]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"role": "tool", "content": "x"}, "messages.role: must be one of user"),
        ({"role": "user", "content": [{"type": "image"}]}, "a part of type image has no column"),
        (
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]},
            "a part of type image has no column",
        ),
        ({"role": "user", "content": [{"type": "text"}]}, "a part of type text has no text"),
        ({"role": "assistant", "content": [{"type": "text"}]}, "a part of type text has no text"),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f"}]},
            "a part of type tool_use has no input",
        ),
        ({"role": "user", "content": 7}, "must be text or a list of parts"),
        ("Hello", "a response, a request or a list of messages was expected"),
        (["Hello"], "a message was expected, not str"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(given: Any, words: str) -> None:
    """Else an image is stored as nothing, and nobody notices."""
    with pytest.raises(InvalidInput, match=words):
        from_anthropic(given)
