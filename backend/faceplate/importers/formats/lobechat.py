"""LobeChat exports: the tables of messages, topics and sessions of all chats in one object.

A chat is what has one topic, or what has none in one session. The tables are under ``state`` in
exports of the browser's database, and under ``data`` in later ones.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.chats import Unreadable
from faceplate.importers.contents import attachment, read_content
from faceplate.importers.fields import as_list, as_object, first_of, first_text, to_moments, without
from faceplate.importers.formats.description import Format
from faceplate.importers.formats.lobechat_tables import Tables, without_copies
from faceplate.importers.prologue import take_prompts
from faceplate.importers.source import (
    Aside,
    Attachment,
    Call,
    Message,
    Piece,
    Result,
    SourceChat,
    Unknown,
)

_TABLES: Final = ("topics", "sessions", "messagePlugins", "threads", "agents")
_WRAPPERS: Final = ("exportType", "schemaHash", "mode", "version")
_PLACES: Final = ("topicId", "sessionId", "agentId", "groupId")
_PLACEHOLDER: Final = "..."  # of an answer that has not begun
_TOOL_FIELDS: Final = (
    "id",
    "identifier",
    "apiName",
    "arguments",
    "type",
    "source",
    "result_msg_id",
)
_FILE_LISTS: Final = ("files", "imageList", "fileList", "videoList")
_FIELDS: Final = (
    *("id", "role", "content", "parentId", "createdAt", "model", "reasoning", "tools"),
    *("plugin", "pluginState", "tool_call_id", "error", *_FILE_LISTS),
)


def fits(value: JsonObject) -> int:
    """Return 3 for tables in the object of an export, 2 for bare ones."""
    tables = _take_tables(value)
    messages = as_list(tables.get("messages"))
    if not messages or not all(_is_message(message) for message in messages):
        return 0
    if tables is not value and any(key in value for key in _WRAPPERS):
        return 3
    return 2 if any(isinstance(tables.get(key), list) for key in _TABLES) else 0


def read(value: JsonObject) -> Iterator[SourceChat]:
    """Yield the chats of an export in the order of their first messages."""
    rows = _take_tables(value)
    messages = as_list(rows.get("messages"))
    if not all(_is_message(message) for message in messages):
        raise Unreadable("messages must be a list of objects with a role and a topic or session")
    tables = Tables(rows)
    chats: dict[tuple[str, str], list[JsonObject]] = {}
    for message in messages:
        place = next((key for key in _PLACES if message.get(key)), "sessionId")
        chats.setdefault((place, first_text(message.get(place), "inbox")), []).append(message)
    strays = tables.find_strays(chats.values())
    for (place, id_), listed in chats.items():
        chat = _read_chat(place, id_, listed, tables)
        yield chat._replace(rest={**(chat.rest or {}), **strays})
        strays = {}


def _take_tables(value: JsonObject) -> JsonObject:
    wrapped = (value[key] for key in ("state", "data") if isinstance(value.get(key), dict))
    return next(wrapped, value)


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("id"), str)
        and isinstance(value.get("role"), str)
        and any(key in value for key in _PLACES)
    )


def _read_chat(place: str, id_: str, listed: list[JsonObject], tables: Tables) -> SourceChat:
    topic = tables.topics.get(id_, {}) if place == "topicId" else {}
    session, agent, group = (dict(row) for row in tables.behind(listed[0]))
    prompts = take_prompts(agent)
    for row in (session, group):
        prompts += take_prompts(row, inside=("config",))
    prompts += _take_shots(agent) or _take_shots(as_object(session.get("config")))
    said = [message.get("content") for message in listed]
    title = first_text(topic.get("title"))
    if not topic:
        title = first_text(session.get("title"), as_object(session.get("meta")).get("title"))
    moments = to_moments(message.get("createdAt") for message in listed)
    ordered = [listed[at] for at in sorted(range(len(listed)), key=moments.__getitem__)]
    parents = _parents(ordered, tables.threads)
    main = [message["id"] for message in ordered if not message.get("threadId")]
    return SourceChat(
        [_read_message(message, parents[message["id"]], tables) for message in ordered],
        id=id_ if place == "topicId" else f"{place}:{id_}",
        title=title,
        created=topic.get("createdAt"),
        updated=topic.get("updatedAt"),
        is_tree=True,
        current=main[-1] if main else None,
        prologue=prompts,
        rest={
            name: fields
            for name, fields in (
                ("topic", without_copies(without(topic, "id", "title"), said)),
                ("threads", [without_copies(row, said) for row in tables.threads_of(listed)]),
                ("session", session),
                ("agent", agent),
                ("group", group),
            )
            if fields
        },
    )


def _take_shots(agent: JsonObject) -> list[Message]:
    """Remove the examples of a talk that an agent begins with, and return them as messages."""
    shots = as_list(agent.get("fewShots"))
    if not shots or not all(first_text(as_object(shot).get("role")) for shot in shots):
        return []
    del agent["fewShots"]
    return [
        Message(
            shot["role"],
            read_content(shot.get("content")),
            rest=without(shot, "role", "content"),
            original=shot,
        )
        for shot in shots
    ]


def _parents(ordered: list[JsonObject], threads: Mapping[str, JsonObject]) -> dict[str, str | None]:
    """Return the parent of each message.

    Messages follow the one before them, unless each names its parent: then that counts. The results
    of one step stand one after the other, and what follows their call follows them all. A thread
    begins at a message of the chat.
    """
    ids = {message["id"] for message in ordered}
    others = ordered[1:]
    is_tree = all(_parent(message) in ids or message.get("threadId") for message in others)
    parents: dict[str, str | None] = {}
    callers: dict[str, str] = {}  # the message of the call, of each result
    results: dict[str, str] = {}  # the last result of each such message
    before: dict[str, str] = {}  # the last message of each thread
    for message in ordered:
        id_, thread, named = message["id"], first_text(message.get("threadId")), _parent(message)
        caller = callers.get(named, named)
        parent = before.get(thread)
        if thread and parent is None:
            begin = first_text(threads.get(thread, {}).get("sourceMessageId"), named)
            begin = results.get(callers.get(begin, begin), begin)
            parent = begin if begin in ids else before.get("")
        elif is_tree and not thread:
            parent = results.get(caller, named) if named in ids else None
        if message["role"] == "tool" and not thread:
            callers[id_], results[caller] = caller, id_
        parents[id_] = parent
        before[thread] = id_
    return parents


def _parent(message: JsonObject) -> str:
    return first_text(message.get("parentId"))


def _read_message(message: JsonObject, parent: str | None, tables: Tables) -> Message:
    id_, role = message["id"], message["role"]
    plugin = {**tables.plugins.get(id_, {}), **as_object(message.get("plugin"))}
    extra, metadata = as_object(message.get("extra")), as_object(message.get("metadata"))
    usage = {**as_object(metadata.get("usage")), **metadata}
    pieces = _result(message, plugin) if role in ("tool", "function") else _pieces(message)
    for translation in (tables.translations.get(id_), extra.get("translate")):
        if translation:
            pieces.insert(0, Aside("translations", translation))
    rest = without_copies(without(message, *_FIELDS), [message.get("content")])
    if plugin:
        rest["plugin"] = without(plugin, "id", "arguments", "state", "error")
    if extra:
        rest["extra"] = without(extra, "translate")
    return Message(
        "assistant" if role == "function" else role,
        [*pieces, *_files(message, tables)],
        id=id_,
        parent=parent,
        created=message.get("createdAt"),
        model=first_text(message.get("model"), extra.get("fromModel")),
        input_tokens=usage.get("totalInputTokens"),
        output_tokens=usage.get("totalOutputTokens"),
        status="failed" if message.get("error") else None,
        rest=rest,
        original=message,
    )


def _pieces(message: JsonObject) -> list[Piece]:
    pieces: list[Piece] = []
    if reasoning := message.get("reasoning"):
        pieces.append(Aside("reasoning", reasoning))
    error, content = message.get("error"), message.get("content")
    if error and (not content or content == _PLACEHOLDER):
        content = first_text(as_object(error).get("message"), as_object(error).get("type"), error)
    if error:
        pieces.append(Aside("errors", error))
    pieces += read_content(content) if content else []
    for tool in as_list(message.get("tools")):
        fields = as_object(tool)
        pieces.append(
            Call(_tool_name(fields), fields.get("arguments") or "", first_text(fields.get("id")))
        )
        if rest := without(fields, *_TOOL_FIELDS):
            pieces.append(Unknown(rest))
    return pieces


def _result(message: JsonObject, plugin: JsonObject) -> list[Piece]:
    """Return the result that a message is, and its call if nothing else has that."""
    name = _tool_name(plugin) if plugin else ""
    call_id = first_of(message, "tool_call_id") or plugin.get("toolCallId")
    result = Result(message.get("content"), first_text(call_id), name)
    pieces: list[Piece] = [
        Aside(kind, beside)
        for kind, beside in (
            ("errors", first_of(message, "error") or plugin.get("error")),
            ("states of tools", first_of(message, "pluginState") or plugin.get("state")),
        )
        if beside
    ]
    if message["role"] == "function":  # of early versions
        pieces.append(Call(name or "function", plugin.get("arguments") or ""))
    return [*pieces, result]


def _tool_name(fields: JsonObject) -> str:
    names = (fields.get("identifier"), fields.get("apiName"))
    return ".".join(name for name in names if isinstance(name, str) and name) or "function"


def _files(message: JsonObject, tables: Tables) -> Iterator[Attachment]:
    """Yield the files of a message: from its lists, or from the tables."""
    listed = [file for key in _FILE_LISTS for file in as_list(message.get(key))]
    for file in listed + tables.files_of.get(message["id"], []):
        fields = file if isinstance(file, dict) else tables.files.get(str(file), {"id": file})
        kind = first_text(fields.get("fileType"), fields.get("type"), "file")
        found = attachment(fields, kind)
        yield found._replace(
            kind=kind,
            name=first_text(found.name, fields.get("alt")),
            text=first_text(fields.get("content"), found.text),
            part=without(fields, "content"),
        )


FORMAT: Final = Format(
    "lobechat",
    "LobeChat export",
    fits,
    read,
    known=(
        *("search", "meta", "config", "agents", "sessions", "chunks"),
        *("userInstalledPlugins", "aiModels", "aiProviders", "embeddings", "documents"),
    ),
)
