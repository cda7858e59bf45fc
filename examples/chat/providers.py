"""Models of providers: any OpenAI-compatible server, and Anthropic's API, by their own clients.

Each answers with what it streams: texts, then tool calls, then the tokens. A failure becomes a
`ModelFailed` in words. Its cause is dropped, because errors of the clients may quote the key.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anthropic
import httpx2  # what both clients send with; Anthropic's lets its errors through while it streams
import openai
from anthropic.types import ToolParam
from openai.types.chat import ChatCompletionFunctionToolParam

from examples.chat.model import TOOLS, Model, ModelFailed, Piece, ToolCall, Usage
from examples.chat.settings import ChatSettings
from faceplate import InvalidInput, Message
from faceplate.integrations.anthropic import from_anthropic, to_anthropic
from faceplate.integrations.openai import from_openai, to_openai
from faceplate.services.messages import NewMessage

MAX_TOKENS = 4096
PARAMETERS = {
    "weather": {"place": "The name of the place."},
    "add_task": {"title": "The task, in a few words."},
}
"""What each argument of a tool is, all of them text and all required."""


class OpenAIModel:
    """A model behind the Chat Completions of OpenAI or of a server that speaks them."""

    def __init__(self, client: openai.AsyncOpenAI, name: str) -> None:
        self._client = client
        self.name = name

    async def __call__(self, history: Sequence[Message]) -> AsyncGenerator[Piece, None]:
        with failures_in_words():
            async with self._client.chat.completions.stream(
                model=self.name,
                messages=to_openai(history),
                tools=[_for_openai(name) for name in TOOLS],
                stream_options={"include_usage": True},
            ) as stream:
                async for event in stream:
                    if event.type in {"content.delta", "refusal.delta"} and event.delta:
                        yield event.delta
                (reply,) = from_openai(await stream.get_final_completion())
            for piece in _after_the_text(reply):
                yield piece


class AnthropicModel:
    """A model behind Anthropic's Messages API."""

    def __init__(self, client: anthropic.AsyncAnthropic, name: str) -> None:
        self._client = client
        self.name = name

    async def __call__(self, history: Sequence[Message]) -> AsyncGenerator[Piece, None]:
        with failures_in_words():
            async with self._client.messages.stream(
                model=self.name,
                max_tokens=MAX_TOKENS,
                tools=[_for_anthropic(name) for name in TOOLS],
                **to_anthropic(history),
            ) as stream:
                async for text in stream.text_stream:
                    if text:
                        yield text
                (reply,) = from_anthropic(await stream.get_final_message())
            for piece in _after_the_text(reply):
                yield piece


@asynccontextmanager
async def opened(settings: ChatSettings) -> AsyncIterator[Model | None]:
    """Yield the model that the settings name a key for, or None. Its connections end with it."""
    name, timeout = settings.model_name, settings.answer_timeout_s
    if settings.provider == "openai" and settings.openai_api_key:
        key = settings.openai_api_key.get_secret_value()
        base_url = settings.openai_base_url
        async with openai.AsyncOpenAI(api_key=key, base_url=base_url, timeout=timeout) as client:
            yield OpenAIModel(client, name)
    elif settings.provider == "anthropic" and settings.anthropic_api_key:
        key = settings.anthropic_api_key.get_secret_value()
        url = settings.anthropic_base_url
        async with anthropic.AsyncAnthropic(api_key=key, base_url=url, timeout=timeout) as speaker:
            yield AnthropicModel(speaker, name)
    else:
        yield None


@contextmanager
def failures_in_words() -> Iterator[None]:
    """Raise ModelFailed for what the clients raise, and for an answer that broke off."""
    try:
        yield
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        raise ModelFailed(_refusal(error.status_code, error.body)) from None
    except (openai.APITimeoutError, anthropic.APITimeoutError, httpx2.TimeoutException):
        raise ModelFailed("The model did not go on in time.") from None
    except (openai.APIConnectionError, anthropic.APIConnectionError) as error:
        if isinstance(error.__cause__, httpx2.ConnectError):
            raise ModelFailed("The model's provider cannot be reached.") from None
        raise ModelFailed(_broken_off()) from None
    except (openai.APIError, anthropic.APIError) as error:
        raise ModelFailed(_broken_off(error.body)) from None
    except (httpx2.HTTPError, json.JSONDecodeError, InvalidInput):
        raise ModelFailed(_broken_off()) from None


def _broken_off(body: object = None) -> str:
    code = _code(body)
    return f"The model's answer broke off ({code})." if code else "The model's answer broke off."


def _refusal(status: int, body: object) -> str:
    if status < 400:  # an error in a stream that had begun
        return _broken_off(body)
    said = f"{status}, {code}" if (code := _code(body)) else str(status)
    if status in {401, 403}:
        return f"The model's provider refuses the API key ({said})."
    if status == 404:
        return f"The model's provider does not know the model ({said})."
    if status == 429:
        return f"The model's provider takes no more requests at the moment ({said})."
    if status >= 500:
        return f"The model's provider has a fault of its own ({said})."
    return f"The model's provider refuses the request ({said})."


def _code(body: object) -> str | None:
    """The name that the provider gives to the error. Its text may quote the key."""
    inner = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return None
    code = inner.get("code") or inner.get("type")
    return code if isinstance(code, str) and re.fullmatch("[a-z_]{1,60}", code) else None


def _after_the_text(reply: NewMessage) -> Iterator[Piece]:
    for call in reply.tool_calls or ():
        function = call.get("function", {})
        yield ToolCall(call["id"], function.get("name", ""), _arguments(function.get("arguments")))
    if reply.input_tokens is not None and reply.output_tokens is not None:
        yield Usage(reply.input_tokens, reply.output_tokens)


def _arguments(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ModelFailed("The model called a tool with arguments that are no JSON object.")
    return found


def _schema(tool: str) -> dict[str, object]:
    described = PARAMETERS[tool]
    properties = {name: {"type": "string", "description": text} for name, text in described.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": [*described],
        "additionalProperties": False,
    }


def _for_openai(tool: str) -> ChatCompletionFunctionToolParam:
    return {
        "type": "function",
        "function": {
            "name": tool,
            "description": TOOLS[tool].__doc__ or "",
            "parameters": _schema(tool),
        },
    }


def _for_anthropic(tool: str) -> ToolParam:
    return {"name": tool, "description": TOOLS[tool].__doc__ or "", "input_schema": _schema(tool)}
