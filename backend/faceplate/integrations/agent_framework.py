"""Microsoft Agent Framework's ``HistoryProvider`` over faceplate.

It needs the ``agent-framework`` extra.

::

    history = FaceplateHistoryProvider(db, user_id)
    agent = Agent(client, context_providers=[history])
    session = agent.create_session(session_id="support 42")
    await agent.run("Where is my parcel?", session=session)

A session is a conversation, and a message of it a message whose body is the framework's.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from uuid6 import uuid7

from faceplate import records
from faceplate.database import Database
from faceplate.errors import ConfigurationError, NotFound
from faceplate.importers.source import Call
from faceplate.integrations import _tool_links
from faceplate.integrations._response_items import fit_text, from_json, to_json
from faceplate.integrations._sessions import key_of, opening
from faceplate.integrations._speech import text_of
from faceplate.integrations._tool_links import calls_of, results_of
from faceplate.models import ROLES
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

try:
    from agent_framework import Content, HistoryProvider, Message
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "the history for Agent Framework needs a package: pip install 'faceplate[agent-framework]'"
    ) from missing

__all__ = ["SOURCE", "FaceplateHistoryProvider"]

SOURCE: Final = "agent-framework"
"""The source of the conversations; their key is the session's id."""

_EXCLUDED: Final = "_excluded"
"""The property by which the framework's compaction excludes a message. Old versions export none."""


class FaceplateHistoryProvider(HistoryProvider):
    """The history of a user's sessions. A session that does not exist has no messages.

    ``options`` are the framework's own, such as ``load_messages`` and ``store_inputs``. With
    ``skip_excluded``, the messages that a compaction has excluded are not read, as in the
    framework's own providers. A session without an id is the one called ``default``. Each method
    raises the errors of `Database.run`.
    """

    def __init__(
        self,
        db: Database,
        user_id: UUID,
        source_id: str = "faceplate",
        *,
        skip_excluded: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(source_id, **options)
        self.skip_excluded = skip_excluded
        self._db = db
        self._user_id = user_id

    def conversation_id(self, session_id: str | None) -> UUID:
        """Return the id of a session's conversation, for the units of faceplate."""
        key = key_of(session_id or "default")
        return conversations.id_of(self._user_id, source=SOURCE, key=key)

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """Return all messages of a session, in order; without those excluded, where so asked."""
        del state, kwargs
        try:
            rows = await self._db.run(
                self._user_id, messages.everything, self.conversation_id(session_id)
            )
        except NotFound:
            return []
        found = [message for row in rows if (message := _message_of(row))]
        if not self.skip_excluded:
            return found
        return [one for one in found if not one.additional_properties.get(_EXCLUDED)]

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append messages in their order, all or none; the first ones make the conversation."""
        del state, kwargs
        batch = [_new_message(message) for message in messages]
        opens = opening(SOURCE, session_id or "default", batch)
        id_ = self.conversation_id(session_id)
        await _tool_links.store(self._db, self._user_id, id_, batch, opens=opens)


def _new_message(message: Message) -> NewMessage:
    """Return a message as it is stored, with an id, so that a retry stores it once."""
    role, contents = str(message.role), message.contents
    calls = [
        Call(content.name or "", content.arguments, content.call_id or "", "function")
        for content in contents
        if content.type == "function_call"
    ]
    results = [
        (content.call_id or "", text_of(content.result))
        for content in contents
        if content.type == "function_result"
    ]
    links: Any = {}
    if role == "assistant":
        links["tool_calls"] = calls_of(calls)
    elif role == "tool":
        links["tool_results"] = results_of(results)
    text = "" if links.get("tool_results") else "\n".join(text for _, text in results)
    return NewMessage(
        role if role in ROLES else None,
        fit_text(message.text or text),
        id=uuid7(),
        body=to_json(message.to_dict()),
        **links,
    )


def _message_of(row: records.Message) -> Message | None:
    """Return the message in a body, or the one that shows a row from elsewhere, if it says any."""
    body = from_json(row.body) if row.body else None
    if isinstance(body, dict) and "role" in body and isinstance(body.get("contents"), list):
        return Message.from_dict(body)
    if row.role is None or row.status == "streaming":
        return None
    contents = list(_contents_of(row))
    return Message(row.role, contents, message_id=str(row.id)) if contents else None


def _contents_of(row: records.Message) -> Iterable[Content]:
    if row.content.strip() and row.role != "tool":
        yield Content.from_text(row.content)
    for call in row.tool_calls or ():
        said = call[call.get("type", "function")]
        text = said.get("arguments", said.get("input"))
        yield Content.from_function_call(call["id"], said["name"], arguments=text)
    for result in row.tool_results or ():
        text = text_of(result.get("content"))
        yield Content.from_function_result(result["tool_call_id"], result=text)
