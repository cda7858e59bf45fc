"""Isolation: no unit, no forgotten filter and no raw SQL reaches what is somebody else's.

Every unit is run by one user with the ids of another: with everything in force, under the policies
of the database alone, under the owner that `Scope` adds alone, and, to show that the others prove
something, without either. The ORM and raw SQL have files of their own.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from tests.integration.conftest import World
from tests.units import (
    DOCUMENT_KIND,
    OWNED,
    SETTLED,
    SOURCE,
    Belongings,
    calls,
    config_of,
    conversation_of,
    message_of,
    nobodys,
    results,
    statements,
    task_of,
    units,
    user_of,
)

from faceplate import (
    Conflict,
    Conversation,
    DatabaseError,
    Document,
    FaceplateError,
    InvalidInput,
    McpConfig,
    Message,
    NotFound,
    Scope,
    Task,
    Unauthorized,
    UsageError,
    User,
)
from faceplate._orm.ownership import OWNER
from faceplate.services import (
    archives,
    conversation_statements,
    conversations,
    messages,
    retention,
    tasks,
    users,
)
from faceplate.services.chats import NewChat
from faceplate.services.messages import NewMessage
from faceplate.services.retention import EARLIEST, LATEST
from faceplate.statement import USER_PARAMETERS

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Given(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def given(*args: Any, **kwargs: Any) -> Given:
    return Given(args, kwargs)


@dataclass(frozen=True)
class Attempt:
    """A unit is called with what is somebody else's."""

    given: Callable[[Belongings], Given]
    missing: type[Any] | None = None
    """The record that is not found, if that is the answer."""
    refusals: tuple[type[FaceplateError], ...] = ()
    """What else may be the answer."""
    own: Callable[[Any, Belongings], bool] = lambda _result, _mine: False
    """Whether a result is the caller's own."""


def in_conversation(*args: Any, missing: type[Any] = Conversation, **kwargs: Any) -> Attempt:
    return Attempt(lambda their: given(their.conversation_id, *args, **kwargs), missing)


def of_config(*args: Any) -> Attempt:
    return Attempt(lambda their: given(their.config_id, *args), McpConfig)


def of_document(*args: Any, **kwargs: Any) -> Attempt:
    return Attempt(
        lambda their: given(DOCUMENT_KIND, their.document_key, *args, **kwargs), Document
    )


def of_task(**kwargs: Any) -> Attempt:
    return Attempt(lambda their: given(their.task_id, **kwargs), Task)


def own_page(name: str) -> Attempt:
    return Attempt(
        lambda _: given(),
        own=lambda page, mine: [row.id for row in page.items] == [getattr(mine, name)],
    )


REFUSED = (NotFound, Unauthorized, Conflict)
NO_NEW_USERS = (*REFUSED, UsageError)
"""No unit of a user makes one; under the policies alone it is the database that says so."""

