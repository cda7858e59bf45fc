"""The endpoints: each reads a request, runs units for its user, and answers."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uuid6 import uuid7

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.errors import FaceplateError, UsageError
from faceplate.integrations._response_items import new_message
from faceplate.integrations._subjects import Subjects
from faceplate.integrations._tool_links import append_linked
from faceplate.integrations.openai_conversations import _ids, _units
from faceplate.integrations.openai_conversations._errors import MAY_REPEAT, json_response
from faceplate.integrations.openai_conversations._items import resource
from faceplate.integrations.openai_conversations._openapi import DOCUMENT
from faceplate.integrations.openai_conversations._requests import (
    idempotency_key,
    is_descending,
    missing,
    read_body,
    read_items,
    read_limit,
    read_metadata,
    shown_metadata,
)
from faceplate.integrations.web import UserRunner
from faceplate.records import Conversation
from faceplate.services import conversations, messages, tool_calls
from faceplate.services.messages import NewMessage

SignIn = Callable[[Request], Awaitable[UUID | str | None]]
Handler = Callable[[UserRunner, Request], Awaitable[JsonObject]]

_BODY: Final = "faceplate.body"
"""In a request's scope: its JSON, once it was read."""


class Endpoints:
    """The endpoints over a Database, or over the one that the lifespan has opened."""

    def __init__(self, db: Database | None, sign_in: SignIn) -> None:
        self._db = db
        self._sign_in = sign_in
        self._subjects: Subjects | None = None

    def routes(self) -> list[Route]:
        chats = "/v1/conversations"
        chat = chats + "/{conversation_id}"
        endpoints: list[tuple[str, str, Handler]] = [
            ("POST", chats, _create),
            ("GET", chat, _retrieve),
            ("POST", chat, _update),
            ("DELETE", chat, _delete),
            ("POST", f"{chat}/items", _create_items),
            ("GET", f"{chat}/items", _list_items),
            ("GET", f"{chat}/items/{{item_id}}", _retrieve_item),
            ("DELETE", f"{chat}/items/{{item_id}}", _delete_item),
        ]
        return [
            Route("/openapi.json", _describe, include_in_schema=False),
            *(Route(path, self._for_user(run), methods=[verb]) for verb, path, run in endpoints),
        ]

    def _for_user(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            db = self._db or getattr(request.state, "faceplate", None)
            if not isinstance(db, Database):
                raise UsageError(
                    "no database is open: give the outer application the lifespan as well"
                )
            who = await self._sign_in(request)
            if who is None:
                raise HTTPException(HTTPStatus.UNAUTHORIZED, "Incorrect API key provided.")

            def answer(user_id: UUID) -> Awaitable[JsonObject]:
                return handler(UserRunner(db, user_id), request)

            if isinstance(who, UUID):
                return json_response(await answer(who))
            subjects = self._subjects_in(db)
            return json_response(await subjects.call(subjects.ensure, who, answer))

        return endpoint

    def _subjects_in(self, db: Database) -> Subjects:
        if self._subjects is None or self._subjects.db is not db:  # the lifespan has opened another
            self._subjects = Subjects(db)
        return self._subjects


async def _describe(_request: Request) -> Response:
    return json_response(DOCUMENT)


async def _create(runner: UserRunner, request: Request) -> JsonObject:
    body = await _body(runner, request, "items", "metadata")
    items, metadata = read_items(body, is_required=False), read_metadata(body)
    once = _once(request)
    key = f"idempotency-key {once}" if once else uuid7().hex
    conversation_id = conversations.id_of(runner.user_id, source=_ids.SOURCE, key=key)
    batch = _messages(conversation_id, items, once)
    if batch:
        return _resource(await runner.run(_units.create, key, metadata, batch))
    made = await runner.run(conversations.open, source=_ids.SOURCE, key=key, metadata=metadata)
    _units.check_same(made, metadata)
    return _resource(made)


async def _retrieve(runner: UserRunner, request: Request) -> JsonObject:
    return _resource(await runner.run(conversations.get, _conversation_id(runner, request)))


async def _update(runner: UserRunner, request: Request) -> JsonObject:
    body = await _body(runner, request, "metadata")
    if "metadata" not in body:
        raise missing("metadata")
    metadata = read_metadata(body)
    request.scope[MAY_REPEAT] = True
    return _resource(await runner.run(_units.update, _conversation_id(runner, request), metadata))


async def _delete(runner: UserRunner, request: Request) -> JsonObject:
    request.scope[MAY_REPEAT] = True
    await runner.run(conversations.delete, _conversation_id(runner, request))
    deleted = request.path_params["conversation_id"]
    return {"id": deleted, "object": "conversation.deleted", "deleted": True}


async def _create_items(runner: UserRunner, request: Request) -> JsonObject:
    items = read_items(await _body(runner, request, "items"), is_required=True)
    conversation_id = _conversation_id(runner, request)
    batch = _messages(conversation_id, items, _once(request))
    if not batch:
        await runner.run(conversations.get, conversation_id)
        return _list([], has_more=False)
    request.scope[MAY_REPEAT] |= all(map(_ids.own_id, items))
    position = await _append(runner, conversation_id, batch)
    if position in (None, 1):
        await _entitle(runner, conversation_id, batch)
    answered = [
        resource(item, _ids.own_id(item) or _ids.minted(message.id, item))
        for item, message in zip(items, batch, strict=True)
        if message.id is not None
    ]
    return _list(answered, has_more=False)


async def _list_items(runner: UserRunner, request: Request) -> JsonObject:
    found, has_more = await runner.run(
        _units.page,
        _conversation_id(runner, request),
        after=request.query_params.get("after"),
        limit=read_limit(request),
        descending=is_descending(request),
    )
    last = found[-1].cursor if found else ""
    return _list([item.answered() for item in found], has_more=has_more) | {"last_id": last}


async def _retrieve_item(runner: UserRunner, request: Request) -> JsonObject:
    item_id = request.path_params["item_id"]
    found = await runner.run(_units.get, _conversation_id(runner, request), item_id)
    return found.answered()


async def _delete_item(runner: UserRunner, request: Request) -> JsonObject:
    item_id = request.path_params["item_id"]
    request.scope[MAY_REPEAT] = True
    return _resource(await runner.run(_units.remove, _conversation_id(runner, request), item_id))


async def _body(runner: UserRunner, request: Request, *fields: str) -> JsonObject:
    if _BODY not in request.scope:  # a second attempt has no more to read
        max_bytes = runner.db.settings.max_body_mb << 20
        request.scope[_BODY] = await read_body(request, max_bytes=max_bytes, fields=fields)
    body: JsonObject = request.scope[_BODY]
    return body


def _once(request: Request) -> str | None:
    """Return the Idempotency-Key, and note whether the client may send the request again."""
    key = idempotency_key(request)
    request.scope[MAY_REPEAT] = key is not None
    return key


def _conversation_id(runner: UserRunner, request: Request) -> UUID:
    return _ids.read_conversation_id(runner.user_id, request.path_params["conversation_id"])


def _messages(
    conversation_id: UUID, items: Sequence[JsonObject], once: str | None
) -> list[NewMessage]:
    """Return the messages of items. A retry of the request gives them the same ids."""
    batch = []
    for number, item in enumerate(items):
        if own := _ids.own_id(item):
            id_ = _ids.derived(conversation_id, own)
        elif once is not None:
            id_ = _ids.of_attempt(conversation_id, once, number)
        else:
            id_ = uuid7()
        batch.append(new_message(item, id=id_))
    return batch


async def _append(
    runner: UserRunner, conversation_id: UUID, batch: Sequence[NewMessage]
) -> int | None:
    """Append messages; return the position of the first, or None where it is not known."""
    chars = sum(len(message.body or "") for message in batch)
    if chars > messages.MAX_BATCH_CHARS or not tool_calls.answers_itself(batch):
        await runner.run(append_linked, conversation_id, batch)
        return None
    if len(batch) == 1:
        new: dict[str, Any] = batch[0]._asdict()
        return (await runner.run(messages.append, conversation_id, **new)).position
    return (await runner.run(messages.append_many, conversation_id, batch))[0].position


async def _entitle(runner: UserRunner, conversation_id: UUID, batch: Sequence[NewMessage]) -> None:
    """Set the title by the first items. They are stored, so no error may have them sent again."""
    title = _units.title_of(batch)
    if title != _units.DEFAULT_TITLE:
        with suppress(FaceplateError):  # which is logged
            await runner.run(_units.entitle, conversation_id, title)


def _resource(conversation: Conversation) -> JsonObject:
    return {
        "id": _ids.named(conversation),
        "object": "conversation",
        "created_at": int(conversation.created_at.timestamp()),
        "metadata": shown_metadata(conversation.metadata),
    }


def _list(items: Sequence[JsonObject], *, has_more: bool) -> JsonObject:
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }
