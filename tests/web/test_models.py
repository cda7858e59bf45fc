"""The example chat with a model of a provider: what is shown, kept, and not told."""

import logging
from collections.abc import AsyncIterator
from typing import Any, get_args
from uuid import UUID

import httpx
import pytest
from anthropic.types import ModelParam
from examples.chat.app import create_app
from examples.chat.settings import DEFAULT_MODELS, ChatSettings
from openai.types import ChatModel
from pydantic import SecretStr
from tests.providers.loopback import Answer, Calls, Provider, provider
from tests.web.conftest import Calling
from tests.web.servers import Event, ask, messages_of, open_conversation, text_of

from faceplate import Database, Message, Settings
from faceplate.services import messages, users

KEY = "sk-secret-of-the-provider"
BROKE_OFF = "The model's answer broke off."
PROVIDERS = ("openai", "anthropic")


@pytest.fixture
async def speaker() -> AsyncIterator[Provider]:
    async with provider() as found:
        yield found


def chat_settings(kind: str, url: str, **more: Any) -> ChatSettings:
    key, path = SecretStr(KEY), "/v1" if kind == "openai" else ""
    named: dict[str, Any] = {f"{kind}_api_key": key, f"{kind}_base_url": url + path}
    return ChatSettings(save_every_s=0.001, **{"answer_timeout_s": 30} | named | more)


@pytest.fixture(params=PROVIDERS)
async def http(
    request: pytest.FixtureRequest, speaker: Provider, settings: Settings, calling: Calling
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, chat_settings=chat_settings(request.param, speaker.url))
    async with calling(app, headers={"X-Demo-User": "ada"}) as client:
        yield client


async def reply(http: httpx.AsyncClient, chat: str, content: str = "hello") -> list[Event]:
    return await ask(http, f"/api/conversations/{chat}/replies", content=content)


async def stored(settings: Settings, chat: str) -> list[Message]:
    """The messages of Ada's conversation, with what the page does not show."""
    async with Database(settings) as db:
        ada = await db.run_system(users.ensure, "demo|ada")

        return await db.run(ada.id, messages.history, UUID(chat), limit=50)


async def test_a_reply_with_a_tool_is_streamed_and_stored(
    http: httpx.AsyncClient, speaker: Provider, settings: Settings
) -> None:
    """Else a model that says a word before it calls a tool cannot be used."""
    chat = await open_conversation(http)
    asked = (("call_1", "weather", {"place": "Oslo"}), ("call_2", "add_task", {"title": " "}))
    speaker.answers = [Answer("I look.", asked), Answer("It rains."), Answer("You are welcome.")]
    events = await reply(http, chat, "Weather in Oslo?")
    items = await messages_of(http, chat)
    roles = [item["role"] for item in items]
    assert roles == ["user", "assistant", "assistant", "tool", "assistant"]
    assert text_of(events) == "I look.It rains."
    assert (events[-1].name, events[-1].data) == ("done", items[-1])
    weather, task = items[3]["tool_results"]
    assert weather["content"].startswith("Oslo: ")
    assert task == {
        "tool_call_id": "call_2",
        "content": "tasks.title: must not be blank; 1 characters were given",
        "is_error": True,
    }
    await reply(http, chat, "Thanks")
    assert speaker.keys == [KEY] * 3
    told = await stored(settings, chat)
    assert [message.output_tokens for message in told] == [None, 5, None, None, 5, None, 5]
    assert {message.model for message in told if message.output_tokens} <= {
        *DEFAULT_MODELS.values()
    }


async def test_tools_alone_are_called_too(http: httpx.AsyncClient, speaker: Provider) -> None:
    """Else a model that says nothing before its calls leaves an empty message behind."""
    chat = await open_conversation(http)
    calls: Calls = (("call_1", "nothing", {}), ("call_2", "weather", {}))
    speaker.answers = [Answer(calls=calls), Answer("I cannot.")]
    await reply(http, chat)
    items = await messages_of(http, chat)
    assert [item["role"] for item in items] == ["user", "assistant", "tool", "assistant"]
    assert [result["content"] for result in items[2]["tool_results"]] == [
        "there is no tool nothing",
        "the argument 'place' is missing",
    ]