ATTEMPTS = {
    "conversations.create": Attempt(
        lambda their: given(id=their.conversation_id, title="mine"),
        own=lambda made, _: (made.title, made.message_count) == ("mine", 0),
    ),
    "conversations.get": in_conversation(),
    "conversations.open": Attempt(
        lambda their: given(source=SOURCE, key=their.subject_id, title="mine"),
        own=lambda made, mine: (
            (made.title, made.message_count) == ("mine", 0)
            and made.id == conversations.id_of(mine.user_id, source=SOURCE, key=made.key)
        ),
    ),
    "conversations.page": own_page("conversation_id"),
    "conversations.search": Attempt(
        lambda _: given("a"),
        own=lambda page, mine: {row.id for row in page.items} <= {mine.conversation_id},
    ),
    "conversations.rename": in_conversation("stolen"),
    "conversations.replace_metadata": in_conversation({"stolen": True}),
    "conversations.replace_body": in_conversation('"stolen"'),
    "conversations.lock": in_conversation(),
    "conversations.switch": in_conversation(1),
    "conversations.fork": in_conversation(),
    "conversations.delete": in_conversation(),
    "chats.store": Attempt(
        lambda their: given([NewChat(their.conversation_id, "mine", [NewMessage("user", "mine")])]),
        own=lambda stored, _: len(stored) == 1,
    ),
    "messages.append": in_conversation(role="user", content="intruding"),
    "messages.append_many": in_conversation([NewMessage("user", "intruding")]),
    "messages.append_draft": in_conversation(),
    "messages.ask": in_conversation(role="user", content="intruding"),
    "messages.save_draft": Attempt(
        lambda their: given(
            their.conversation_id, their.draft_id, content="stolen", status="complete"
        ),
        Message,
    ),
    "messages.search": Attempt(
        lambda _: given("a"),
        own=lambda page, mine: (
            {row.conversation_id for row in page.items} <= {mine.conversation_id}
        ),
    ),
    "messages.get": Attempt(lambda their: given(their.conversation_id, their.message_id), Message),
    "messages.history": in_conversation(),
    "messages.before": in_conversation(2),
    "messages.after": in_conversation(0),
    "messages.page": in_conversation(),
    "messages.everything": in_conversation(),
    "messages.bodies": in_conversation(),
    "messages.walk": in_conversation(),
    "messages.branches": in_conversation(1),
    "messages.branches_at": in_conversation([1, 2]),
    "messages.pending_tool_calls": in_conversation(),
    "messages.replace": Attempt(
        lambda their: given(their.conversation_id, their.message_id, role="user", content="stolen"),
        Message,
    ),
    "messages.remove": Attempt(
        lambda their: given(their.conversation_id, their.message_id), Conversation
    ),
    "messages.remove_one": Attempt(
        lambda their: given(their.conversation_id, their.message_id), Conversation
    ),
    "messages.remove_after": in_conversation(0),
    "messages.remove_last": in_conversation(),
    "tasks.create": Attempt(
        lambda their: given(id=their.task_id, title="mine"),
        own=lambda made, _: made.title == "mine",
    ),
    "tasks.get": of_task(),
    "tasks.page": own_page("task_id"),
    "tasks.edit": of_task(title="stolen"),
    "tasks.complete": of_task(),
    "tasks.reopen": of_task(),
    "tasks.delete": of_task(),
    "mcp_configs.put": Attempt(
        lambda their: given(their.config_name, {"command": "stolen"}, secrets={}),
        own=lambda put, _: put.config == {"command": "stolen"},
    ),
    "mcp_configs.get": of_config(),
    "mcp_configs.by_name": Attempt(lambda their: given(their.config_name), McpConfig),
    "mcp_configs.get_secrets": of_config(),
    "mcp_configs.page": own_page("config_id"),
    "mcp_configs.rename": of_config("stolen"),
    "mcp_configs.enable": of_config(),
    "mcp_configs.disable": of_config(),
    "mcp_configs.delete": of_config(),
    "documents.put": Attempt(
        lambda their: given(DOCUMENT_KIND, their.document_key, '"mine"'),
        own=lambda version, _: version == 1,
    ),
    "documents.get": of_document(),
    "documents.lock": of_document(),
    "documents.update": of_document('"stolen"', version=1),
    "documents.page": Attempt(
        lambda _: given(DOCUMENT_KIND),
        own=lambda page, mine: [row.key for row in page.items] == [mine.document_key],
    ),
    "documents.remove": of_document(),
    "archives.holdings": Attempt(
        lambda _: given(),
        own=lambda held, _: SETTLED.items() <= held.items(),
    ),
    "archives.tables": Attempt(lambda _: given(), own=lambda found, _: {*OWNED} <= {*found}),
    "archives.walk": Attempt(
        lambda _: given(),
        own=lambda items, mine: (
            (items[0].id, len(items)) == (mine.user_id, 1 + sum(SETTLED.values()))
        ),
    ),
    "archives.restore_conversation": Attempt(
        lambda their: given(conversation_of(their), [[message_of(their)]]),
        own=lambda is_new, _: is_new,
    ),
    "archives.restore_row": Attempt(
        lambda their: given(task_of(their)), own=lambda is_new, _: is_new
    ),
    "archives.restore_task": Attempt(
        lambda their: given(task_of(their)), own=lambda is_new, _: is_new
    ),
    "archives.restore_mcp_config": Attempt(
        lambda their: given(config_of(their)), own=lambda is_new, _: is_new
    ),
    "retention.remove_conversations": Attempt(
        lambda _: given(), own=lambda removed, _: removed[:2] == (1, 3)
    ),
    "retention.remove_rows": Attempt(
        lambda _: given("tasks"), own=lambda ids, mine: ids == [mine.task_id]
    ),
    "usage.record": Attempt(
        lambda their: given(their.conversation_id, their.message_id, model="stolen"), Message
    ),
    "usage.by_day": Attempt(
        lambda their: given(since=EARLIEST[0], conversation_id=their.conversation_id), Conversation
    ),
    "usage.by_conversation": Attempt(
        lambda _: given(since=EARLIEST[0]),
        own=lambda page, mine: [row[0] for row in page.items] == [mine.conversation_id],
    ),
    # Units across users. A type checker refuses them here; should one slip through all the same:
    "mcp_configs.count_secrets": Attempt(lambda _: given(), own=lambda count, _: count == 1),
    "mcp_configs.rotate_secrets": Attempt(
        lambda _: given(), own=lambda done, mine: done == [(mine.user_id, mine.config_id)]
    ),
    "messages.sweep_drafts": Attempt(
        lambda _: given(older_than=timedelta(0)), own=lambda count, _: count == 1
    ),
    "archives.restore_user": Attempt(lambda their: given(user_of(their)), refusals=NO_NEW_USERS),
    "retention.idle_since": Attempt(
        lambda _: given(timedelta(0)), own=lambda moment, _: isinstance(moment, datetime)
    ),
    "retention.idle_users": Attempt(
        lambda _: given(LATEST), own=lambda idle, mine: idle == [(mine.user_id, 1, 3)]
    ),
    "retention.idle_rows": Attempt(
        lambda _: given("tasks", LATEST), own=lambda idle, mine: idle == [(mine.user_id, 1)]
    ),
    "users.create": Attempt(
        lambda their: given(subject_id=their.subject_id, email=their.email), refusals=NO_NEW_USERS
    ),
    "users.ensure": Attempt(
        lambda their: given(their.subject_id, email="stolen@example.com"), refusals=NO_NEW_USERS
    ),
    "users.get": Attempt(lambda their: given(their.user_id), User),
    "users.page": Attempt(
        lambda _: given(limit=200),
        own=lambda page, mine: [row.id for row in page] == [mine.user_id],
    ),
    "users.by_subject": Attempt(lambda their: given(their.subject_id), User),
    "users.by_email": Attempt(lambda their: given(their.email), User),
    "users.change_email": Attempt(lambda their: given(their.user_id, None), refusals=REFUSED),
    "users.delete": Attempt(lambda their: given(their.user_id), refusals=REFUSED),
}


