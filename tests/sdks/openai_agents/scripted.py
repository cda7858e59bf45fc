"""A model that says what a test has written, and items of the Responses API."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from agents import Agent, ModelResponse, Usage
from agents.models.interface import Model
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

Script = Sequence[Any] | Callable[[list[Any]], Sequence[Any]]


def says(text: str) -> ResponseOutputMessage:
    part = ResponseOutputText(text=text, type="output_text", annotations=[])
    return ResponseOutputMessage(
        id=f"msg_{text[:20]}", content=[part], role="assistant", status="completed", type="message"
    )


def calls(name: str, call_id: str, **arguments: Any) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        id=f"fc_{call_id}",
        call_id=call_id,
        name=name,
        arguments=json.dumps(arguments),
        type="function_call",
    )


class ScriptedModel(Model):
    """Gives one output for each request; each takes 10 tokens in and 5 out."""

    model = "scripted-1"

    def __init__(self, *script: Script) -> None:
        self.script = list(script)
        self.inputs: list[list[Any]] = []

    def _next(self, given: Any) -> list[Any]:
        self.inputs.append(
            given if isinstance(given, list) else [{"role": "user", "content": given}]
        )
        output = self.script.pop(0)
        return list(output(self.inputs[-1]) if callable(output) else output)

    async def get_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 - the SDK's name
        *args: Any,
        **kwargs: Any,
    ) -> ModelResponse:
        del system_instructions, args, kwargs
        usage = Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15)
        return ModelResponse(output=self._next(input), usage=usage, response_id="resp_1")

    async def stream_response(
        self,
        system_instructions: Any,
        input: Any,  # noqa: A002 - the SDK's name
        *args: Any,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        del system_instructions, args, kwargs
        response = Response.model_validate(
            {
                "id": "resp_1",
                "created_at": 0,
                "model": "scripted-1",
                "object": "response",
                "output": self._next(input),
                "tool_choice": "auto",
                "tools": [],
                "parallel_tool_calls": False,
                "usage": {
                    "input_tokens": 10,
                    "output_tokens": 5,
                    "total_tokens": 15,
                    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                    "output_tokens_details": {"reasoning_tokens": 0},
                },
            }
        )
        yield ResponseCompletedEvent(
            type="response.completed", response=response, sequence_number=0
        )


def agent(*script: Script, **fields: Any) -> Agent[Any]:
    return Agent(name="Assistant", model=ScriptedModel(*script), **fields)