@pytest.mark.parametrize(
    ("answer", "words", "text"),
    [
        (Answer(status=401), "The model's provider refuses the API key (401, refused).", ""),
        (Answer(status=404), "The model's provider does not know the model (404, refused).", ""),
        (Answer(status=400), "The model's provider refuses the request (400, refused).", ""),
        (
            Answer(status=429),
            "The model's provider takes no more requests at the moment (429, refused).",
            "",
        ),
        (Answer(status=500), "The model's provider has a fault of its own (500, refused).", ""),
        (Answer("Hello there", in_the_middle="is lost"), BROKE_OFF, "Hello"),
        (Answer("Hello there", in_the_middle="ends"), BROKE_OFF, "Hello"),
        (
            Answer("Hello there", in_the_middle="is garbled"),
            BROKE_OFF,
            "Hello",
        ),
        (
            Answer("Hello there", in_the_middle="errs"),
            "The model's answer broke off (overloaded_error).",
            "Hello",
        ),
    ],
    ids=["key", "model", "request", "rate", "fault", "lost", "ended", "garbled", "error"],
)
async def test_a_model_that_fails_is_told_of_in_words(  # noqa: PLR0917 - the fixtures
    http: httpx.AsyncClient,
    speaker: Provider,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    words: str,
    text: str,
) -> None:
    """Else a reader waits, and an operator reads a traceback that quotes the key."""
    chat = await open_conversation(http)
    speaker.answers = [answer, Answer("Here I am.")]
    with caplog.at_level(logging.DEBUG):
        events = await reply(http, chat)
    assert [event.name for event in events] in (
        ["message", "draft", "error"],
        ["message", "draft", "delta", "error"],
    )
    assert (events[-1].data["code"], events[-1].data["detail"]) == ("model_failed", words)
    failed = (await stored(settings, chat))[-1]
    assert (failed.status, failed.role) == ("failed", "assistant")
    assert failed.metadata == {"failure": words}
    assert (await messages_of(http, chat))[-1]["failure"] == words
    assert text.startswith(failed.content)
    logged = [record for record in caplog.records if record.name == "examples.chat"]
    assert [record.getMessage() for record in logged] == [f"a reply failed: {words}"]
    assert [record for record in caplog.records if record.exc_info] == []
    assert KEY not in caplog.text
    assert "sk-" not in str(events)

    path = f"/api/conversations/{chat}/messages/{failed.id}/regenerate"
    assert text_of(await ask(http, path)) == "Here I am."


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("case", ["hangs", "unreachable"])
async def test_a_provider_that_does_not_answer(
    speaker: Provider, settings: Settings, calling: Calling, kind: str, case: str
) -> None:
    """Else a reader waits for ten minutes, which is the clients' own limit."""
    url = speaker.url if case == "hangs" else "http://127.0.0.1:9"
    words = "did not go on in time" if case == "hangs" else "provider cannot be reached"
    speaker.answers = [Answer("Hello there", in_the_middle="hangs")]
    given = chat_settings(kind, url, answer_timeout_s=0.5)
    app = create_app(settings, chat_settings=given)
    async with calling(app, headers={"X-Demo-User": "ada"}) as http:
        chat = await open_conversation(http)
        events = await reply(http, chat)
    assert words in events[-1].data["detail"]
    assert (await stored(settings, chat))[-1].status == "failed"


@pytest.mark.parametrize(
    ("given", "provider_", "model"),
    [
        ({}, None, "echo"),
        ({"OPENAI_API_KEY": ""}, None, "echo"),
        ({"OPENAI_API_KEY": KEY}, "openai", DEFAULT_MODELS["openai"]),
        ({"ANTHROPIC_API_KEY": KEY}, "anthropic", DEFAULT_MODELS["anthropic"]),
        ({"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}, "openai", DEFAULT_MODELS["openai"]),
        (
            {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY, "CHAT_MODEL": "claude-x"},
            "anthropic",
            "claude-x",
        ),
        ({"OPENAI_API_KEY": KEY, "CHAT_MODEL": "claude-x"}, "openai", "claude-x"),
    ],
)
def test_the_keys_choose_the_model(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], provider_: str | None, model: str
) -> None:
    """Else a key that was set is not used, or text goes to a provider that nobody has named."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    chosen = ChatSettings()
    assert (chosen.provider, chosen.model_name) == (provider_, model)
    assert KEY not in repr(chosen) + str(chosen) + chosen.model_dump_json()


def test_the_default_models_are_known_to_the_clients() -> None:
    """Else the first reply of a newcomer is a 404."""
    assert DEFAULT_MODELS["openai"] in get_args(ChatModel)
    assert DEFAULT_MODELS["anthropic"] in str(get_args(ModelParam))