def runnable(name: str) -> Callable[..., Awaitable[Any]]:
    unit = units()[name]
    if not name.endswith(".walk"):
        return unit

    async def walk(scope: Scope, *args: Any) -> list[Any]:
        return [item async for item in unit(scope, *args)]

    return walk


async def test_no_unit_is_forgotten() -> None:
    """A new unit is tried by somebody else before anybody relies on it."""
    assert ATTEMPTS.keys() == units().keys()


async def test_every_statement_has_an_owner_until_it_is_taken_out(
    without_criterion: Callable[[], None],
) -> None:
    """Were it not gone, the runs without it would show nothing."""
    new_users = (users.CREATE, users.CREATE_ONCE, archives.RESTORE_USER)
    for statement in statements():
        if statement in new_users:
            with pytest.raises(UsageError, match=r"users\.id is the scope's user"):
                assert statement.compiled
        elif statement not in (retention.IDLE_SINCE, archives.PRESENT):
            assert statement.compiled.filled
    without_criterion()
    for statement in statements():
        assert OWNER not in statement.compiled.arguments
    assert "user_id =" not in conversation_statements.GET.compiled.sql


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_no_unit_reaches_another_users_rows(world: World, name: str) -> None:
    attempt, unit = ATTEMPTS[name], runnable(name)

    async def answer(to: Belongings) -> Any:
        args, kwargs = attempt.given(to)
        return await world.db.run(world.mine.user_id, unit, *args, **kwargs)

    if attempt.missing is not None:
        with pytest.raises(NotFound) as theirs:
            await answer(world.theirs)
        with pytest.raises(NotFound) as nobody:
            await answer(nobodys())
        assert theirs.value.record is nobody.value.record is attempt.missing
        assert str(theirs.value) == str(nobody.value)
    elif attempt.refusals:
        with pytest.raises(attempt.refusals):
            await answer(world.theirs)
    else:
        assert attempt.own(await answer(world.theirs), world.mine)


