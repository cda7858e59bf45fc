"""Whatever text and JSON people and models come up with is stored as it is, or refused by name.

What is refused never reaches the wire: every statement that a connection sends is logged, and
after a refusal the log has a BEGIN and a ROLLBACK, and nothing in between.
"""

import logging
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.units import calls, results
from uuid6 import uuid7

from faceplate import Database, InvalidInput, Settings, SystemScope, User
from faceplate.services import conversations, mcp_configs, messages, tasks, users
from faceplate.services.messages import NewMessage

many = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Place(NamedTuple):
    """Where values go: a user with a conversation, a task and a configuration to change."""

    db: Database
    user_id: UUID
    conversation_id: UUID
    task_id: UUID
    config_id: UUID

    async def run(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        return await self.db.run(self.user_id, unit, *args, **kwargs)


@pytest.fixture
async def place(keyed: Database, user: User) -> AsyncIterator[Place]:
    logging = Settings(
        database_url=keyed.settings.database_url,
        encryption_keys=keyed.settings.encryption_keys,
        log_sql=True,
    )
    async with Database(logging) as db:
        conversation = await db.run(user.id, conversations.create)
        task = await db.run(user.id, tasks.create, title="a")
        config = await db.run(user.id, mcp_configs.put, "a", {"command": "uvx"})
        yield Place(db, user.id, conversation.id, task.id, config.id)


Sent = Callable[[], list[str]]


@pytest.fixture
def sent(caplog: pytest.LogCaptureFixture) -> Sent:
    """What was sent since the last call."""
    caplog.set_level(logging.INFO, "faceplate.sql")

    def take() -> list[str]:
        statements = [record.getMessage().partition(": ")[2] for record in caplog.records]
        caplog.clear()
        # On a slow machine a connection may sit idle long enough to be pinged.
        return [statement for statement in statements if statement != "SELECT 1"]

    return take


Store = Callable[[Place, Any], Awaitable[Any]]


async def refused(store: Store, place: Place, value: Any, sent: Sent) -> str:
    """The field that a value is refused for, without a word of it to the server."""
    sent()
    with pytest.raises(InvalidInput) as refusal:
        await store(place, value)
    assert sent() == []
    assert refusal.value.sqlstate is None
    return refusal.value.field


# Text

AWKWARD = (
    "\x00\x01\x1b\x7f\t\n \u00a0\u200b\u2028\u202e\ud800\udfff\ufffe\ufeff\U0010ffff"
    "'\"\\%${}:@éß中🙂"
)
texts = st.one_of(
    st.text(),
    st.text(AWKWARD, max_size=8),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=4),
)
emails = st.one_of(texts, st.builds("{}@{}".format, st.text(max_size=9), st.text(max_size=9)))


def is_storable_text(value: str) -> bool:
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value)


class TextField(NamedTuple):
    name: str
    max_chars: int
    store: Store
    blank: bool = False
    strategy: st.SearchStrategy[str] = texts
    pattern: str = r"(?s).*"

    def accepts(self, value: str) -> bool:
        fits = len(value) <= self.max_chars and re.fullmatch(self.pattern, value)
        return bool(fits and (self.blank or value.strip())) and is_storable_text(value)


async def _make_user(scope: SystemScope, /, **given: Any) -> User:
    """Make a user, read it, and delete it, so that the next example may be the same."""
    made = await users.create(scope, **given)
    found = await users.get(scope, made.id)
    await users.delete(scope, made.id)
    return found


async def store_subject(place: Place, value: Any) -> Any:
    return (await place.db.run_system(_make_user, subject_id=value)).subject_id


async def store_email(place: Place, value: Any) -> Any:
    return (await place.db.run_system(_make_user, subject_id=str(uuid7()), email=value)).email


async def store_title(place: Place, value: Any) -> Any:
    made = await place.run(conversations.create, title=value)
    return (await place.run(conversations.get, made.id)).title


async def rename_conversation(place: Place, value: Any) -> Any:
    await place.run(conversations.rename, place.conversation_id, value)
    return (await place.run(conversations.get, place.conversation_id)).title


async def append(place: Place, value: Any) -> Any:
    made = await place.run(messages.append, place.conversation_id, role="user", content=value)
    return (await place.run(messages.get, place.conversation_id, made.id)).content


async def append_many(place: Place, value: Any) -> Any:
    batch = [NewMessage("user", "a"), NewMessage("user", value)]
    await place.run(messages.append_many, place.conversation_id, batch)
    return (await place.run(messages.history, place.conversation_id, limit=1))[0].content


async def store_task_title(place: Place, value: Any) -> Any:
    made = await place.run(tasks.create, title=value)
    return (await place.run(tasks.get, made.id)).title


