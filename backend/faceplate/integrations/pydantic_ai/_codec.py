"""The JSON of pydantic-ai's messages, written and read by the SDK."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_core import PydanticSerializationError, ValidationError

from faceplate.errors import InvalidInput
from faceplate.integrations._response_items import from_json, to_json
from faceplate.integrations.pydantic_ai._shown import is_message, json_of, note_calls
from faceplate.records import Message
from faceplate.services.messages import NewMessage

Row = TypeVar("Row", bound=Message | NewMessage)


def dump(message: ModelMessage) -> str:
    """Return the JSON of a message, as ``ModelMessagesTypeAdapter`` writes it."""
    try:
        written: bytes = ModelMessagesTypeAdapter.dump_json([message])
        return written[1:-1].decode()
    except PydanticSerializationError:  # lone surrogates, which UTF-8 has not
        [value] = ModelMessagesTypeAdapter.dump_python([message], mode="json")
        return to_json(value)


def load(rows: Iterable[Row]) -> list[tuple[Row, ModelMessage]]:
    """Return the rows that are messages, each with its message.

    Raises InvalidInput for a request or a response that this version of the SDK cannot read.
    """
    rows = list(rows)
    written = list(_written(rows, are_checked=False))
    try:
        found = ModelMessagesTypeAdapter.validate_json(f"[{','.join(t for _, t in written)}]")
    except ValidationError:  # one has lone surrogates, or the body of another program
        written = list(_written(rows, are_checked=True))
        found = [_read(text) for _, text in written]
    return [(row, message) for (row, _), message in zip(written, found, strict=True)]


def _written(rows: Iterable[Row], *, are_checked: bool) -> Iterator[tuple[Row, str]]:
    """Yield the rows that are messages, each with its JSON."""
    tools: dict[str, str] = {}
    for row in rows:
        note_calls(row, tools)
        if row.body is not None and (not are_checked or is_message(from_json(row.body))):
            yield row, row.body
        elif (shown := json_of(row, tools)) is not None:
            yield row, to_json(shown)


def _read(text: str) -> ModelMessage:
    try:
        return ModelMessagesTypeAdapter.validate_json(f"[{text}]")[0]
    except ValidationError:
        pass
    try:
        return ModelMessagesTypeAdapter.validate_python([_with_bytes(from_json(text))])[0]
    except ValidationError:
        rule = "is a message that this version of pydantic-ai cannot read"
        raise InvalidInput("messages.body", rule) from None


def _with_bytes(value: Any) -> Any:
    """Return a message's JSON with the bytes of its files, which only JSON text has in base64."""
    if isinstance(value, list):
        return [_with_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    read = {key: _with_bytes(item) for key, item in value.items()}
    if read.get("kind") == "binary" and isinstance(read.get("data"), str):
        read["data"] = base64.urlsafe_b64decode(read["data"])
    return read
