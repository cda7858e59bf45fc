"""Sessions of the OpenAI Agents SDK: each is a conversation, and each item is a message.

The extra ``openai-agents`` brings the SDK. A run takes a session by one argument::

    session = FaceplateSession(db, user.id, "support-42")
    result = await Runner.run(agent, "Will it rain?", session=session)
    await session.store_run_usage(result)
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from agents import RunContextWrapper, TResponseInputItem, Usage
from agents.exceptions import AgentsException
from agents.memory import SessionSettings
from agents.models import get_default_model
from agents.result import RunResultBase
from uuid6 import uuid7

from faceplate.column_types import Count
from faceplate.database import Database
from faceplate.errors import InvalidInput, NotFound
from faceplate.importers.turns import model_name
from faceplate.integrations import _agents_history as history
from faceplate.integrations._agents_history import Snapshot
from faceplate.integrations._response_items import (
    items_of,
    items_of_bodies,
    items_of_texts,
    new_message,
)
from faceplate.integrations._sessions import key_of, opening
from faceplate.integrations._tool_links import store
from faceplate.scope import Scope
from faceplate.services import conversations, messages, usage
from faceplate.services.messages import NewMessage

__all__ = ["SOURCE", "FaceplateSession"]

P = ParamSpec("P")
T = TypeVar("T")

SOURCE: Final = "openai-agents"
"""The source of the conversations that are sessions. Their key is the session's id."""

_MOST_ROWS: Final = Count.MAXIMUM - 1


