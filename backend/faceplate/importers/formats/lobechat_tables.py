"""The tables of a LobeChat export, by the ids of their rows."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text
from faceplate.importers.unread import find_text, texts

_OF_MESSAGES: Final = ("messagePlugins", "messageTranslates")
_OF_CHATS: Final = ("sessions", "agents", "chatGroups")
_OF_FILES: Final = ("documents", "chunks")
_COPIES: Final = ("content", "editorData")
"""The fields of a row that may say once more what is said elsewhere."""
_WORD: Final = re.compile(r"\w+")


class Tables:
    """The rows that belong to the messages, by the ids of their messages or by their own."""

    def __init__(self, rows: JsonObject) -> None:
        self._rows = rows
        self.topics = _by_id(rows.get("topics"))
        self.threads = _by_id(rows.get("threads"))
        self.files = _by_id(rows.get("files"))
        self.plugins, self.translations = (_by_id(rows.get(name)) for name in _OF_MESSAGES)
        self.files_of = _files_of(rows.get("messagesFiles"))
        self._sessions = _by_id(rows.get("sessions"))
        self._agents = _by_id(rows.get("agents"))
        self._groups = _by_id(rows.get("chatGroups"))
        links = (as_object(row) for row in as_list(rows.get("agentsToSessions")))
        self._agent_of = {first_text(row.get("sessionId")): row.get("agentId") for row in links}

    def behind(self, message: JsonObject) -> tuple[JsonObject, JsonObject, JsonObject]:
        """Return the session, the agent and the group of a message, each empty if there is none."""
        topic = self.topics.get(first_text(message.get("topicId")), {})
        session_id = first_text(topic.get("sessionId"), message.get("sessionId"))
        agent_id = first_text(
            topic.get("agentId"), message.get("agentId"), self._agent_of.get(session_id)
        )
        group_id = first_text(topic.get("groupId"), message.get("groupId"))
        return (
            self._sessions.get(session_id, {}),
            self._agents.get(agent_id, {}),
            self._groups.get(group_id, {}),
        )

    def threads_of(self, listed: Iterable[JsonObject]) -> list[JsonObject]:
        """Return the threads of the messages, and those of their topics."""
        named = {first_text(each.get(key)) for each in listed for key in ("topicId", "threadId")}
        named.discard("")
        return [
            row
            for id_, row in self.threads.items()
            if id_ in named or first_text(row.get("topicId")) in named
        ]

    def find_strays(self, chats: Collection[list[JsonObject]]) -> JsonObject:
        """Return the rows with text that belong to none of the chats, which have these messages."""
        messages = [message for listed in chats for message in listed]
        used = {first_text(row.get("id")) for listed in chats for row in self.behind(listed[0])}
        ids = {message["id"] for message in messages}
        strays = {name: _others(self._rows.get(name), ids) for name in _OF_MESSAGES}
        topics = {first_text(message.get("topicId")) for message in messages}
        strays["topics"] = _others(self._rows.get("topics"), topics)
        threads = {row["id"] for row in self.threads_of(messages)}
        strays["other_threads"] = _others(self._rows.get("threads"), threads)
        for name in (*_OF_CHATS, *_OF_FILES):
            others = _others(self._rows.get(name), used)
            strays[name] = [row for row in others if any(find_text(row))]
        return {name: listed for name, listed in strays.items() if listed}


def without_copies(row: JsonObject, said: Iterable[object]) -> JsonObject:
    """Return a row without the fields that only repeat what is said elsewhere."""
    if not any(row.get(key) for key in _COPIES):
        return row
    whole = [_words(text) for text in said if isinstance(text, str)]
    rest = dict(row)
    for key in _COPIES:
        value = rest.get(key)
        copies = [_words(text) for text in ([value] if isinstance(value, str) else texts(value))]
        if all(any(copy in text for text in whole) for copy in copies if copy):
            rest.pop(key, None)
        whole += copies  # the editor has the content once more
    return rest


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text))


def _others(rows: object, ids: Collection[str]) -> list[object]:
    """Return the rows with other ids, or without one."""
    known = {id_ for id_ in ids if id_}
    return [row for row in as_list(rows) if first_text(as_object(row).get("id")) not in known]


def _by_id(rows: object) -> Mapping[str, JsonObject]:
    return {
        row["id"]: row
        for row in as_list(rows)
        if isinstance(row, dict) and isinstance(row.get("id"), str)
    }


def _files_of(rows: object) -> Mapping[str, list[object]]:
    found: dict[str, list[object]] = {}
    for row in map(as_object, as_list(rows)):
        found.setdefault(first_text(row.get("messageId")), []).append(row.get("fileId"))
    return found
