"""Open WebUI exports, and those of chat.qwen.ai, which is made from it.

A file has one chat or a list, each bare or in a ``chat`` with an id. A chat is a tree under
``history.messages`` whose visible leaf is ``history.currentId``. Old chats have only a list of
``messages``. docs/importing/formats.md says what becomes of each field.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.fields import as_list, as_object, first_of, first_text, without
from faceplate.importers.fitting import digest
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.open_webui_markup import unmark
from faceplate.importers.formats.open_webui_parts import read_files, read_pieces
from faceplate.importers.prologue import take_prompts
from faceplate.importers.source import Message, SourceChat, Text
from faceplate.importers.unread import texts

_NUMBERED: Final = "message {}"  # the id of a message without one, which cannot name the chat
_STRUCTURE: Final = (
    *("parentId", "childrenIds", "content", "files", "output", "content_list", "merged"),
    "reasoning_content",
)
_EARLIER: Final = "earlier_messages"
_KNOWN: Final = (
    *("sources", "statusHistory", "citations", "models", "params", "tags", "error"),
    *("code_executions", "annotation", "feature_config", "lang", _EARLIER),
)
_INPUT_TOKENS: Final = ("prompt_tokens", "input_tokens", "prompt_eval_count", "prompt_n")
_OUTPUT_TOKENS: Final = ("completion_tokens", "output_tokens", "eval_count", "predicted_n")


def fits(value: JsonObject) -> int:
    """Return 3 for a tree of messages, 2 for a list in a chat or with children."""
    chat = value["chat"] if isinstance(value.get("chat"), dict) else value
    messages = chat.get("messages")
    if isinstance(as_object(chat.get("history")).get("messages"), dict):
        return 3
    first = messages[0] if isinstance(messages, list) and messages else None
    is_listed = chat is not value or (isinstance(first, dict) and "childrenIds" in first)
    return 2 if isinstance(messages, list) and is_listed else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chat of a value, with its branches."""
    outer: JsonObject = dict(value)
    is_wrapped = isinstance(outer.get("chat"), dict)
    chat: JsonObject = dict(outer.pop("chat")) if is_wrapped else outer
    _drop_repeated_files(chat)
    prologue = take_prompts(chat, inside=("params",))
    if files := _take_read_files(chat):
        prologue.append(Message("user", list(read_files(files)), original=files))
    messages, current = _take_messages(chat)
    chat_id = first_text(outer.get("id"), chat.get("id"))
    if not chat_id and isinstance(messages, list) and messages:
        chat_id = digest(value) if messages[0].id == _NUMBERED.format(1) else ""
    title = first_text(chat.get("title"), outer.get("title"))
    for fields in (outer, chat):
        for name, known in (("id", chat_id), ("title", title)):
            if fields.get(name) in (known, ""):
                fields.pop(name, None)
    yield SourceChat(
        messages,
        id=chat_id,
        title=title,
        created=first_of(outer, "created_at") or chat.get("timestamp"),
        updated=outer.get("updated_at"),
        is_tree=True,
        current=current,
        prologue=prologue,
        rest={**outer, "chat": chat} if is_wrapped else chat,
    )


def _drop_repeated_files(chat: JsonObject) -> None:
    """Remove the files of a chat that are those of a message."""
    tree = as_object(as_object(chat.get("history")).get("messages"))
    said = [*tree.values(), *as_list(chat.get("messages"))]
    known = [file for message in said for file in as_list(as_object(message).get("files"))]
    ids = {id_ for file in known if (id_ := _file_id(file))}
    files = as_list(chat.get("files"))
    if kept := [file for file in files if _file_id(file) not in ids]:
        chat["files"] = kept
    elif "files" in chat:
        del chat["files"]


def _take_read_files(chat: JsonObject) -> list[Any]:
    """Remove the files of a chat whose text is in the export, and return them."""
    files = as_list(chat.get("files"))
    read_ones = [file for file in files if any(each.text for each in read_files([file]))]
    if read_ones:
        chat["files"] = [file for file in files if file not in read_ones]
    return read_ones


def _file_id(file: object) -> str:
    fields = as_object(file)
    return first_text(fields.get("id"), fields.get("url"))


def _take_messages(chat: JsonObject) -> tuple[Iterable[Message], object]:
    """Remove the messages from the chat; return them and the visible leaf."""
    history, listed = chat.get("history"), chat.get("messages")
    tree = history.get("messages") if isinstance(history, dict) else None
    if isinstance(history, dict) and isinstance(tree, dict) and (tree or not listed):
        chat["history"] = without(history, "messages", "currentId")
        chat.pop("messages", None)
        chat.update(_find_others(listed, tree))
        if not chat["history"]:
            del chat["history"]
        return _with_merged(tree, history.get("currentId"))
    if not isinstance(listed, list):
        raise Unreadable("history.messages must be an object, or messages a list")
    chat.pop("messages")
    return _as_tree(listed)


