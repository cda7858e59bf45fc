"""How each unit that writes is called, the shipped ones and a few of a user's own."""

import contextlib
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Identity, Integer, MetaData, Table, Text, Uuid, bindparam
from tests.units import (
    DOCUMENT_KIND,
    SOURCE,
    Belongings,
    calls,
    config_of,
    conversation_of,
    message_of,
    nobodys,
    results,
    task_of,
    units,
    user_of,
)

from faceplate import Conflict, Scope, SystemScope, one_statement
from faceplate.models import Conversation, Task
from faceplate.services import _appending, append_statements, conversations
from faceplate.services.chats import NewChat
from faceplate.services.conversations import NewConversation
from faceplate.services.messages import NewMessage
from faceplate.statement import Statement

TABLES = """
    CREATE TABLE public.notes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid NOT NULL, body text
    );
    CREATE TABLE public.counters (user_id uuid PRIMARY KEY, n int NOT NULL);
    CREATE FUNCTION public.note(author uuid, words text) RETURNS int LANGUAGE sql AS
        'INSERT INTO public.notes (user_id, body) VALUES (author, words) RETURNING 1';
    GRANT SELECT, INSERT, UPDATE ON public.notes, public.counters TO faceplate_app;
"""
"""What a user's own units write to: keys of the server's making, and sums."""

GIVEN_IDS = tuple(UUID(int=number) for number in (7, 8, 9))
"""Ids that a plan gives, and no unit makes."""

_public = MetaData(schema="public")
notes = Table(
    "notes",
    _public,
    Column("id", BigInteger, Identity(always=True)),
    Column("user_id", Uuid),
    Column("body", Text),
)
counters = Table("counters", _public, Column("user_id", Uuid), Column("n", Integer))

NOTE = Statement(
    int,
    sa.insert(notes)
    .values(user_id=bindparam("user_id"), body=bindparam("body"))
    .returning(sa.literal(1)),
)
NOTE_BY_FUNCTION = Statement(
    int, sa.select(sa.func.public.note(bindparam("author", type_=Uuid()), bindparam("body")))
)
COUNT_UP = Statement(int, sa.update(counters).values(n=counters.c.n + 1).returning(counters.c.n))


async def insert_a_note(scope: Scope, body: str) -> int:
    """A key that the server makes: a retry makes another one."""
    return await scope.one(NOTE, body=body)


async def insert_a_note_by_function(scope: Scope, body: str) -> int:
    """A write that looks like a read."""
    return await scope.one(NOTE_BY_FUNCTION, author=scope.user_id, body=body)


async def insert_a_note_as_text(scope: Scope, body: str) -> int:
    insert = sa.text("INSERT INTO public.notes (user_id, body) VALUES (:user_id, :body)")
    await scope.session.execute(insert, {"user_id": scope.user_id, "body": body})
    return 1


async def count_up(scope: SystemScope, user_id: UUID) -> Any:
    """A sum: a retry adds once more."""
    update = sa.update(counters).where(counters.c.user_id == user_id)
    n = counters.c.n
    return await scope.session.scalar(update.values(n=n + 1).returning(n))


async def go_on_after_a_refusal(scope: Scope, body: str) -> int:
    """A first write that fails and is undone, with what was sent ahead of it."""
    there_already = sa.insert(counters).values(user_id=scope.user_id, n=0)
    with contextlib.suppress(Conflict):
        async with scope.session.begin_nested():
            await scope.session.execute(there_already)
    return await insert_a_note(scope, body)


async def use_the_orm(scope: Scope, conversation_id: UUID) -> str:
    """An object that is added and one that is changed by what it was."""
    scope.session.add(Task(user_id=scope.user_id, title="added"))
    conversation = await scope.session.get_one(Conversation, (scope.user_id, conversation_id))
    conversation.title += ", once more"
    return conversation.title


async def do_several_things(scope: Scope, conversation_id: UUID) -> int:
    """A unit that is composed of shipped ones."""
    found = units()
    await found["messages.append"](scope, conversation_id, role="user", content="again")
    await found["messages.remove_last"](scope, conversation_id)
    await found["tasks.create"](scope, title="composed")
    return await insert_a_note(scope, "composed")


@one_statement
async def append_in_steps(scope: Scope, conversation_id: UUID) -> int:
    """An append as on Citus, whose second statement takes the COMMIT along."""
    id_ = scope.new_id()
    new = {"id": id_, "role": "user", "content": "hi", "metadata": {}}
    values = new | {"conversation_id": conversation_id}
    stamps = await _appending.insert_in_steps(scope, append_statements.APPEND, values)
    stored = stamps or await scope.all(
        append_statements.STORED, conversation_id=conversation_id, ids=[id_]
    )
    return int(stored[0].position)


class Plan(NamedTuple):
    unit: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def is_across_users(self) -> bool:
        first = next(iter(inspect.signature(self.unit).parameters.values()))
        return first.annotation is SystemScope