class FaceplateSession:
    """A session of one user: the argument ``session`` of ``Runner.run``.

    Its items are the messages of the conversation `conversation_id`, which the first items make.
    It holds no connection, so a web service makes one for each request. Calls may run at the same
    time, in this process and in others.

    Each method raises the errors of `Database.run`.
    """

    session_id: str
    session_settings: SessionSettings | None

    def __init__(
        self,
        db: Database,
        user_id: UUID,
        session_id: str,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """Name a session; nothing is read or written.

        ``session_id`` is any text. ``session_settings`` has the ``limit`` of `get_items`.

        Raises InvalidInput for a ``session_id`` that is no text, TypeError for unknown settings.
        """
        if not isinstance(session_id, str):
            raise InvalidInput("session_id", "must be text")
        if isinstance(session_settings, dict):
            if unknown := session_settings.keys() - {each.name for each in fields(SessionSettings)}:
                raise TypeError(f"Unknown session settings: {', '.join(sorted(unknown))}")
            session_settings = SessionSettings(**session_settings)
        self.session_id = session_id
        self.session_settings = session_settings or SessionSettings()
        self._db = db
        self._user_id = user_id
        self._runs: WeakKeyDictionary[RunContextWrapper[Any], _Run] = WeakKeyDictionary()
        self.conversation_id = conversations.id_of(user_id, source=SOURCE, key=key_of(session_id))
        """The id of the conversation, for the units of faceplate."""

    def __repr__(self) -> str:
        return f"FaceplateSession(conversation_id={self.conversation_id})"

    async def get_items(
        self, limit: int | None = None, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> list[TResponseInputItem]:
        """Return the last ``limit`` items of the conversation's path, in order.

        Without a limit, the one of ``session_settings`` counts; without either, all items are
        returned. A session that nothing was added to has none. The SDK gives the ``wrapper``.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if wrapper is not None:
            self._run_of(wrapper)
        if limit is not None and limit < 1:
            return []
        items = await self._read(None if limit is None else min(limit, _MOST_ROWS))
        if items is None:
            items = items_of(await self._call(history.whole))
        return items if limit is None else items[-limit:]

    async def add_items(
        self,
        items: list[TResponseInputItem],
        *,
        wrapper: RunContextWrapper[Any] | None = None,
    ) -> None:
        """Append items in their order, all or none.

        The first items make the conversation. Its title is what the user says first among them. The
        SDK gives the ``wrapper``: what its run has used since the last call is stored with the last
        item of the assistant.

        Raises InvalidInput for an item of more than the setting ``max_body_mb``, and for NaN and
        Infinity, which JSON lacks; TypeError and ValueError as `json.dumps` does.
        """
        if not items:
            return
        ids = [uuid7() for _ in items]
        batch = [new_message(item, id=id_) for item, id_ in zip(items, ids, strict=True)]
        opens = opening(SOURCE, self.session_id, batch)
        run = None if wrapper is None else self._run_of(wrapper)
        total = None if wrapper is None else _Tokens.of(wrapper.usage)
        written = None
        if run and total and total != run.counted:
            written = _last_written(batch)
            columns: dict[str, Any] = total.since(run.counted).columns()
            batch[written] = batch[written]._replace(**columns)
        await store(self._db, self._user_id, self.conversation_id, batch, opens=opens)
        if run and total and written is not None:
            run.counted = total
            run.message_ids.append(ids[written])

    async def pop_item(
        self, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> TResponseInputItem | None:
        """Remove the last item of the conversation's path and return it; None if there is none.

        A message that another program stored may be several items: it stays with its model, tokens
        and metadata, without the call or result that is removed, and without its body, which says
        that too. Drafts and other branches stay: where nothing is left of the path, it ends at
        their newest message. The SDK gives the ``wrapper``.
        """
        del wrapper
        return await self._call(history.pop)

    async def clear_session(self, *, wrapper: RunContextWrapper[Any] | None = None) -> None:
        """Remove all items, in all branches. The SDK gives the ``wrapper``.

        The conversation stays, with its title and metadata: `conversations.delete` removes it.
        """
        del wrapper
        await self._call(history.clear)

    async def store_run_usage(self, result: RunResultBase, *, model: str | None = None) -> None:
        """Store the model of a run, and its tokens where they are not stored yet.

        Call it after ``Runner.run``, or when a streamed run is complete; a second call changes
        nothing. ``model`` is by default that of the run's last agent: give it where the
        ``RunConfig`` names another one. The SDK tells a session the tokens since its version 0.20;
        before, this call stores them, with the last message of the assistant.
        """
        run = self._runs.get(result.context_wrapper)
        ids = run.message_ids if run else []
        tokens = _Tokens() if ids else _Tokens.of(result.context_wrapper.usage)
        await self._call(_record, ids, model_name(model or _model_of(result)), tokens)

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[Any], bool] | None = None
    ) -> Snapshot | None:
        """Return the last ``limit`` items, and what replaces the last of them at once.

        The SDK's compaction looks for the method by this name. Without it, it clears the session,
        with what another writer has just added, and leaves a session alone whose runs get the last
        items only. ``prune_prefix`` tells which of the oldest items go as well.

        It returns None where an item is no message of its own, or a subclass reads or adds items
        in another way.
        """
        kind = type(self)
        if kind.get_items is not FaceplateSession.get_items:
            return None
        if kind.add_items is not FaceplateSession.add_items:
            return None
        rows = await self._call(history.tail, limit + 1)
        kept = rows[-limit:]
        items = history.item_of_each(kept)
        if items is None:
            return None

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            batch = [new_message(item, id=uuid7()) for item in output]
            return await self._call(history.replace_tail, kept[start:], batch, prune_prefix)

        return Snapshot(items, len(rows) <= limit, replace_suffix)

    async def _read(self, limit: int | None) -> list[Any] | None:
        """Return the items of the last ``limit`` messages, or of all.

        It returns None where the bodies of other programs, or messages that say nothing, are among
        these: the messages have to be read whole.
        """
        texts, rows = await self._call(history.bodies, limit)
        if texts is not None:
            return items_of_texts(texts)
        items = items_of_bodies(rows)
        return None if items is not None and len(items) < len(rows) == limit else items

    async def _call(
        self,
        unit: Callable[Concatenate[Scope, UUID, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._db.run(self._user_id, unit, self.conversation_id, *args, **kwargs)

    def _run_of(self, wrapper: RunContextWrapper[Any]) -> "_Run":
        """Return what is known of a run.

        What it used before the session first heard of it is stored already: a run that was
        interrupted goes on with its numbers.
        """
        if wrapper not in self._runs:
            self._runs[wrapper] = _Run(_Tokens.of(wrapper.usage))
        return self._runs[wrapper]


class _Tokens(NamedTuple):
    """Numbers of tokens."""

    input: int = 0
    output: int = 0

    @classmethod
    def of(cls, used: Usage) -> "_Tokens":
        return cls(used.input_tokens, used.output_tokens)

    def since(self, earlier: "_Tokens") -> "_Tokens":
        return _Tokens(self.input - earlier.input, self.output - earlier.output)

    def columns(self) -> dict[str, int | None]:
        """Return the values of a message; None for a number that the columns refuse."""
        is_count = all(0 <= number <= Count.MAXIMUM for number in self) and any(self)
        given = self if is_count else (None, None)
        return dict(zip(("input_tokens", "output_tokens"), given, strict=True))


@dataclass
class _Run:
    """A run of an agent, as far as its items were added."""

    counted: _Tokens
    """What it had used when its last items were added."""
    message_ids: list[UUID] = field(default_factory=list)
    """The messages that have its tokens."""


async def _record(
    scope: Scope, conversation_id: UUID, ids: Sequence[UUID], model: str | None, tokens: _Tokens
) -> None:
    with suppress(NotFound):
        if not ids:
            rows = await messages.history(scope, conversation_id)
            ids = [row.id for row in rows if row.role == "assistant"][-1:]
        for id_ in ids:
            await usage.record(scope, conversation_id, id_, model=model, **tokens.columns())


def _last_written(batch: Sequence[NewMessage]) -> int:
    """Return the index of the assistant's last message, or of the last message."""
    indexes = [at for at, message in enumerate(batch) if message.role == "assistant"]
    return indexes[-1] if indexes else len(batch) - 1


def _model_of(result: RunResultBase) -> str | None:
    try:
        model = result.last_agent.model
    except AgentsException:  # the agent is no more
        return None
    if model is None:
        return get_default_model()
    return model if isinstance(model, str) else getattr(model, "model", None)
