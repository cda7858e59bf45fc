"""Appends of messages whose tool calls and results may not match those of the conversation.

faceplate refuses a result without a call. An SDK may store one, and its object is in the body of
the message. So a call or result that does not fit the path is left out of the columns, and the
content says what it was.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, cast
from uuid import UUID

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.errors import InvalidInput, NotFound
from faceplate.importers.source import Call
from faceplate.importers.turns import can_be_stored, make_call
from faceplate.integrations._response_items import fit_text
from faceplate.integrations._speech import text_of
from faceplate.scope import Scope, replayable
from faceplate.services import conversations, messages, tool_calls
from faceplate.services.messages import NewConversation, NewMessage
from faceplate.services.tool_calls import check_calls, check_results

_MAX_CHARS: Final = messages.MAX_BATCH_CHARS


async def store(
    db: Database,
    user_id: UUID,
    conversation_id: UUID,
    batch: Sequence[NewMessage],
    *,
    opens: NewConversation | None = None,
) -> None:
    """Append messages, which have ids and bodies, all or none; any number of them.

    One round trip is enough where the conversation exists, every result follows its call in the
    batch, and the batch is one of `messages.append_many`. Raises the errors of `Database.run` and
    of `messages.append_many`.
    """
    if not batch:
        return
    is_linked = tool_calls.answers_itself(batch)
    if len(batch) == 1 and is_linked:
        new = batch[0]._asdict()
        await db.run(user_id, messages.append, conversation_id, opens=opens, **new)
    elif is_linked and len(list(_chunks(batch))) == 1:
        await db.run(user_id, messages.append_many, conversation_id, batch, opens=opens)
    else:
        await db.run(user_id, append_linked, conversation_id, batch, opens=opens)


@replayable
async def append_linked(
    scope: Scope,
    conversation_id: UUID,
    batch: Sequence[NewMessage],
    *,
    after: int | None = None,
    opens: NewConversation | None = None,
) -> None:
    """Append messages, which have ids and bodies, with the tool calls and results that fit.

    ``after`` is the position that they follow, where they begin a branch.
    """
    pending: set[str] = set()
    if after != 0 and not tool_calls.answers_itself(batch):
        try:
            await conversations.lock(scope, conversation_id)
        except NotFound:
            pass  # the append makes it, or says that there is none
        else:
            if await _are_stored(scope, conversation_id, batch):
                return  # by an earlier attempt, which has taken the calls that are pending no more
            found = await messages.pending_tool_calls(scope, conversation_id, leaf=after)
            pending = {call.id for call in found}
    for chunk in _chunks(linked(batch, pending)):
        branch = after is not None
        await messages.append_many(
            scope, conversation_id, chunk, after=after, branch=branch, opens=opens
        )
        after = None


async def _are_stored(scope: Scope, conversation_id: UUID, batch: Sequence[NewMessage]) -> bool:
    """Return whether all of the messages are stored with the same bodies."""
    for message in batch:
        try:
            stored = await messages.get(scope, conversation_id, cast("UUID", message.id))
        except NotFound:
            return False
        if stored.body != message.body:
            return False
    return True


def linked(batch: Sequence[NewMessage], pending: set[str]) -> list[NewMessage]:
    """Return the messages; those whose calls or results do not fit are without them.

    ``pending`` has the ids of the path's calls that have no result yet.
    """
    kept: list[NewMessage] = []
    for message in batch:
        calls = {call["id"] for call in message.tool_calls or ()}
        answered = {result["tool_call_id"] for result in message.tool_results or ()}
        if calls & pending or answered - pending:
            kept.append(without_links(message))
        else:
            pending = (pending | calls) - answered
            kept.append(message)
    return kept


def without_links(message: NewMessage) -> NewMessage:
    """Return a message that says in its content which calls or results it has."""
    calls = [_call_text(call) for call in message.tool_calls or ()]
    results = [text_of(result.get("content")) for result in message.tool_results or ()]
    text = "\n".join(filter(None, [message.content, *calls, *results]))
    # A model should not read a call as what the assistant said.
    role = message.role if message.content or results else None
    return message._replace(role=role, content=fit_text(text), tool_calls=None, tool_results=None)


def _call_text(call: dict[str, object]) -> str:
    said = call[str(call.get("type", "function"))]
    if not isinstance(said, dict):
        return json.dumps(said)
    return f"{said['name']}({said.get('arguments', said.get('input'))})"


def _chunks(batch: Sequence[NewMessage]) -> Iterator[Sequence[NewMessage]]:
    """Yield the messages in lots that `messages.append_many` takes."""
    chunk: list[NewMessage] = []
    contents = bodies = 0
    for message in batch:
        content, body = len(message.content), len(message.body or "")
        is_full = (
            len(chunk) == messages.MAX_BATCH
            or contents + content > _MAX_CHARS
            or bodies + body > _MAX_CHARS
        )
        if chunk and is_full:
            yield chunk
            chunk, contents, bodies = [], 0, 0
        chunk.append(message)
        contents, bodies = contents + content, bodies + body
    if chunk:
        yield chunk


def calls_of(calls: Iterable[Call]) -> list[JsonObject] | None:
    """Return tool calls as their column has them, or None if it would refuse them."""
    made = {call["id"]: call for call in map(make_call, calls) if can_be_stored(call)}
    return _checked(check_calls, list(made.values()))


def results_of(results: Iterable[tuple[str, str]]) -> list[JsonObject] | None:
    """Return results, each a call's id and a text, as their column has them, or None."""
    made = {
        call_id: {"tool_call_id": call_id, "content": fit_text(text)} for call_id, text in results
    }
    return _checked(check_results, list(made.values()))


def _checked(
    check: Callable[[list[JsonObject]], None], links: list[JsonObject]
) -> list[JsonObject] | None:
    try:
        check(links)
    except InvalidInput:
        return None
    return links
