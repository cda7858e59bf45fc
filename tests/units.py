"""What the tests know of the units: which there are, and how a user's data is set up and seen."""

import importlib
import inspect
import pkgutil
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, text
from uuid6 import uuid7

from faceplate import (
    Conversation,
    Database,
    McpConfig,
    Message,
    Statement,
    SystemScope,
    Task,
    User,
    models,
    services,
)
from faceplate.column_types import (
    Count,
    Email,
    Flag,
    Id,
    Json,
    JsonText,
    Key,
    OneOf,
    Text,
    Timestamp,
)
from faceplate.services import (
    _row_statements,
    archives,
    conversations,
    documents,
    mcp_configs,
    messages,
    tasks,
    users,
)
from faceplate.services._kinds import Kind, all_kinds
from faceplate.services.messages import NewMessage

KINDS = [kind for kind in all_kinds() if kind.is_ours and kind.model is not models.User]
EARLIER = ("conversations", "messages", "tasks", "mcp_configs", "documents")
OWNED = tuple(kind.table for kind in KINDS)


def rows(**counts: int) -> dict[str, int]:
    """Rows by table, none where it is not said."""
    return dict.fromkeys(OWNED, 0) | counts


LATER = [kind for kind in KINDS if kind.table not in EARLIER]
SETTLED = rows(
    conversations=1,
    messages=3,
    tasks=1,
    mcp_configs=1,
    documents=1,
    **{kind.table: 1 for kind in LATER},
)
"""The rows of a user who has one of everything, see `settle_in`."""
SOURCE = "elsewhere"
"""Where the conversation of `settle_in` is from. Its key there is the user's subject."""
DOCUMENT_KIND = "state"
LONG_AGO = datetime(2020, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)


def units() -> dict[str, Callable[..., Any]]:
    """Every public unit of `faceplate.services` by its name, such as ``messages.append``."""
    found = {}
    for info in pkgutil.iter_modules(services.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{services.__name__}.{info.name}")
        for name, value in vars(module).items():
            is_unit = inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value)
            if is_unit and is_of(module, value) and not name.startswith("_"):
                found[f"{info.name}.{name}"] = value
    return found


def is_of(module: ModuleType, unit: Callable[..., Any]) -> bool:
    """Whether a module, or a private one inside of it, defines the unit."""
    return unit.__module__ == module.__name__ or unit.__module__.startswith(f"{module.__name__}._")


def named_statements() -> dict[str, Statement[Any]]:
    """Every statement of `faceplate.services` by its name, such as ``conversations.GET``."""
    found: dict[str, Statement[Any]] = {}
    for info in pkgutil.iter_modules(services.__path__):
        module = importlib.import_module(f"{services.__name__}.{info.name}")
        found |= {
            f"{info.name}.{name}": value
            for name, value in vars(module).items()
            if isinstance(value, Statement)
        }
    found["archives.HOLDINGS"] = archives._holdings(tuple(kind.model for kind in KINDS))
    return found | dict(_statements_of_models())


def _statements_of_models() -> Iterator[tuple[str, Statement[Any]]]:
    """Yield the statements that are made from each model, such as ``tasks.read``."""
    yield "conversations.read", _row_statements.read(models.Conversation)
    for kind in KINDS:
        if kind.is_chats:
            continue
        table, model = kind.table, kind.model
        for make in ("read", "restore", "insert_restored", "find", "count_idle"):
            yield f"{table}.{make}", getattr(_row_statements, make)(model)
        for number in range(4):
            flags = {"is_first": number % 2 == 0, "only_idle": number > 1}
            yield f"{table}.remove {number}", _row_statements.remove(model, **flags)


def statements() -> list[Statement[Any]]:
    """Every statement of `faceplate.services`."""
    return list({id(value): value for value in named_statements().values()}.values())


def valid(kind: Kind) -> dict[str, Any]:
    """Values that the rules of a table allow, for each field of its record."""
    rules = {name: column.type for name, column in kind.columns.items()}
    return {name: _VALID[type(rule)](rule) for name, rule in rules.items()}


_VALID: dict[type[Any], Callable[[Any], Any]] = {
    Id: lambda _: uuid7(),
    Email: lambda _: f"{secrets.token_hex(8)}@example.com",
    Text: lambda _: f"kept {secrets.token_hex(8)}",
    Key: lambda _: f"kept {secrets.token_hex(8)}",
    OneOf: lambda rule: rule.words[0],
    Count: lambda rule: rule.minimum,
    Json: lambda rule: rule.shape(),
    JsonText: lambda _: '{"kept": 1e22}',
    Timestamp: lambda _: LONG_AGO,
    Flag: lambda _: True,
    Boolean: lambda _: True,
}


def calls(id_: str, name: str = "weather") -> list[dict[str, Any]]:
    """One tool call, as an assistant message carries it."""
    return [{"id": id_, "type": "function", "function": {"name": name, "arguments": "{}"}}]


def results(id_: str) -> list[dict[str, Any]]:
    """The result that answers it."""
    return [{"tool_call_id": id_, "content": "4 degrees, rain"}]


