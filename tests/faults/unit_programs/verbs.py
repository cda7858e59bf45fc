"""What each verb of a program does with a scope. Compound verbs are in `play`."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from tests.faults.unit_programs.ledger import Attempt, Invocation, Person, Write, WriteKind
from uuid6 import uuid7

from faceplate import Statement, models
from faceplate.services import conversations, messages, tasks
from faceplate.services.messages import NewMessage

WHO = Statement(
    str,
    sa.text(
        "select current_user::text || ' '"
        " || coalesce(current_setting('faceplate.user_id', true), '')"
    ),
)
CONTENTS = Statement(str, sa.select(models.Message.content))
COLUMNS: dict[str, Any] = {
    "Message.content": models.Message.content,
    "Task.title": models.Task.title,
    "Conversation.title": models.Conversation.title,
}
MODELS = {name: Statement(str, sa.select(column)) for name, column in COLUMNS.items()}
LOCKED = Statement(str, sa.select(models.Task.title).with_for_update())
INSERT = Statement(
    int,
    sa.insert(models.Task).values(
        user_id=sa.bindparam("user_id"), id=sa.bindparam("id"), title=sa.bindparam("title")
    ),
)
UPDATE = Statement(
    int, sa.update(models.Task).values(description=sa.bindparam("d"), updated_at=sa.func.now())
)
DELETE = Statement(int, sa.delete(models.McpConfig))
TEXT_UPDATE = Statement(int, sa.text("update faceplate.tasks set description = :d"))
TEXT_DELETE = Statement(int, sa.text("delete from faceplate.mcp_configs"))
BY_POSITION = Statement(
    str,
    sa.text("select content from faceplate.messages where position = :position").bindparams(
        sa.bindparam("position", type_=sa.Integer)
    ),
)


@lru_cache(maxsize=1024)
def text_statement(sql: str) -> Statement[str]:
    """Return the one statement of this text, as a module of an application has one."""
    return Statement(str, sa.text(sql))


class Use(NamedTuple):
    """A scope in the hands of one attempt."""

    scope: Any
    attempt: Attempt
    invocation: Invocation
    own: list[Write] = []  # noqa: RUF012 - replaced for each step
    """What the step that uses it writes."""
    outer: "Use | None" = None
    """That of the unit in which this one is nested."""

    @property
    def person(self) -> Person:
        return self.invocation.person

    def write(self, kind: WriteKind = "insert") -> Write:
        """Note a write that begins."""
        write = Write(self.invocation.token(self.attempt), kind)
        self.attempt.writes.append(write)
        self.own.append(write)
        return write


Verb = Callable[[Use, str], Awaitable[Any]]
ORDINARY: dict[str, Verb] = {}
"""Steps that must succeed in a unit in which nothing has failed."""
ROUGH: dict[str, Verb] = {}
"""Steps that may be refused."""


def _ordinary(verb: Verb) -> Verb:
    ORDINARY[verb.__name__.rstrip("_")] = verb
    return verb


def _rough(verb: Verb) -> Verb:
    ROUGH[verb.__name__.rstrip("_")] = verb
    return verb


@_ordinary
async def append(use: Use, _: str) -> Any:
    token = use.write().token
    return await messages.append(use.scope, use.person.conversation_id, role="user", content=token)


@_ordinary
async def append_twice(use: Use, _: str) -> Any:
    said = [NewMessage("user", use.write().token) for _ in range(2)]
    return await messages.append_many(use.scope, use.person.conversation_id, said)


@_ordinary
async def create_task(use: Use, _: str) -> Any:
    return await tasks.create(use.scope, title=use.write().token)


@_ordinary
async def create_chat(use: Use, _: str) -> Any:
    return await conversations.create(use.scope, title=use.write().token)


@_ordinary
async def complete_task(use: Use, _: str) -> Any:
    use.write("change")
    return await tasks.complete(use.scope, use.person.task_id)


@_ordinary
async def rename(use: Use, _: str) -> Any:
    return await conversations.rename(
        use.scope, use.person.conversation_id, use.write("change").token
    )


@_ordinary
async def get_chat(use: Use, _: str) -> Any:
    return await conversations.get(use.scope, use.person.conversation_id)


@_ordinary
async def history(use: Use, _: str) -> Any:
    return await messages.history(use.scope, use.person.conversation_id)


@_ordinary
async def page_chats(use: Use, _: str) -> Any:
    return await conversations.page(use.scope)


@_ordinary
async def page_tasks(use: Use, _: str) -> Any:
    return await tasks.page(use.scope)


@_ordinary
async def who(use: Use, _: str) -> Any:
    return await use.scope.all(WHO)


@_ordinary
async def read(use: Use, model: str) -> Any:
    return await use.scope.all(MODELS[model])


@_ordinary
async def read_locked(use: Use, _: str) -> Any:
    return await use.scope.all(LOCKED)


@_ordinary
async def insert(use: Use, _: str) -> Any:
    return await use.scope.execute(INSERT, id=uuid7(), title=use.write().token)


@_ordinary
async def insert_many(use: Use, _: str) -> Any:
    rows = [{"id": uuid7(), "title": use.write().token} for _ in range(2)]
    return await use.scope.execute_many(INSERT, rows)


@_ordinary
async def update(use: Use, _: str) -> Any:
    return await use.scope.execute(UPDATE, d=use.write("change").token)


@_ordinary
async def delete(use: Use, _: str) -> Any:
    use.write("delete")
    return await use.scope.execute(DELETE)


@_ordinary
async def text_update(use: Use, _: str) -> Any:
    return await use.scope.execute(TEXT_UPDATE, d=use.write("change").token)


@_ordinary
async def text_delete(use: Use, _: str) -> Any:
    use.write("delete")
    return await use.scope.execute(TEXT_DELETE)


@_ordinary
async def stream(use: Use, _: str) -> Any:
    return [row async for row in use.scope.stream(CONTENTS)]


@_ordinary
async def stream_first(use: Use, _: str) -> Any:
    return await anext(use.scope.stream(CONTENTS), None)


@_ordinary
async def open_(use: Use, _: str) -> Any:
    return await use.scope.open()


@_ordinary
async def new_id(use: Use, _: str) -> Any:
    return use.scope.new_id()


@_ordinary
async def session_read(use: Use, model: str) -> Any:
    return (await use.scope.session.scalars(sa.select(COLUMNS[model]))).all()


@_ordinary
async def session_get(use: Use, _: str) -> Any:
    row = await use.scope.session.get(models.Task, (use.person.user_id, use.person.task_id))
    return row and row.title


@_ordinary
async def session_stream(use: Use, model: str) -> Any:
    rows = await use.scope.session.stream_scalars(sa.select(COLUMNS[model]))
    return [row async for row in rows]


@_ordinary
async def session_add(use: Use, _: str) -> Any:
    session = use.scope.session
    session.add(models.Task(user_id=use.person.user_id, title=use.write().token))


@_ordinary
async def session_flush(use: Use, _: str) -> Any:
    session = use.scope.session
    session.add(models.Task(user_id=use.person.user_id, title=use.write().token))
    await session.flush()


@_ordinary
async def session_insert_many(use: Use, _: str) -> Any:
    """Insert two rows by the driver's executemany."""
    rows = [{"user_id": use.person.user_id, "title": use.write().token} for _ in range(2)]
    await use.scope.session.execute(sa.insert(models.Task), rows)