def _plan(unit: Callable[..., Any], *args: Any, **kwargs: Any) -> Plan:
    return Plan(unit, args, kwargs)


def named(own: Belongings) -> UUID:
    """Return the id that follows from the source and the key that a plan gives."""
    return conversations.id_of(own.user_id, source=SOURCE, key="new")


def _owned_plans(own: Belongings) -> dict[str, Plan]:
    u, conversation = units(), own.conversation_id
    turn = [NewMessage("user", "one"), NewMessage("assistant", tool_calls=calls("second"))]
    chat_id, *message_ids = GIVEN_IDS
    said = zip(turn, message_ids, strict=True)
    chat = NewChat(chat_id, "c", [message._replace(id=id_) for message, id_ in said])
    new = nobodys()
    document = (DOCUMENT_KIND, own.document_key)
    config, rotated = {"url": "https://example.com/mcp"}, (own.user_id, UUID(int=0))
    return {
        "conversations.create": _plan(u["conversations.create"], title="b", metadata={"c": [1]}),
        "conversations.rename": _plan(u["conversations.rename"], conversation, "renamed"),
        "conversations.replace_metadata": _plan(
            u["conversations.replace_metadata"], conversation, {"pinned": True}
        ),
        "conversations.open": _plan(
            u["conversations.open"], source=SOURCE, key="new", title="b", body="[1]"
        ),
        "conversations.open, known": _plan(
            u["conversations.open"], source=SOURCE, key=own.subject_id
        ),
        "conversations.replace_body": _plan(
            u["conversations.replace_body"], conversation, '{"a": 1e22}'
        ),
        "conversations.switch": _plan(u["conversations.switch"], conversation, 1),
        "conversations.fork": _plan(u["conversations.fork"], conversation, at=2),
        "conversations.fork, with an id": _plan(
            u["conversations.fork"], conversation, id=chat_id, title="forked"
        ),
        "conversations.delete": _plan(u["conversations.delete"], conversation),
        "chats.store": _plan(u["chats.store"], [chat]),
        "messages.append": _plan(u["messages.append"], conversation, role="user", content="hi"),
        "messages.append, results": _plan(
            u["messages.append"], conversation, role="tool", tool_results=results(own.call_id)
        ),
        "messages.append, a reply": _plan(
            u["messages.append"], conversation, role="user", content="hi", after=3
        ),
        "messages.append, a branch": _plan(
            u["messages.append"], conversation, role="user", content="hi", after=1, branch=True
        ),
        "messages.append, a body": _plan(u["messages.append"], conversation, body='{"a": 1.0}'),
        "messages.append, which opens": _plan(
            u["messages.append"], chat_id, role="user", content="hi", opens=NewConversation()
        ),
        "messages.ask": _plan(u["messages.ask"], conversation, role="user", content="hi"),
        "messages.ask, results": _plan(
            u["messages.ask"], conversation, role="tool", tool_results=results(own.call_id)
        ),
        "messages.ask, a reply": _plan(
            u["messages.ask"], conversation, role="user", content="hi", after=3, limit=2
        ),
        "messages.ask, a branch": _plan(
            u["messages.ask"], conversation, role="user", content="hi", after=1, branch=True
        ),
        "messages.ask, which opens": _plan(
            u["messages.ask"], chat_id, role="user", content="hi", opens=NewConversation()
        ),
        "messages.append_many, which opens": _plan(
            u["messages.append_many"],
            named(own),
            turn,
            opens=NewConversation(source=SOURCE, key="new"),
        ),
        "messages.append_many, a branch": _plan(
            u["messages.append_many"], conversation, turn, after=0, branch=True
        ),
        "messages.append_draft, a branch": _plan(
            u["messages.append_draft"], conversation, after=1, branch=True
        ),
        "messages.append_many": _plan(u["messages.append_many"], conversation, turn),
        "messages.append_draft": _plan(u["messages.append_draft"], conversation),
        "messages.save_draft": _plan(
            u["messages.save_draft"],
            conversation,
            own.draft_id,
            content="so far",
            status="complete",
        ),
        "messages.replace": _plan(
            u["messages.replace"], conversation, own.message_id, role="user", body="[2]"
        ),
        "messages.remove": _plan(u["messages.remove"], conversation, own.message_id),
        "messages.remove, the last one": _plan(u["messages.remove"], conversation, own.draft_id),
        "messages.remove_one": _plan(u["messages.remove_one"], conversation, own.message_id),
        "messages.remove_after": _plan(u["messages.remove_after"], conversation, 0),
        "messages.remove_last": _plan(u["messages.remove_last"], conversation),
        "usage.record": _plan(
            u["usage.record"], conversation, own.message_id, model="a", input_tokens=1
        ),
        "tasks.create": _plan(u["tasks.create"], title="b", description="c"),
        "tasks.edit": _plan(u["tasks.edit"], own.task_id, title="edited"),
        "tasks.complete": _plan(u["tasks.complete"], own.task_id),
        "tasks.reopen": _plan(u["tasks.reopen"], own.task_id),
        "tasks.delete": _plan(u["tasks.delete"], own.task_id),
        "mcp_configs.put": _plan(u["mcp_configs.put"], "new", config, secrets={"token": "t"}),
        "mcp_configs.put, again": _plan(u["mcp_configs.put"], own.config_name, config),
        "mcp_configs.put, secrets again": _plan(
            u["mcp_configs.put"], own.config_name, config, secrets={"token": "t"}
        ),
        "mcp_configs.rename": _plan(u["mcp_configs.rename"], own.config_id, "renamed"),
        "mcp_configs.enable": _plan(u["mcp_configs.enable"], own.config_id),
        "mcp_configs.disable": _plan(u["mcp_configs.disable"], own.config_id),
        "mcp_configs.delete": _plan(u["mcp_configs.delete"], own.config_id),
        "mcp_configs.rotate_secrets": _plan(u["mcp_configs.rotate_secrets"], rotated, limit=1),
        "documents.put": _plan(u["documents.put"], DOCUMENT_KIND, "new", '{"a": 1}'),
        "documents.put, again": _plan(u["documents.put"], *document, '{"a": 1}'),
        "documents.update": _plan(u["documents.update"], *document, '{"a": 1}', version=1),
        "documents.update, new": _plan(
            u["documents.update"], DOCUMENT_KIND, "new", '{"a": 1}', version=0
        ),
        "documents.remove": _plan(u["documents.remove"], *document),
        "archives.restore_row": _plan(u["archives.restore_row"], config_of(new)),
        "archives.restore_task": _plan(u["archives.restore_task"], task_of(new)),
        "archives.restore_mcp_config": _plan(u["archives.restore_mcp_config"], config_of(new)),
        "archives.restore_conversation": _plan(
            u["archives.restore_conversation"], conversation_of(new), [[message_of(new)]]
        ),
        "retention.remove_conversations": _plan(u["retention.remove_conversations"]),
        "retention.remove_conversations, long": _plan(u["retention.remove_conversations"], limit=1),
        "retention.remove_rows": _plan(u["retention.remove_rows"], "tasks"),
    }