class Belongings(NamedTuple):
    """One of everything that a user can have, by its ids and names."""

    user_id: UUID
    subject_id: str
    email: str
    conversation_id: UUID
    message_id: UUID
    draft_id: UUID
    call_id: str
    task_id: UUID
    config_id: UUID
    config_name: str
    document_id: UUID
    document_key: str
    """The key of a document of the kind `DOCUMENT_KIND`."""
    others: dict[str, UUID] = {}  # noqa: RUF012 - never changed
    """The id of a row of each table that came later, by the table's name."""


def conversation_of(own: Belongings, message_count: int = 1) -> Conversation:
    """A record of a conversation with that id, as an archive holds one."""
    return Conversation(
        id=own.conversation_id,
        title="kept",
        message_count=message_count,
        head=None,
        metadata={},
        source=None,
        key=None,
        body=None,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


def message_of(own: Belongings, position: int = 1) -> Message:
    """A record of a message in it."""
    return Message(
        conversation_id=own.conversation_id,
        id=own.message_id,
        position=position,
        parent_position=None,
        role="user",
        content="kept",
        tool_calls=None,
        tool_results=None,
        metadata={},
        body=None,
        status="complete",
        model=None,
        input_tokens=None,
        output_tokens=None,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


def task_of(own: Belongings) -> Task:
    """A record of a task with that id."""
    return Task(
        id=own.task_id,
        title="kept",
        description="",
        completed=True,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


def config_of(own: Belongings) -> McpConfig:
    """A record of a configuration with that id and a name of its own."""
    return McpConfig(
        id=own.config_id,
        name=f"kept {own.config_id}",
        config={"command": "uvx"},
        has_secrets=False,
        enabled=True,
        created_at=LONG_AGO,
        updated_at=LONG_AGO,
    )


def user_of(own: Belongings) -> User:
    """A record of the user."""
    return User(own.user_id, own.subject_id, own.email, LONG_AGO, LONG_AGO)


def nobodys() -> Belongings:
    """Ids and names that are nobody's."""
    name = secrets.token_hex(8)
    return Belongings(
        user_id=uuid7(),
        subject_id=name,
        email=f"{name}@example.com",
        conversation_id=uuid7(),
        message_id=uuid7(),
        draft_id=uuid7(),
        call_id=f"call of {name}",
        task_id=uuid7(),
        config_id=uuid7(),
        config_name=f"config of {name}",
        document_id=uuid7(),
        document_key=f"document of {name}",
        others={kind.table: uuid7() for kind in LATER},
    )


async def settle_in(db: Database) -> Belongings:
    """Make a user who has one of everything: a call without an answer and a draft, too."""
    plan = nobodys()
    user = await db.run_system(users.create, subject_id=plan.subject_id, email=plan.email)
    conversation = await db.run(
        user.id,
        conversations.open,
        source=SOURCE,
        key=plan.subject_id,
        title=plan.subject_id,
        body=f'"{plan.subject_id}"',
    )
    turn = [
        NewMessage("user", f"a question of {plan.subject_id}", input_tokens=7),
        NewMessage("assistant", tool_calls=calls(plan.call_id)),
    ]
    message, _ = await db.run(user.id, messages.append_many, conversation.id, turn)
    draft = await db.run(user.id, messages.append_draft, conversation.id)
    task = await db.run(user.id, tasks.create, title=f"a task of {plan.subject_id}")
    config = await db.run(
        user.id,
        mcp_configs.put,
        plan.config_name,
        {"command": "uvx"},
        secrets={"token": plan.subject_id},
    )
    body = f'"a document of {plan.subject_id}"'
    await db.run(user.id, documents.put, DOCUMENT_KIND, plan.document_key, body)
    document = await db.run(user.id, documents.get, DOCUMENT_KIND, plan.document_key)
    others = {}
    for kind in LATER:
        row = kind.record(**valid(kind))
        await db.run(user.id, archives.restore_row, row)
        others[kind.table] = row.id
    return plan._replace(
        user_id=user.id,
        others=others,
        conversation_id=conversation.id,
        message_id=message.id,
        draft_id=draft.id,
        task_id=task.id,
        config_id=config.id,
        document_id=document.id,
    )


async def say(db: Database, user_id: UUID, *counts: int) -> list[Conversation]:
    """Make a conversation of each length, of messages that say 0, 1, 2 ...; return them."""
    made = []
    for count in counts:
        chat = await db.run(user_id, conversations.create)
        said = [NewMessage("user", str(number)) for number in range(count)]
        for start in range(0, count, messages.MAX_BATCH):
            batch = said[start : start + messages.MAX_BATCH]
            await db.run(user_id, messages.append_many, chat.id, batch)
        made.append(await db.run(user_id, conversations.get, chat.id))
    return made


async def _everything(scope: SystemScope, user_id: UUID) -> dict[str, list[Any]]:
    found = {}
    for table in ("users", *OWNED):
        key = "id" if table == "users" else "user_id"
        rows = await scope.session.execute(
            text(f"SELECT to_jsonb(t) FROM faceplate.{table} t WHERE {key} = :user ORDER BY id"),
            {"user": user_id},
        )
        found[table] = list(rows.scalars())
    return found


async def everything_of(db: Database, user_id: UUID) -> dict[str, list[Any]]:
    """Every row of a user, column by column, as the owner of the tables sees it."""
    return await db.run_system(_everything, user_id)