def _find_others(listed: object, tree: JsonObject) -> JsonObject:
    """Return what a list of messages has that the tree lacks, as fields of the chat.

    The list has the shown thread, but may be of an earlier moment: without the questions that may
    follow, or with the begin of an answer, if the page was closed before its end.
    """
    if not isinstance(listed, list):
        return {"messages": listed} if listed else {}
    found: dict[str, list[Any]] = {"messages": [], _EARLIER: []}
    for message in listed:
        known = tree.get(first_text(as_object(message).get("id")))
        said, whole = _texts(message), _texts(known)
        if known is None or not all(any(each.startswith(text) for each in whole) for text in said):
            found["messages"].append(message)
        elif not set(said) <= set(whole):
            found[_EARLIER].append(message)
    return {name: messages for name, messages in found.items() if messages}


def _texts(message: object) -> list[str]:
    said = (part for text in texts(message, _KNOWN) for part in unmark(text))
    return [part for part in said if part]


def _as_tree(listed: list[Any]) -> tuple[list[Message], object]:
    """Return listed messages as a tree.

    Each follows the one before it, unless it has a parent.
    """
    messages: dict[str, Message] = {}
    last = None
    for number, message in enumerate(listed, start=1):
        id_ = as_object(message).get("id")
        is_name = isinstance(id_, str) and id_ and id_ not in messages
        name = str(id_) if is_name else _NUMBERED.format(number)
        read_message = _read_node(name, message)
        messages[name] = read_message._replace(parent=read_message.parent or last)
        last = name
    return list(messages.values()), last


def _read_node(id_: str, message: object) -> Message:
    fields = message if isinstance(message, dict) else {"content": message}
    parent = fields.get("parentId")
    place = Message(
        id=id_,
        parent=parent if isinstance(parent, str) else None,
        children=[child for child in as_list(fields.get("childrenIds")) if isinstance(child, str)],
        created=fields.get("timestamp"),
    )
    return place if message is None else _read_message(place, fields)


def _with_merged(tree: JsonObject, current: object) -> tuple[Iterable[Message], object]:
    """Return the messages of a tree with the merged answers, and the visible leaf.

    What the user goes on from is the answer that a model has merged from those of several models.
    So it is one more answer to the question, and what follows the answer that has it follows it.
    """
    names = {
        id_: f"{id_}:merged"
        for id_, message in tree.items()
        if _merged_text(message).strip() and as_object(message).get("role") == "assistant"
    }
    return _read_tree(tree, names), names.get(first_text(current), current)


def _merged_text(message: object) -> str:
    return first_text(as_object(as_object(message).get("merged")).get("content"))


def _read_tree(tree: JsonObject, names: Mapping[str, str]) -> Iterator[Message]:
    """Yield the messages, each with its merged answer behind it.

    ``names`` has the names of merged answers by the answers whose places they take.
    """
    for id_, fields in tree.items():
        message = _read_node(id_, fields)
        if (parent := names.get(message.parent or "")) is not None:
            message = message._replace(parent=parent)
        yield message._replace(children=()) if id_ in names else message
        if (said := _merged_text(fields)).strip():
            answer = message if id_ in names else message._replace(parent=id_)
            yield answer._replace(
                role="assistant",
                id=f"{id_}:merged",
                pieces=[Text(said)],
                model=None,
                input_tokens=None,
                output_tokens=None,
                rest={"merged": without(fields["merged"], "content")},
            )


def _read_message(place: Message, message: JsonObject) -> Message:
    role = first_text(message.get("role"), "unknown")
    pieces = read_pieces(message)
    status = "interrupted" if message.get("done") is False else None
    if error := message.get("error"):
        status = "failed"
        said = error.get("content") if isinstance(error, dict) else error
        if not any(isinstance(piece, Text) and piece.text for piece in pieces):
            pieces = [*pieces, Text(said if isinstance(said, str) else "")]
    usage = as_object(message.get("usage")) or as_object(message.get("info"))
    return place._replace(
        role=role,
        pieces=[*pieces, *read_files(message.get("files"))],
        status=status,
        model=first_text(message.get("model"), message.get("modelName")),
        input_tokens=first_of(usage, *_INPUT_TOKENS),
        output_tokens=first_of(usage, *_OUTPUT_TOKENS),
        rest=without(message, *_STRUCTURE),
        original=message,
    )


FORMAT: Final = Format(
    "open-webui",
    "Open WebUI export",
    fits,
    read,
    known=_KNOWN,
    unmark=unmark,
)
