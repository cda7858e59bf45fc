"""Threads of OpenAI's Assistants: lists of ``thread.message`` objects, newest first or last.

The thread itself may be around or beside its messages, and the steps of its runs, which have the
calls of tools. The messages of several threads may be in one list.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_part
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_seconds, without
from faceplate.importers.formats import openai
from faceplate.importers.formats.description import Format
from faceplate.importers.source import Attachment, Call, Message, Piece, Result, SourceChat

_LISTS: Final = ("messages", "data", "thread_messages")
_STEPS: Final = ("run_steps", "steps", "runSteps")
_TAKEN: Final = ("file_ids", "attachments", "object", "thread_id")
_INTERRUPTED: Final = ("incomplete", "in_progress")


def fits(value: JsonObject) -> int:
    """Return 4 for messages of threads."""
    messages = _listed(value, _LISTS)
    return 4 if messages and all(map(_is_message, messages)) else 0


def joins(value: JsonObject) -> str | None:
    """Return the thread of a message that is a value of its own."""
    return openai.joined_chat(value) if _is_message(value) else None


def _listed(value: JsonObject, keys: Sequence[str]) -> list[Any]:
    """Return the list of a field, or the one in its page."""
    fields = (value.get(key) for key in keys)
    lists = (field.get("data") if isinstance(field, dict) else field for field in fields)
    return next((each for each in lists if isinstance(each, list)), [])


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or "role" not in value:
        return False
    texts = [as_object(part).get("text") for part in as_list(value.get("content"))]
    has_values = any(isinstance(text, dict) and "value" in text for text in texts)
    is_of_thread = "thread_id" in value or "assistant_id" in value
    return value.get("object") == "thread.message" or (has_values and is_of_thread)


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of each thread in a value."""
    messages = [each for each in _listed(value, _LISTS) if isinstance(each, dict)]
    if not messages:
        raise Unreadable("messages must be a list of objects")
    steps = [step for step in _listed(value, _STEPS) if isinstance(step, dict)]
    runs = [run for run in _listed(value, ("runs",)) if isinstance(run, dict)]
    fields = without(value, *_LISTS, *_STEPS, "object", "first_id", "last_id", "has_more")
    thread = as_object(fields.pop("thread", None))
    if others := [step for step in steps if not _calls_of(step)]:
        fields["steps"] = others
    threads = list(dict.fromkeys(first_text(each.get("thread_id")) for each in messages))
    for id_ in threads:
        said = [_read_message(each, others, runs) for each in _in_thread(messages, id_)]
        used = [_read_step(each) for each in _in_thread(steps, id_) if _calls_of(each)]
        chat = openai.read_chat({"id": id_, **fields, **thread}, _sort(_in_order(said), used))
        title = first_text(
            chat.title, as_object(first_of(chat.rest or {}, "metadata")).get("title")
        )
        yield chat._replace(title=title, is_exact=False)


def _in_thread(objects: Sequence[JsonObject], id_: str) -> list[JsonObject]:
    return [each for each in objects if first_text(each.get("thread_id")) == id_]


def _read_message(
    message: JsonObject, steps: Sequence[JsonObject], runs: Sequence[JsonObject]
) -> Message:
    """Return a message, with what the steps and runs that have made it say about it."""
    found = openai.read_message(without(message, *_TAKEN))
    files = as_list(message.get("attachments")) + as_list(message.get("file_ids"))
    run = next((run for run in runs if run.get("id") == message.get("run_id")), {})
    step = next((step for step in steps if _created_by(step) == message.get("id")), {})
    return found._replace(
        pieces=[*found.pieces, *map(_file, files)],
        model=found.model or run.get("model"),
        status="interrupted" if message.get("status") in _INTERRUPTED else None,
        original=message,
        **_tokens(step),
    )


def _created_by(step: JsonObject) -> object:
    """Return the id of the message that a step has made."""
    details = as_object(step.get("step_details"))
    return as_object(details.get("message_creation")).get("message_id", "")


def _tokens(step: JsonObject) -> dict[str, Any]:
    usage = as_object(step.get("usage"))
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {name: usage.get(key) for name, key in names.items()}


def _calls_of(step: JsonObject) -> list[Any]:
    return as_list(as_object(step.get("step_details")).get("tool_calls"))


def _file(file: Any) -> Attachment:
    return attachment(file if isinstance(file, dict) else {"file_id": file}, "file")


def _in_order(messages: Sequence[Message]) -> list[Message]:
    """Return messages with the oldest first.

    In a second there may be several, whose order is that of the list.
    """
    times = [to_seconds(message.created) or 0 for message in messages]
    roles = [message.role for message in messages]
    is_reversed = times[0] > times[-1] or (
        times[0] == times[-1] and (roles[0], roles[-1]) == ("assistant", "user")
    )
    return list(reversed(messages)) if is_reversed else list(messages)


def _sort(messages: Sequence[Message], steps: Sequence[Message]) -> list[Message]:
    """Return messages and steps by their times; a step comes before the answer of its second."""
    told = [(to_seconds(each.created) or 0, each.role == "assistant", each) for each in messages]
    told += [(to_seconds(each.created) or 0, False, each) for each in steps]
    return [each for *_, each in sorted(told, key=lambda item: item[:2])] if steps else [*messages]


def _read_step(step: JsonObject) -> Message:
    """Return the calls of a step, with their results."""
    return Message(
        "assistant",
        [piece for call in _calls_of(step) for piece in _read_call(call)],
        id=openai.read_id(step.get("id")),
        created=step.get("created_at"),
        rest=without(step, "id", "step_details", "created_at"),
        original=step,
        **_tokens(step),
    )


def _read_call(call: Any) -> list[Piece]:
    kind = as_object(call).get("type")
    inner = as_object(call).get(kind) if isinstance(kind, str) else None
    if not isinstance(inner, dict) or kind == "function":
        return read_part(call)
    call_id = openai.read_id(call.get("id"))
    given = first_of(inner, "input", "ranking_options")
    output = first_of(inner, "outputs", "results")
    return [Call(str(kind), {} if given is None else given, call_id), Result(output, call_id)]


FORMAT: Final = Format(
    "assistants",
    "threads of OpenAI Assistants",
    fits,
    read,
    known=openai.FORMAT.known,
    joins=joins,
)