def plans(own: Belongings) -> dict[str, Plan]:
    """Each unit that writes, with arguments that make it write to what ``own`` says."""
    u, new = units(), f"new {own.subject_id}"
    newcomer = nobodys()._replace(subject_id=new, email=f"new-{own.email}")
    return _owned_plans(own) | {
        "users.create": _plan(u["users.create"], subject_id=new, email=f"new-{own.email}"),
        "users.ensure": _plan(u["users.ensure"], new, email=f"new-{own.email}"),
        "users.ensure, known": _plan(u["users.ensure"], own.subject_id, email=f"new-{own.email}"),
        "users.change_email": _plan(u["users.change_email"], own.user_id, f"new-{own.email}"),
        "archives.restore_user": _plan(u["archives.restore_user"], user_of(newcomer)),
        "users.delete": _plan(u["users.delete"], own.user_id),
        "messages.sweep_drafts": _plan(u["messages.sweep_drafts"], older_than=timedelta(0)),
        "own, a serial key": _plan(insert_a_note, "a note"),
        "own, a function": _plan(insert_a_note_by_function, "a note"),
        "own, text": _plan(insert_a_note_as_text, "a note"),
        "own, a sum": _plan(count_up, own.user_id),
        "own, after a refusal": _plan(go_on_after_a_refusal, "a note"),
        "own, the ORM": _plan(use_the_orm, own.conversation_id),
        "own, in steps": _plan(append_in_steps, own.conversation_id),
        "own, composed": _plan(do_several_things, own.conversation_id),
    }


READS = {
    *(f"conversations.{name}" for name in ("get", "lock", "page", "search")),
    *(f"messages.{name}" for name in ("get", "history", "before", "after", "page", "walk")),
    *(f"messages.{name}" for name in ("bodies", "branches", "branches_at", "everything", "search")),
    "messages.pending_tool_calls",
    *(f"tasks.{name}" for name in ("get", "page")),
    *(f"mcp_configs.{name}" for name in ("get", "by_name", "get_secrets", "page", "count_secrets")),
    *(f"documents.{name}" for name in ("get", "lock", "page")),
    *(f"users.{name}" for name in ("get", "by_subject", "by_email", "page")),
    *(f"archives.{name}" for name in ("holdings", "tables", "walk")),
    *(f"retention.{name}" for name in ("idle_rows", "idle_since", "idle_users")),
    *(f"usage.{name}" for name in ("by_day", "by_conversation")),
}
"""The units that write nothing. A unit is in here, or has a plan."""
