"""Jan's folders: ``thread.json`` with the title, ``messages.jsonl`` with a message in each line.

Messages are those of OpenAI's Assistants, with a status and kinds of parts of their own. Older ones
have calls and the text of files in ``metadata``, and reasoning in ``<think>``.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.prologue import take_prompts
from faceplate.importers.source import (
    Attachment,
    Message,
    Piece,
    Result,
    SourceChat,
    Text,
)
from faceplate.importers.thoughts import read_thoughts, unmark_thoughts

_STATUSES: Final = {
    "ready": None,
    "pending": "interrupted",
    "stopped": "interrupted",
    "error": "failed",
}
_MARKS: Final = ("<think>", "</think>")
_INPUT_TOKENS: Final = ("inputTokens", "promptTokens", "input_tokens", "prompt_tokens")
_OUTPUT_TOKENS: Final = ("outputTokens", "completionTokens", "output_tokens", "completion_tokens")


def fits(value: JsonObject) -> int:
    """Return 5 for messages with a status of Jan, 3 for a thread without messages."""
    messages = as_list(value.get("messages"))
    if messages:
        return 5 if all(map(_is_message, messages)) else 0
    is_thread = value.get("object") == "thread" and isinstance(value.get("assistants"), list)
    return 3 if is_thread and isinstance(value.get("id"), str) else 0


def joins(value: JsonObject) -> str | None:
    """Return the thread of a message that is a value of its own."""
    return first_text(value.get("thread_id")) if _is_message(value) else None


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value: a thread, or the messages of one.

    The thread and its messages are in files of their own. What is read later of the same chat is
    added to what was read before.
    """
    messages = value.get("messages", [])
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise Unreadable("messages must be a list of objects")
    rest = without(value, "messages", "id", "title", "created", "updated", "object")
    prompts: list[Message] = []
    if messages:  # else they are in another file, and a prompt here would not be before them
        assistants = [dict(as_object(each)) for each in as_list(value.get("assistants"))]
        prompts = [prompt for each in assistants for prompt in take_prompts(each)]
        rest |= {"assistants": assistants} if assistants else {}
    yield SourceChat(
        map(_read_message, messages),
        id=first_text(value.get("id")),
        title=first_text(value.get("title"), value.get("summary")),
        created=value.get("created"),
        updated=value.get("updated"),
        prologue=prompts,
        rest=rest,
    )


def _is_message(value: object) -> bool:
    fields = as_object(value)
    return (
        fields.get("object") == "thread.message"
        and isinstance(fields.get("thread_id"), str)
        and isinstance(fields.get("role"), str)
        and first_text(fields.get("status")) in _STATUSES
    )


def _read_message(message: JsonObject) -> Message:
    metadata = as_object(message.get("metadata"))
    read = openai.read_message(without(message, "object", "thread_id", "attachments", "metadata"))
    usage = as_object(metadata.get("usage"))
    rest = dict(read.rest or {})
    if beside := without(metadata, "tool_calls", "inline_file_contents"):
        rest["metadata"] = beside
    files = [*map(_file, as_list(message.get("attachments")))]
    files += map(_file, as_list(metadata.get("inline_file_contents")))
    calls = [piece for call in as_list(metadata.get("tool_calls")) for piece in _read_call(call)]
    return read._replace(
        pieces=[*calls, *_plain(read), *files],
        model=first_of(metadata, "modelId", "model"),
        input_tokens=first_of(usage, *_INPUT_TOKENS),
        output_tokens=first_of(usage, *_OUTPUT_TOKENS),
        status=_STATUSES.get(first_text(message.get("status"))),
        rest=rest,
        original=message,
    )


def _plain(message: Message) -> Iterator[Piece]:
    """Yield the pieces of a message, with reasoning and results as they are meant."""
    for piece in message.pieces:
        if isinstance(piece, Text) and message.role == "assistant":
            yield from read_thoughts(piece.text, *_MARKS)
        elif isinstance(piece, Result):
            yield piece._replace(content=_output(piece.content))
        else:
            yield piece


def _read_call(call: object) -> Sequence[Piece]:
    """Return a call in the metadata, and its result."""
    fields = as_object(call)
    pieces = read_part({**as_object(fields.get("tool")), "type": "tool_call"})
    response = fields.get("response")
    if response is None:
        return pieces
    call_id = first_text(as_object(fields.get("tool")).get("id"))
    failed = bool(as_object(response).get("error"))
    return [*pieces, Result(_output(response), call_id, is_error=failed)]


def _output(output: Any) -> Any:
    """Return the parts of a tool's output, or why it has failed, or any other output as it is."""
    fields = as_object(output)
    parts = fields.get("content")
    if isinstance(parts, list) and parts:
        return parts
    return first_text(fields.get("error")) or output


def _file(file: Any) -> Attachment:
    fields = file if isinstance(file, dict) else {"file_id": file}
    return Attachment(
        "file",
        first_text(fields.get("name")),
        first_text(fields.get("file_id")),
        first_text(fields.get("content")),
        without(fields, "content"),
    )


FORMAT: Final = Format(
    "jan",
    "Jan's threads",
    fits,
    read,
    known=("assistants",),
    joins=joins,
    unmark=partial(unmark_thoughts, begin=_MARKS[0], end=_MARKS[1]),
)
