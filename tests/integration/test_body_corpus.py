"""The objects of other programs come back to the letter, or are refused before they are stored."""

import traceback
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from tests.bodies import BODIES, NOT_JSON
from tests.conversation_play import walked
from tests.databases import opened

from faceplate import Conflict, Database, FaceplateError, InvalidInput, Message, Settings, User
from faceplate.records import parse_body
from faceplate.services import conversations, messages
from faceplate.services.messages import NewMessage

MB = 1_048_576
BATCH = [NewMessage(body=body) for body in BODIES.values()]


def test_a_body_is_read_as_python_has_it() -> None:
    """Else each caller writes this, and one with a number of 5,000 digits fails for all of them."""
    body = '{"a": 1, "a": 1e22, "b": ' + "9" * 5_000 + ', "c": "\\ud800"}'
    assert parse_body(body) == {"a": 1e22, "b": Decimal("9" * 5_000), "c": "\ud800"}
    assert parse_body(None) is None


class Place(NamedTuple):
    """A user's conversation with one message, to store bodies in."""

    db: Database
    user_id: UUID
    conversation_id: UUID
    message_id: UUID

    async def run(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.db.run(self.user_id, unit, *args, **kwargs)


@pytest.fixture
async def place(db: Database, user: User) -> Place:
    chat = await db.run(user.id, conversations.create, body="{}")
    message = await db.run(user.id, messages.append, chat.id, role="user", content="a")
    return Place(db, user.id, chat.id, message.id)


Store = Callable[[Place, str], Awaitable[tuple[Any, Any]]]
"""Stores a body; returns the record that the unit returns, and the one that is read."""


async def append(place: Place, body: str) -> tuple[Any, Any]:
    told = await place.run(messages.append, place.conversation_id, body=body)
    return told, await place.run(messages.get, place.conversation_id, told.id)


async def append_with_a_role(place: Place, body: str) -> tuple[Any, Any]:
    told = await place.run(
        messages.append, place.conversation_id, role="assistant", content="a", body=body
    )
    return told, await place.run(messages.get, place.conversation_id, told.id)


async def append_many(place: Place, body: str) -> tuple[Any, Any]:
    new = [NewMessage(body=body), NewMessage("user", "a"), NewMessage(body=body)]
    told = await place.run(messages.append_many, place.conversation_id, new)
    assert (told[1].body, told[0].body) == (None, told[2].body)
    return told[0], await place.run(messages.get, place.conversation_id, told[0].id)


async def replace(place: Place, body: str) -> tuple[Any, Any]:
    told = await place.run(messages.replace, place.conversation_id, place.message_id, body=body)
    return told, await place.run(messages.get, place.conversation_id, place.message_id)


async def create(place: Place, body: str) -> tuple[Any, Any]:
    told = await place.run(conversations.create, body=body)
    return told, await place.run(conversations.get, told.id)


async def open_(place: Place, body: str) -> tuple[Any, Any]:
    named = {"source": "elsewhere", "key": str(hash(body))}
    told = await place.run(conversations.open, body=body, **named)
    return told, await place.run(conversations.open, **named)


async def replace_body(place: Place, body: str) -> tuple[Any, Any]:
    told = await place.run(conversations.replace_body, place.conversation_id, body)
    return told, await place.run(conversations.get, place.conversation_id)


STORES = {
    "append": append,
    "append with a role": append_with_a_role,
    "append_many": append_many,
    "replace": replace,
    "create": create,
    "open": open_,
    "replace_body": replace_body,
}
FIELD = dict.fromkeys(("create", "open", "replace_body"), "conversations.body")


@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
async def test_a_body_comes_back_to_the_letter(place: Place, store: Store) -> None:
    """Else a signature no longer fits, or an SDK reads another number than it wrote."""
    changed = []
    for name, body in BODIES.items():
        told, read = await store(place, body)
        if not told.body == read.body == body:
            changed.append(name)
    assert changed == []


async def every_path(place: Place) -> list[list[Message]]:
    """Return the messages as every unit that reads a path returns them."""
    id_, limit = place.conversation_id, 1000
    page = await place.run(messages.page, id_, limit=limit)
    return [
        await place.run(messages.history, id_, limit=limit),
        await place.run(messages.before, id_, len(BATCH) + 3, limit=limit),
        await place.run(messages.after, id_, 0, limit=limit),
        await place.run(walked, id_),
        page.items,
    ]


async def test_bodies_are_read_to_the_letter_from_every_path(place: Place) -> None:
    """A linear chat, a path that a branch ends, and a fork are read by different statements."""
    told = await place.run(messages.append_many, place.conversation_id, BATCH)
    for read in await every_path(place):
        assert read[1:] == told
    await place.run(messages.append, place.conversation_id, role="user", after=1, branch=True)
    await place.run(conversations.switch, place.conversation_id, len(told) + 1)
    fork = await place.run(conversations.fork, place.conversation_id)
    assert fork.body == "{}"
    for read in [
        *await every_path(place),
        *await every_path(place._replace(conversation_id=fork.id)),
    ]:
        changed = [
            name
            for (name, body), message in zip(BODIES.items(), read[1:], strict=True)
            if message.body != body
        ]
        assert changed == []


async def test_a_retry_with_another_body_is_no_retry(place: Place) -> None:
    """1 and 1.0 are different bodies, though they are equal numbers."""
    told = await place.run(messages.append, place.conversation_id, body="[1]")
    again = await place.run(messages.append, place.conversation_id, body="[1]", id=told.id)
    assert again == told
    for body in ("[1.0]", "[ 1]", None):
        with pytest.raises(Conflict):
            await place.run(
                messages.append, place.conversation_id, role="user", body=body, id=told.id
            )


async def state(place: Place) -> Any:
    chats = await place.run(conversations.page)
    return chats, await place.run(messages.history, place.conversation_id, limit=1000)


def shown(error: BaseException) -> str:
    """Return all that a log may hold of an error."""
    return f"{error!r} {''.join(traceback.format_exception(error))}"


@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
async def test_what_is_no_json_is_refused_by_name(
    place: Place, store: Store, request: pytest.FixtureRequest
) -> None:
    """Else it is found by the program that reads it, which may be years later."""
    field = FIELD.get(request.node.callspec.id, "messages.body")
    before, ends = await state(place), {}
    for name, body in NOT_JSON.items():
        ends[name] = "was stored"
        try:
            await store(place, body)
        except FaceplateError as error:
            ends[name] = error.field if isinstance(error, InvalidInput) else repr(error)
    assert ends == dict.fromkeys(NOT_JSON, field)
    assert await state(place) == before


@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
async def test_no_error_and_no_repr_shows_a_body(place: Place, store: Store) -> None:
    """Else what people write ends up in a log."""
    secret = "diary of somebody"
    told, read = await store(place, f'{{"a": "{secret}"}}')
    assert secret not in f"{told!r} {read!r}"
    for flawed in (f'{{"{secret}', f'"{secret}\x00"', f'"{secret}\n"', f'{{"{secret}": nul}}'):
        with pytest.raises(InvalidInput) as refusal:
            await store(place, flawed)
        assert secret not in shown(refusal.value)
    assert secret not in repr(NewMessage(body=f'"{secret}"'))


@pytest.mark.parametrize("store", STORES.values(), ids=STORES.keys())
async def test_a_body_beyond_the_limit_is_refused(
    settings: Settings, place: Place, store: Store
) -> None:
    """Else one message takes the memory of everybody who reads its page."""
    async with opened(settings, max_body_mb=1) as db:
        small = place._replace(db=db)
        fits = f'"{"x" * (MB - 2)}"'
        told, _ = await store(small, fits)
        assert told.body == fits
        with pytest.raises(InvalidInput, match="at most 1 MB") as refusal:
            await store(small, f"{fits} ")
        assert "xxx" not in shown(refusal.value)