@_ordinary
async def session_append(use: Use, _: str) -> Any:
    session, person = use.scope.session, use.person
    key = (person.user_id, person.conversation_id)
    chat = await session.get_one(
        models.Conversation, key, with_for_update=True, populate_existing=True
    )
    chat.message_count += 1
    said = {"role": "user", "content": use.write().token}
    session.add(
        models.Message(
            user_id=person.user_id,
            conversation_id=chat.id,
            position=chat.message_count,
            **said,
        )
    )
    await session.flush()


@_ordinary
async def session_update(use: Use, _: str) -> Any:
    token = use.write("change").token
    await use.scope.session.execute(sa.update(models.Task).values(description=token))


@_rough
async def session_commit(use: Use, _: str) -> Any:
    await use.scope.session.commit()


@_rough
async def session_rollback(use: Use, _: str) -> Any:
    await use.scope.session.rollback()


@_rough
async def text(use: Use, sql: str) -> Any:
    return await use.scope.all(text_statement(sql))


@_rough
async def text_many(use: Use, sql: str) -> Any:
    return await use.scope.execute_many(text_statement(sql), [{}])


@_rough
async def text_stream(use: Use, sql: str) -> Any:
    return [row async for row in use.scope.stream(text_statement(sql))]


@_rough
async def session_text(use: Use, sql: str) -> Any:
    result = await use.scope.session.execute(sa.text(sql))
    return result.scalars().all() if result.returns_rows else None


@_rough
async def raw(use: Use, sql: str) -> Any:
    connection = await use.scope.session.connection()
    return await (await connection.get_raw_connection()).driver_connection.execute(sql)


@_rough
async def bad_value(use: Use, _: str) -> Any:
    return await use.scope.all(BY_POSITION, position="not a number")


@_rough
async def bad_input(use: Use, _: str) -> Any:
    chat = use.person.conversation_id
    return await messages.append(use.scope, chat, role="user", content="\0")


@_rough
async def missing_chat(use: Use, _: str) -> Any:
    use.write("change")
    return await messages.append(use.scope, uuid4(), role="user", content="to nobody")


async def rest_of(stream: Any) -> Any:
    """Return what a stream that was kept still yields."""
    return [row async for row in stream]


async def read_by(session: Any) -> Any:
    """Return what a session that was kept reads."""
    return (
        (await session.execute(sa.text("select content from faceplate.messages"))).scalars().all()
    )
