"""The tables of a LobeChat export, by the ids of their rows."""

from collections.abc import Collection, Mapping
from typing import Final

from faceplate.column_types import JsonObject
from faceplate.importers.fields import as_list, as_object, first_text
from faceplate.importers.unread import find_text

_OF_MESSAGES: Final = ("messagePlugins", "messageTranslates")


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
        links = (as_object(row) for row in as_list(rows.get("agentsToSessions")))
        self._agent_of = {first_text(row.get("sessionId")): row.get("agentId") for row in links}

    def behind(self, message: JsonObject) -> tuple[JsonObject, JsonObject]:
        """Return the session and the agent of a message, each empty if there is none."""
        topic = self.topics.get(first_text(message.get("topicId")), {})
        session_id = first_text(topic.get("sessionId"), message.get("sessionId"))
        agent_id = first_text(
            topic.get("agentId"), message.get("agentId"), self._agent_of.get(session_id)
        )
        return self._sessions.get(session_id, {}), self._agents.get(agent_id, {})

    def find_strays(self, messages: Collection[JsonObject]) -> JsonObject:
        """Return the rows with text that belong to none of the messages."""
        ids = {message["id"] for message in messages}
        used = {first_text(row.get("id")) for each in messages for row in self.behind(each)}
        strays = {name: _others(self._rows.get(name), ids) for name in _OF_MESSAGES}
        for name in ("sessions", "agents"):
            others = _others(self._rows.get(name), used)
            strays[name] = [row for row in others if any(find_text(row))]
        return {name: listed for name, listed in strays.items() if listed}


def _others(rows: object, ids: Collection[str]) -> list[object]:
    """Return the rows with other ids."""
    return [row for row in as_list(rows) if first_text(as_object(row).get("id")) not in ids]


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