@pytest.mark.citus_may_refuse("without the user in it, it has no shard")
@pytest.mark.parametrize("name", [name for name in ATTEMPTS if ATTEMPTS[name].missing])
async def test_without_any_layer_every_attempt_would_succeed(lawless: World, name: str) -> None:
    """Else the refusals above would prove nothing."""
    args, kwargs = ATTEMPTS[name].given(lawless.theirs)
    run = lawless.db.run(lawless.mine.user_id, runnable(name), *args, **kwargs)
    if name == "mcp_configs.get_secrets":  # encryption is a layer of its own
        with pytest.raises(DatabaseError, match="another row"):
            await run
    else:
        await run


async def test_a_call_of_somebody_else_cannot_be_answered(world: World) -> None:
    with pytest.raises(InvalidInput, match="matches no pending call"):
        await world.db.run(
            world.mine.user_id,
            messages.append,
            world.mine.conversation_id,
            role="tool",
            tool_results=results(world.theirs.call_id),
        )


async def test_a_conversation_of_the_same_id_is_ones_own(world: World) -> None:
    """A user who learns an id can make a conversation with it, and nothing more."""
    mine, id_ = world.mine.user_id, world.theirs.conversation_id
    await world.db.run(mine, conversations.create, id=id_)
    message = await world.db.run(
        mine,
        messages.append,
        id_,
        role="assistant",
        tool_calls=calls("a"),
        id=world.theirs.message_id,
    )
    assert message.position == 1
    assert await world.db.run(mine, messages.history, id_) == [message]
    told = await world.db.run(mine, messages.ask, id_, role="user")
    assert told == await world.db.run(mine, messages.history, id_)
    assert [each.position for each in told] == [1, 2]
    assert await world.db.run(mine, messages.remove_after, id_, 0) == 2
    await world.db.run(mine, conversations.delete, id_)


async def test_a_name_from_elsewhere_is_ones_own(world: World) -> None:
    """Two users may import the same chat: each has it, and sees their own of that source."""
    mine = world.mine.user_id
    named: dict[str, Any] = {"source": SOURCE, "key": world.theirs.subject_id}
    opened = await world.db.run(mine, conversations.open, **named)
    assert await world.db.run(mine, conversations.open, **named) == opened
    assert opened.id != world.theirs.conversation_id
    page = await world.db.run(mine, conversations.page, source=SOURCE)
    assert {chat.id for chat in page.items} == {opened.id, world.mine.conversation_id}
    await world.db.run(mine, conversations.delete, opened.id)


@pytest.mark.parametrize("name", USER_PARAMETERS)
async def test_a_unit_cannot_say_who_the_owner_is(world: World, name: str) -> None:
    async def forged(scope: Scope) -> Any:
        values = {"id": world.theirs.task_id, name: world.theirs.user_id}
        return await scope.all(tasks.GET, **values)

    with pytest.raises(UsageError, match=f"no parameter {name}"):
        await world.db.run(world.mine.user_id, forged)