async def store_description(place: Place, value: Any) -> Any:
    made = await place.run(tasks.create, title="a", description=value)
    return (await place.run(tasks.get, made.id)).description


async def edit_description(place: Place, value: Any) -> Any:
    await place.run(tasks.edit, place.task_id, description=value)
    return (await place.run(tasks.get, place.task_id)).description


async def put_name(place: Place, value: Any) -> Any:
    await place.run(mcp_configs.put, value, {"command": "uvx"})
    return (await place.run(mcp_configs.by_name, value)).name


async def rename_config(place: Place, value: Any) -> Any:
    await place.run(mcp_configs.rename, place.config_id, value)
    return (await place.run(mcp_configs.get, place.config_id)).name


TEXT_FIELDS = {
    "subject": TextField("users.subject_id", 255, store_subject),
    "email": TextField("users.email", 320, store_email, strategy=emails, pattern=r"\S+@[^\s@]+"),
    "title": TextField("conversations.title", 255, store_title),
    "title renamed": TextField("conversations.title", 255, rename_conversation),
    "content": TextField("messages.content", 1_000_000, append, blank=True),
    "content of many": TextField("messages.content", 1_000_000, append_many, blank=True),
    "task title": TextField("tasks.title", 500, store_task_title),
    "description": TextField("tasks.description", 5_000, store_description, blank=True),
    "description edited": TextField("tasks.description", 5_000, edit_description, blank=True),
    "config name": TextField("mcp_configs.name", 100, put_name),
    "config renamed": TextField("mcp_configs.name", 100, rename_config),
}


@pytest.mark.parametrize("field", TEXT_FIELDS.values(), ids=TEXT_FIELDS.keys())
@many
@given(data=st.data())
async def test_text_comes_back_equal_or_is_refused_before_the_wire(
    place: Place, sent: Sent, field: TextField, data: st.DataObject
) -> None:
    value = data.draw(field.strategy)
    if field.accepts(value):
        assert await field.store(place, value) == value
    else:
        assert await refused(field.store, place, value, sent) == field.name


@pytest.mark.parametrize("field", TEXT_FIELDS.values(), ids=TEXT_FIELDS.keys())
async def test_text_may_be_as_long_as_promised_and_no_longer(
    place: Place, sent: Sent, field: TextField
) -> None:
    longest = "🙂" * field.max_chars  # four bytes each: characters are what is promised
    if field.name == "users.email":
        longest = longest[2:] + "@b"
    assert await field.store(place, longest) == longest
    assert await refused(field.store, place, f"a{longest}", sent) == field.name


@pytest.mark.parametrize("field", TEXT_FIELDS.values(), ids=TEXT_FIELDS.keys())
@pytest.mark.parametrize("value", [7, b"bytes", ["a"], {"a": 1}, 1.5, True])
async def test_what_is_no_text_is_not_made_into_one(
    place: Place, sent: Sent, field: TextField, value: Any
) -> None:
    assert await refused(field.store, place, value, sent) == field.name


# JSON

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats(2.0**53, 2.0**64),
    texts,
)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
no_json = st.one_of(
    st.binary(), st.dates(), st.uuids(), st.decimals(), st.tuples(), st.sets(st.integers())
)


def is_written_as_another(value: float) -> bool:
    """The server would write out the digits, and they read as an integer that is not equal."""
    return 2**53 < abs(value) < 2**64 and int(Decimal(repr(value))) != value


def is_storable(value: Any) -> bool:
    match value:
        case dict():
            return all(map(is_storable, [*value.keys(), *value.values()]))
        case list():
            return all(map(is_storable, value))
        case str():
            return is_storable_text(value)
        case float():
            return math.isfinite(value) and not is_written_as_another(value)
        case int():
            return -(2**63) <= value < 2**64
    return value is None


class JsonField(NamedTuple):
    name: str
    store: Store
    is_whole: bool = True
    """Whether the value is all of the field, or stands within what the field must look like."""

    def accepts(self, value: Any) -> bool:
        return is_storable(value) and (isinstance(value, dict) or not self.is_whole)


async def create_metadata(place: Place, value: Any) -> Any:
    made = await place.run(conversations.create, metadata=value)
    return (await place.run(conversations.get, made.id)).metadata


async def replace_metadata(place: Place, value: Any) -> Any:
    await place.run(conversations.replace_metadata, place.conversation_id, value)
    return (await place.run(conversations.get, place.conversation_id)).metadata


async def append_metadata(place: Place, value: Any) -> Any:
    made = await place.run(messages.append, place.conversation_id, role="user", metadata=value)
    return (await place.run(messages.get, place.conversation_id, made.id)).metadata


async def append_many_metadata(place: Place, value: Any) -> Any:
    batch = [NewMessage("user"), NewMessage("user", metadata=value)]
    await place.run(messages.append_many, place.conversation_id, batch)
    return (await place.run(messages.history, place.conversation_id, limit=1))[0].metadata


async def append_call(place: Place, value: Any) -> Any:
    call = calls(str(uuid7()))[0] | {"extra": value}
    made = await place.run(
        messages.append, place.conversation_id, role="assistant", tool_calls=[call]
    )
    stored = (await place.run(messages.get, place.conversation_id, made.id)).tool_calls
    return stored[0]["extra"]


async def append_result(place: Place, value: Any) -> Any:
    id_ = str(uuid7())
    turn = [
        NewMessage("assistant", tool_calls=calls(id_)),
        NewMessage("tool", tool_results=[results(id_)[0] | {"content": value}]),
    ]
    await place.run(messages.append_many, place.conversation_id, turn)
    (stored,) = await place.run(messages.history, place.conversation_id, limit=1)
    return stored.tool_results[0]["content"]


async def put_config(place: Place, value: Any) -> Any:
    made = await place.run(mcp_configs.put, "a", {"command": "uvx", "extra": value})
    return (await place.run(mcp_configs.get, made.id)).config["extra"]


async def put_secrets(place: Place, value: Any) -> Any:
    made = await place.run(mcp_configs.put, "a", {"command": "uvx"}, secrets={"extra": value})
    return (await place.run(mcp_configs.get_secrets, made.id))["extra"]


JSON_FIELDS = {
    "metadata": JsonField("conversations.metadata", create_metadata),
    "metadata replaced": JsonField("conversations.metadata", replace_metadata),
    "metadata of a message": JsonField("messages.metadata", append_metadata),
    "metadata of many": JsonField("messages.metadata", append_many_metadata),
    "tool call": JsonField("messages.tool_calls", append_call, is_whole=False),
    "tool result": JsonField("messages.tool_results", append_result, is_whole=False),
    "config": JsonField("mcp_configs.config", put_config, is_whole=False),
    "secrets": JsonField("mcp_configs.secrets", put_secrets, is_whole=False),
}


@pytest.mark.parametrize("field", JSON_FIELDS.values(), ids=JSON_FIELDS.keys())
@many
@given(data=st.data())
async def test_json_comes_back_equal_or_is_refused_before_the_wire(
    place: Place, sent: Sent, field: JsonField, data: st.DataObject
) -> None:
    objects = st.dictionaries(texts, json_values, max_size=4)
    value = data.draw(st.one_of(objects, json_values.filter(lambda drawn: drawn is not None)))
    if field.accepts(value):
        assert await field.store(place, value) == value
    else:
        assert await refused(field.store, place, value, sent) == field.name


@pytest.mark.parametrize("field", JSON_FIELDS.values(), ids=JSON_FIELDS.keys())
@settings(many, max_examples=15)
@given(value=no_json)
async def test_what_is_no_json_is_not_made_into_it(
    place: Place, sent: Sent, field: JsonField, value: Any
) -> None:
    for flawed in ({"a": [value]}, {7: 1}, {None: 1}):
        assert await refused(field.store, place, flawed, sent) == field.name


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("field", JSON_FIELDS.values(), ids=JSON_FIELDS.keys())
async def test_json_may_be_as_deep_and_as_large_as_promised(
    place: Place, sent: Sent, field: JsonField
) -> None:
    """What is stored too deep can never be read again, and takes its whole page along."""
    deepest = nested(28)
    assert await field.store(place, deepest) == deepest
    widest = {"a": [0] * 9_900}
    assert await field.store(place, widest) == widest
    for beyond in (
        nested(2_000),
        {"a": [0] * 20_000},
        {"a": "x" * 1_000_001},
        {"x" * 1_000_001: 0},
    ):
        assert await refused(field.store, place, beyond, sent) == field.name


class Colour(StrEnum):
    RED = "red"


class Count(IntEnum):
    TWO = 2


class Metres(float):
    pass


class Own(dict[str, int]):
    pass


@pytest.mark.parametrize("inner", [Colour.RED, Metres(1.5), Own(a=1), Count.TWO])
async def test_subclasses_of_json_types_are_stored_as_those(place: Place, inner: Any) -> None:
    """An error of the encoder would be one that no handler is ready for."""
    assert await create_metadata(place, {"a": [inner]}) == {"a": [inner]}


async def test_a_key_that_only_looks_like_text_is_refused_by_name(place: Place, sent: Sent) -> None:
    field = await refused(create_metadata, place, {Colour.RED: 1}, sent)
    assert field == "conversations.metadata"
