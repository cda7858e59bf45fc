"""What each statement costs does not grow with the tables: the index, and nothing beside it.

Each is planned as a unit runs it, under its role and the policies, once for its values and once
for any values, as PostgreSQL plans what it has seen often.
"""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import text
from tests.conftest import _database
from tests.postgres import Server, dsn
from tests.units import KINDS, named_statements, valid
from uuid6 import uuid7

from faceplate import Database, Settings, Statement
from faceplate.models import Conversation, User
from faceplate.scope import AnyScope
from faceplate.services import _row_statements, retention, users
from faceplate.services._kinds import Kind
from faceplate.services._row_statements import exported

ROWS = [kind for kind in KINDS if not kind.is_chats]
LONG = 5_000
LIMIT = 10
LATEST = datetime(9999, 12, 31, tzinfo=UTC)

FILL = f"""
INSERT INTO faceplate.users (id, subject_id, email)
SELECT gen_random_uuid(), 'user ' || n, n || '@example.com' FROM generate_series(1, 3000) n;

CREATE TEMPORARY TABLE few ON COMMIT DROP AS
SELECT id FROM faceplate.users ORDER BY id = :user_id DESC LIMIT 100;

INSERT INTO faceplate.conversations
       (user_id, id, message_count, updated_at, active_hour, source, key)
SELECT u.id, gen_random_uuid(), 20, moment, date_trunc('hour', moment, 'UTC'), 'sheep', 'chat ' || n
  FROM few u, generate_series(1, 30) n, LATERAL (SELECT now() - n * interval '1 hour') m (moment);

INSERT INTO faceplate.messages
       (user_id, conversation_id, id, position, role, content, status, output_tokens)
SELECT c.user_id, c.id, gen_random_uuid(), n, 'user', repeat('x', 200),
       CASE WHEN n = 20 THEN 'streaming' ELSE 'complete' END, CASE WHEN n % 10 = 0 THEN 1 END
  FROM faceplate.conversations c, generate_series(1, 20) n;

UPDATE faceplate.messages SET parent_position = position - 2 WHERE position IN (7, 14);

INSERT INTO faceplate.conversations (user_id, id, message_count)
VALUES (:user_id, :long_id, {LONG});

INSERT INTO faceplate.messages
       (user_id, conversation_id, id, position, role, content, tool_calls, output_tokens)
SELECT :user_id, :long_id, gen_random_uuid(), n, 'assistant', repeat('x', 200),
       CASE WHEN n % 1000 = 0 THEN jsonb_build_array(jsonb_build_object('id', n)) END,
       CASE WHEN n % 10 = 0 THEN 1 END
  FROM generate_series(1, {LONG}) n;

INSERT INTO faceplate.tasks (user_id, id, title, created_at)
SELECT u.id, gen_random_uuid(), 'a task', now() - n * interval '1 minute'
  FROM few u, generate_series(1, 50) n;

INSERT INTO faceplate.documents (user_id, id, kind, key, body)
SELECT u.id, gen_random_uuid(), 'kind ' || n % 2, 'key ' || n, '{{}}'
  FROM few u, generate_series(1, 100) n;

INSERT INTO faceplate.mcp_configs (user_id, id, name, config, secrets)
SELECT u.id, gen_random_uuid(), 'config ' || n, '{{}}', 'x'
  FROM few u, generate_series(1, 50) n;

ANALYZE
"""

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)"

PK = {name: {f"pk_{name}"} for name in ("users", "conversations", "messages", "tasks", "documents")}
CONFIG, NAME = {"pk_mcp_configs"}, {"uq_mcp_configs_user_id_name"}
COUNTED = PK["conversations"] | PK["messages"]
POSITION = {"uq_messages_user_id_conversation_id_position"}
DOCUMENT = {"uq_documents_user_id_kind_key"}
BRANCHES = {"ix_messages_branches"}
CHILDREN = {"ix_messages_children"}
PATH = PK["conversations"] | POSITION | BRANCHES
DRAFTS = {"ix_messages_drafts"}
USAGE = {"ix_messages_usage"}


class World(NamedTuple):
    db: Database
    user_id: UUID
    conversation_id: UUID


class Case(NamedTuple):
    """A statement's values, and all the indexes that its plan reads."""

    indexes: set[str]
    values: dict[str, Any] = {}  # noqa: RUF012 - never changed
    is_page: bool = False
    """Reads as many entries as it returns, and `LIMIT` is how many."""
    is_streamed: bool = False
    """Runs as a cursor, for which it is planned each time."""
    sorts: bool = False
    sorts_hours: bool = False
    """Sorts the entries of an hour, as they come from the index of hours."""
    filters: bool = False
    across_users: bool = False
    instead: set[str] | None = None
    """What a plan may read in their place: one of a tie, or what an older PostgreSQL reads."""


def by_id(indexes: set[str], /, **values: Any) -> Case:
    return Case(indexes, {"id": uuid7(), **values})


def in_conversation(indexes: set[str], /, **values: Any) -> Case:
    """``conversation_id`` is filled in: the long one."""
    return Case(indexes, {"conversation_id": None, **values})


def on_path(indexes: set[str] | None = None, /, **values: Any) -> Case:
    """Reads the ranges of the path, and messages in them: the filters are on a few ranges."""
    read = PATH | (indexes or set())
    return in_conversation(read, **values)._replace(sorts=True, filters=True)


def page(indexes: set[str], /, **values: Any) -> Case:
    return Case(indexes, {"limit": LIMIT, **values}, is_page=True)


def by_hour(indexes: set[str], /, **values: Any) -> Case:
    return page(indexes, **values)._replace(sorts_hours=True)


def system(indexes: set[str], /, *, filters: bool = False, **values: Any) -> Case:
    return Case(indexes, values, filters=filters, across_users=True)


def usage(**values: Any) -> Case:
    """Sums of the user's messages with tokens; the others are not read."""
    since = datetime.now(UTC) - timedelta(days=1)
    given = {"since": since, "until": LATEST, "after_model": "", "limit": LIMIT, **values}
    return Case(USAGE, given, sorts=True)


CONVERSATION: dict[str, Any] = {
    "title": "a",
    "metadata": {},
    "source": "a",
    "key": "b",
    "body": "{}",
    "created_at": None,
}
STORED: dict[str, Any] = {"message_count": 1, "head": None, "updated_at": None}
SPOKEN: dict[str, Any] = {"id": uuid7(), "role": "user", "content": "hello", "metadata": {}}
WRITTEN = dict.fromkeys(("body", "model", "input_tokens", "output_tokens"))
MESSAGE: dict[str, Any] = SPOKEN | {"tool_calls": None, "tool_results": None} | WRITTEN
MESSAGES: dict[str, Any] = {f"{name}s": [value] * 3 for name, value in MESSAGE.items()}
MESSAGES["ids"] = [uuid7() for _ in range(3)]
APPENDED: dict[str, Any] = {**MESSAGES, "created_ats": [None] * 3}
REPLACED = ("role", "content", "tool_calls", "tool_results", "metadata", "body")
CONFIG_VALUES: dict[str, Any] = {"config": {}, "secrets": None, "enabled": True, "keep": True}
DOCUMENT_NAME: dict[str, Any] = {"kind": "kind 1", "key": "key 1"}
DOCUMENT_VALUES: dict[str, Any] = {**DOCUMENT_NAME, "body": "{}"}

ELSEWHERE = dict.fromkeys(("head", "source", "key", "body"))
MORE = {"status": "complete", "body": "{}", "model": "a", "input_tokens": 1, "output_tokens": 1}
STAMPS: dict[str, Any] = {"created_at": datetime.now(UTC), "updated_at": datetime.now(UTC)}


def restored(model: Any, **values: Any) -> dict[str, Any]:
    """The values that a row is restored with."""
    return _row_statements.new(model, exported(model).record(id=uuid7(), **values, **STAMPS))


def of_rows(kind: Kind) -> dict[str, Case]:
    """What is made from each model: it reads the table by its primary key, if at all."""
    key, row = {f"pk_{kind.table}"}, kind.record(**valid(kind))
    new = _row_statements.new(kind.model, row)
    return {
        f"{kind.table}.read": Case(key, is_streamed=True),
        f"{kind.table}.restore": Case(set(), new),
        f"{kind.table}.insert_restored": Case(set(), new),
        f"{kind.table}.find": Case(key, _row_statements.key(kind.model, row)),
    }


CASES = {
    **{name: case for kind in ROWS for name, case in of_rows(kind).items()},
    "conversations.read": Case(PK["conversations"], is_streamed=True),
    "_path_statements.NEWEST": page(POSITION, conversation_id=None, upto=LONG // 2),
    "_path_statements.PATH_PAGE": on_path(limit=LIMIT),
    "_path_statements.PATH_AFTER": on_path(limit=LIMIT, position=LONG // 2),
    "_path_statements.LINEAR_AFTER": in_conversation(
        POSITION | BRANCHES, limit=LIMIT, position=LONG // 2
    ),
    "_path_statements.NEWEST_BODIES": page(POSITION, conversation_id=None, upto=LONG // 2),
    "_path_statements.BODIES_PAGE": on_path(limit=LIMIT),
    "_path_statements.BODIES_AFTER": on_path(limit=LIMIT, position=LONG // 2),
    "_path_statements.LINEAR_BODIES_AFTER": in_conversation(
        POSITION | BRANCHES, limit=LIMIT, position=LONG // 2
    ),
    "_body_texts.NEWEST": page(POSITION, conversation_id=None),
    "_body_texts.ALL": in_conversation(POSITION)._replace(sorts=True),  # each run
    "_path_statements.AT": in_conversation(POSITION, position=LONG // 2),
    "_path_statements.LAST": in_conversation(POSITION, upto=LONG // 2),
    "_path_statements.POSITION": in_conversation(PK["messages"], id=uuid7()),
    "_branch_statements.IDS": in_conversation(POSITION, positions=[1, 2]),
    "_path_statements.PLACE": in_conversation(
        PK["messages"] | POSITION | BRANCHES, ids=[uuid7()], head=3
    ),
    "_branch_statements.BRANCHES": in_conversation(POSITION | BRANCHES)._replace(
        sorts=True, instead=POSITION | {"ix_messages_children"}
    ),
    "_path_statements.LOCK": in_conversation(PK["conversations"]),
    "_path_changes.REMOVE": in_conversation(POSITION, first=LONG - 2, ranges=f"{{[{LONG - 2},)}}"),
    "_path_changes.REMOVE_ONE": in_conversation(POSITION, position=LONG - 2),
    "_path_changes.MOVE_BRANCHES": in_conversation(CHILDREN, position=LONG - 2, parent=1),
    "_path_changes.MOVE_NEXT": in_conversation(POSITION, position=LONG - 2, parent=1),
    "_path_changes.MARK_NEWEST": in_conversation(POSITION, newest=LONG),
    "_path_changes.MOVE_HEAD": in_conversation(PK["conversations"], new_head=1),
    "_path_changes.SHRINK": in_conversation(PK["conversations"], count=1, new_head=1),
    "_forking.COPY_CONVERSATION": in_conversation(
        PK["conversations"], new_id=uuid7(), title="a", source="a", key="b"
    ),
    # Up to the end of the path alone: here it has no message.
    "_forking.COPY_MESSAGES": in_conversation(
        POSITION, new_id=uuid7(), end=0, ranges="{}"
    )._replace(sorts=True),
    "_forking.COUNT_COPIES": in_conversation(PK["conversations"] | POSITION, count=1)._replace(
        instead=COUNTED
    ),
    "_forking.BEGINS_ALIKE": in_conversation(POSITION | PK["messages"], new_id=uuid7()),
    # No index has the order of creation: all of a source, or of a path, is sorted.
    **{
        f"_by_creation.{order}_CONVERSATIONS": Case(
            {"ix_conversations_source"},
            {"source": "sheep", "begin_time": moment, "begin": edge, "limit": LIMIT},
            sorts=True,
            filters=True,
            instead={"ix_conversations_active_hour"},  # here a user has one source
        )
        for order, moment, edge in (
            ("OLDEST", retention.EARLIEST[0], UUID(int=0)),
            ("NEWEST", LATEST, UUID(int=2**128 - 1)),
        )
    },
    **{
        f"_by_creation.{order}_MESSAGES": on_path(
            begin_time=moment, begin=edge, limit=LIMIT
        )._replace(instead=PATH | PK["messages"])
        for order, moment, edge in (
            ("OLDEST", retention.EARLIEST[0], 0),
            ("NEWEST", LATEST, LONG + 1),
        )
    },
    "_ends.GET": by_id(PK["conversations"] | POSITION),
    "_ends.LOCK": by_id(PK["conversations"] | POSITION),
    "_ends.OF_SOURCE": Case(
        {"ix_conversations_source"} | POSITION,
        {"source": "sheep"},
        filters=True,
        instead={"ix_conversations_active_hour"} | POSITION,
    ),
    "_ends.FIND": by_id(PK["messages"]),
    "archives.PRESENT": Case(set(), {"names": ["one", "two"]}, filters=True),
    "_trees.MESSAGES": in_conversation(POSITION)._replace(is_streamed=True),
    "_trees.CHILDREN": in_conversation(CHILDREN)._replace(
        is_streamed=True, filters=True, sorts=True
    ),
    "archives.MESSAGES": Case(POSITION, is_streamed=True),
    "archives.RESTORE_USER": system(set(), **restored(User, subject_id="a", email=None)),
    "archives.FIND_CONVERSATION": Case(PK["conversations"], {"key_id": uuid7()}),
    "archives.RESTORE_CONVERSATION": Case(
        set(),
        restored(Conversation, **ELSEWHERE, title="a", message_count=0, metadata={})
        | {"new_removed_count": 0},
    ),
    "archives.RESTORE_MESSAGES": in_conversation(
        set(),
        **MESSAGES
        | {f"{name}s": [value] * 3 for name, value in (MORE | STAMPS).items()}
        | {"positions": [LONG + n for n in (1, 2, 3)], "parent_positions": [None, 1, None]},
    ),
    "_chat_rows.CREATE": Case(
        set(),
        {f"{name}s": [value] * 2 for name, value in (CONVERSATION | STORED).items()}
        | {"ids": [uuid7(), uuid7()]},
        sorts=True,  # what it is given, by id
    ),
    "_chat_rows.FILL": Case(
        set(),
        APPENDED
        | {
            "conversation_ids": [None] * 3,
            "positions": [LONG + n for n in (1, 2, 3)],
            "parent_positions": [None] * 3,
        },
    ),
    # All of a conversation, by either index of which it is one range.
    "_chat_rows.PLACES": in_conversation(POSITION)._replace(sorts=True, instead=PK["messages"]),
    "_chat_rows.SAID": in_conversation(POSITION, last=LIMIT)._replace(sorts=True),
    "_chat_rows.LOCK_LAST_POSITION": in_conversation(PK["conversations"]),
    "_chat_rows.EXTEND": in_conversation(PK["conversations"], count=1, active_at=None),
    "conversation_statements.CREATE": by_id(set(), **CONVERSATION),
    "conversation_statements.OPEN": by_id(PK["conversations"], **CONVERSATION),
    "conversation_statements.LOCK": by_id(PK["conversations"]),
    "conversation_statements.REPLACE_BODY": by_id(PK["conversations"], body="{}"),
    "conversation_statements.GET": by_id(PK["conversations"]),
    "conversation_statements.FIRST_PAGE": by_hour({"ix_conversations_active_hour"}),
    "conversation_statements.PAGE": by_hour(
        {"ix_conversations_active_hour"}, after_time=LATEST, after_id=UUID(int=0)
    ),
    "conversation_statements.PAGE_OF_SOURCE": by_hour(
        {"ix_conversations_source"}, after_time=LATEST, after_id=UUID(int=0), source="sheep"
    ),
    "conversation_statements.SEARCH": by_hour(
        {"ix_conversations_active_hour"}, after_time=LATEST, after_id=UUID(int=0), text="a"
    )._replace(is_page=False, filters=True, sorts=True, instead=PK["conversations"]),
    "conversation_statements.RENAME": by_id(PK["conversations"], title="a"),
    "conversation_statements.REPLACE_METADATA": by_id(PK["conversations"], metadata={}),
    "conversation_statements.DELETE": by_id(PK["conversations"]),
    "documents.PUT": by_id(set(), **DOCUMENT_VALUES),
    "documents.CREATE": by_id(set(), **DOCUMENT_VALUES),
    "documents.UPDATE": Case(DOCUMENT, {**DOCUMENT_VALUES, "expected": 1}),
    "documents.GET": Case(DOCUMENT, DOCUMENT_NAME),
    "documents.LOCK": Case(DOCUMENT, DOCUMENT_NAME),
    "documents.VERSION": Case(DOCUMENT, DOCUMENT_NAME),
    "documents.PAGE": page(DOCUMENT, kind="kind 1", first="key", last="key\U0010ffff"),
    "documents.DELETE": Case(DOCUMENT, DOCUMENT_NAME),
    "_mcp_tokens.BODY": Case(DOCUMENT, DOCUMENT_NAME),
    "_mcp_tokens.DELETE": Case(DOCUMENT, {"kind": "kind 1", "tokens_key": "a", "client_key": "b"}),
    "_mcp_tokens.NEXT": page(
        DOCUMENT, kind="kind 1", after_user=UUID(int=0), after_key=""
    )._replace(across_users=True),
    "_mcp_tokens.FIND": system(DOCUMENT, of_user=None, kind="kind 1", key="key 1"),
    "_mcp_tokens.REPLACE": system(PK["documents"], of_user=None, id=uuid7(), expected=1, body="1"),
    "mcp_configs.PUT": by_id(set(), name="config 1", **CONFIG_VALUES),
    "mcp_configs.GET": by_id(CONFIG),
    "mcp_configs.BY_NAME": Case(NAME, {"name": "config 1"}),
    "mcp_configs.SECRETS": by_id(CONFIG),
    "mcp_configs.PAGE": page(NAME, after="", enabled_only=True),
    "mcp_configs.RENAME": by_id(CONFIG, name="a"),
    "mcp_configs.SET_ENABLED": by_id(CONFIG, enabled=True),
    "mcp_configs.SET_SECRETS": by_id(CONFIG, secrets=b"x"),
    "mcp_configs.DELETE": by_id(CONFIG),
    "mcp_configs.NEXT_SECRETS": page(CONFIG, after_user=UUID(int=0), after_id=UUID(int=0))._replace(
        across_users=True
    ),
    "mcp_configs.SECRETS_OF": system(CONFIG, of_user=None, id=uuid7()),
    "mcp_configs.REPLACE_SECRETS": system(
        CONFIG, secrets=b"", replaced=b"", of_user=None, id=uuid7()
    ),
    "append_statements.APPEND": in_conversation(COUNTED, **SPOKEN),
    "append_statements.APPEND_ALONE": in_conversation(PK["conversations"], **SPOKEN),
    "append_statements.APPEND_WHOLE": in_conversation(COUNTED, **SPOKEN, **WRITTEN),
    "append_statements.APPEND_AFTER": in_conversation(
        COUNTED | POSITION, **SPOKEN, **WRITTEN, after=LONG
    ),
    "append_statements.ASK": in_conversation(
        COUNTED | POSITION | CHILDREN, **SPOKEN, limit=LIMIT, upto=LONG
    )._replace(instead=COUNTED | POSITION | BRANCHES),
    "append_statements.ASK_ALONE": in_conversation(
        PK["conversations"] | POSITION | CHILDREN, **SPOKEN, limit=LIMIT, upto=LONG
    )._replace(instead=PK["conversations"] | POSITION | BRANCHES),
    "append_statements.ASK_WHOLE": in_conversation(
        COUNTED | POSITION | CHILDREN, **SPOKEN, **WRITTEN, after=LONG, limit=LIMIT, upto=LONG
    )._replace(instead=COUNTED | POSITION | BRANCHES),
    "append_statements.ASK_ON_PATH": on_path(COUNTED, **SPOKEN, **WRITTEN, after=LONG, limit=LIMIT),
    "append_statements.APPEND_MANY": in_conversation(COUNTED, **APPENDED),
    "append_statements.APPEND_PLACED": in_conversation(PK["conversations"], **APPENDED, parent=1),
    "append_statements.STORED": in_conversation(PK["messages"], ids=[uuid7(), uuid7()]),
    "search_statements.SEARCH": by_hour(
        {"ix_conversations_active_hour", *POSITION},
        after_time=LATEST,
        after_id=UUID(int=0),
        text="a",
    )._replace(is_page=False, filters=True, sorts=True, instead=PK["conversations"] | POSITION),
    "search_statements.SEARCH_REST": in_conversation(
        PK["conversations"] | POSITION, position=LONG, text="a", limit=LIMIT
    )._replace(filters=True, sorts=True),
    "message_statements.GET": in_conversation(PK["messages"], id=uuid7()),
    "message_statements.REPLACE": in_conversation(
        PK["messages"],
        **{f"new_{name}": MESSAGE[name] for name in REPLACED},
        id=uuid7(),
    ),
    "message_statements.SAVE_DRAFT": in_conversation(
        PK["messages"], id=uuid7(), content="a", new_status="complete"
    ),
    "message_statements.STALE_DRAFTS": page(DRAFTS, older_than=timedelta(0))._replace(
        across_users=True
    ),
    "message_statements.CLOSE_DRAFTS": system(
        DRAFTS, filters=True, ids=[uuid7()], older_than=timedelta(0)
    ),
    "retention.IDLE_SINCE": system(set(), older_than=timedelta(0)),
    "retention.OLDEST": by_hour(
        {"ix_conversations_active_hour"},
        before=LATEST,
        after_time=retention.EARLIEST[0],
        after_id=UUID(int=0),
    )._replace(
        sorts=True, is_page=False
    ),  # before 16, one plan for all values sorts all that is idle
    "retention.REMOVE_CONVERSATIONS": Case(
        # With two, both indexes are as good for a user who has thirty: it would change by chance.
        PK["conversations"],
        {"ids": [uuid7()], "before": LATEST},
        instead={"ix_conversations_active_hour"},
    ),
    "retention.LOCK_IDLE": in_conversation(PK["conversations"], before=LATEST),
    "retention.SHORTEN": in_conversation(PK["conversations"] | POSITION, by=1),
    "tasks.CREATE": by_id(set(), title="a", description=""),
    "tasks.GET": by_id(PK["tasks"]),
    "tasks.PAGE": page(
        {"ix_tasks_newest"}, after_time=LATEST, after_id=UUID(int=0), completed=None
    ),
    "tasks.EDIT": by_id(PK["tasks"], new_title="a", new_description=None),
    "tasks.SET_COMPLETED": by_id(PK["tasks"], completed=True),
    "tasks.DELETE": by_id(PK["tasks"]),
    "tool_calls.PENDING": on_path({"ix_messages_tools"}),
    "usage.RECORD": in_conversation(
        PK["messages"], id=uuid7(), **{f"new_{name}": None for name in WRITTEN if name != "body"}
    ),
    "usage.BY_DAY": usage(after_day="2026-03-02"),
    "usage.BY_CONVERSATION": usage(after_total=2**63 - 1, after_id=UUID(int=0)),
    # Of the user's messages with tokens, or of the conversation's messages: the fewer ones.
    "usage.OF_CONVERSATION": usage(conversation_id=None, after_day="2026-03-02")._replace(
        filters=True, instead=POSITION
    ),
    "users.CREATE": system(set(), id=uuid7(), subject_id="a", email=None),
    "users.CREATE_ONCE": system(set(), id=uuid7(), subject_id="a", email=None),
    "users.GET": system(PK["users"], id=uuid7()),
    "users.PAGE": system(PK["users"], before_id=UUID(int=2**128 - 1), limit=LIMIT),
    "users.BY_SUBJECT": system({"uq_users_subject_id"}, subject_id="user 1"),
    "users.BY_EMAIL": system({"uq_users_email"}, email="1@example.com"),
    "users.CHANGE_EMAIL": system(PK["users"], id=uuid7(), new_email=None),
    "users.DELETE": system(PK["users"], id=uuid7()),
}
READS_ALL = {
    "_mcp_tokens.COUNT",
    "mcp_configs.COUNT_SECRETS",
    "archives.HOLDINGS",
    "retention.IDLE_OF_USERS",
    "retention.USERS",
    "_forking.LACKS",
    *(f"{kind.table}.count_idle" for kind in ROWS),
    *(f"{kind.table}.remove {number}" for kind in ROWS for number in range(4)),
}
"""What an operator asks for, for all rows of a user or of a table; see also test_purge.py."""


class Planned(Exception):  # noqa: N818 - ends a transaction, and is no error
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan


async def explain(
    scope: AnyScope, statement: Statement[Any], case: Case, values: dict[str, Any], mode: str
) -> NoReturn:
    """Run a statement, roll back, and raise Planned."""
    driver = scope._driver
    compiled = scope._compiled(statement)
    arguments = compiled.bind(values, scope.user_id)
    await scope.open()
    await driver.execute(f"SET LOCAL plan_cache_mode = force_{mode}_plan")
    if case.is_streamed:
        found = await driver.fetchval(
            f"{EXPLAIN} DECLARE streamed CURSOR FOR {compiled.sql}", *arguments
        )
    else:
        prepared = await driver.prepare(compiled.sql)
        literals = [
            await driver.fetchval(
                f"SELECT quote_nullable(CAST($1 AS {type_.name})::text)", argument
            )
            for type_, argument in zip(prepared.get_parameters(), arguments, strict=True)
        ]
        execute = f'EXECUTE "{prepared.get_name()}" ({", ".join(literals)})'
        found = await driver.fetchval(f"{EXPLAIN} {execute}")
    (explained,) = json.loads(found) if isinstance(found, str) else found
    raise Planned(explained["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.fixture(scope="module")
def own_settings(server: Server, template_database: str) -> Iterator[Settings]:
    with _database(server, template_database) as url:
        yield Settings(database_url=SecretStr(dsn(url)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(own_settings: Settings) -> AsyncIterator[World]:
    """A user with a long conversation, among many others. Nothing in it is changed."""
    async with Database(own_settings) as db:
        user = await db.run_system(users.create, subject_id="me")
        ids = {"user_id": user.id, "long_id": uuid7()}
        async with db.sessions.begin() as session:
            for sql in FILL.split(";"):
                await session.execute(text(sql), ids if ":user_id" in sql else {})
        yield World(db, user.id, ids["long_id"])


async def planned(world: World, name: str, mode: str) -> dict[str, Any]:
    case, statement = CASES[name], named_statements()[name]
    values = dict(case.values)
    if "conversation_id" in values:
        values["conversation_id"] = world.conversation_id
    if "of_user" in values:
        values["of_user"] = world.user_id
    if "conversation_ids" in values:
        values["conversation_ids"] = [world.conversation_id] * 3
    try:
        if case.across_users:
            await world.db.run_system(explain, statement, case, values, mode)
        await world.db.run(world.user_id, explain, statement, case, values, mode)
    except Planned as ended:
        return ended.plan
    raise AssertionError("nothing was planned")


def test_no_statement_is_forgotten() -> None:
    """A new statement is planned before it meets a table of any size."""
    assert CASES.keys() | READS_ALL == named_statements().keys()


@pytest.mark.parametrize("mode", ["custom", "generic"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_search_reads_no_conversation_after_it_has_found_enough(
    world: World, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first page costs as much as all that the user has said."""
    name = "search_statements.SEARCH"
    values = {**CASES[name].values, "text": "x", "limit": LIMIT}
    monkeypatch.setitem(CASES, name, CASES[name]._replace(values=values))
    plan = await planned(world, name, mode)
    (scan,) = (node for node in nodes(plan) if node.get("Index Name") in POSITION)
    assert (plan["Actual Rows"], scan["Actual Loops"]) == (LIMIT, 1)


@pytest.mark.parametrize("mode", ["custom", "generic"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_statement_reads_its_index_and_nothing_else(
    world: World, name: str, mode: str
) -> None:
    """Else it gets slower with everything that anybody stores."""
    case = CASES[name]
    plan = await planned(world, name, mode)
    tree = list(nodes(plan))
    told = json.dumps(plan, indent=1)
    scans = [node for node in tree if "Index Name" in node]
    read = {node["Index Name"] for node in scans}
    assert read in (case.indexes, case.instead), told
    assert not [node for node in tree if node["Node Type"] == "Seq Scan"], told
    sorts = {node["Node Type"] for node in tree if "Sort" in node["Node Type"]}
    assert case.sorts or sorts == ({"Incremental Sort"} if case.sorts_hours else set()), told
    if not case.filters and read == case.indexes:
        assert not [node for node in tree if node.get("Rows Removed by Filter")], told
    if case.is_page:
        (scan,) = scans
        assert plan["Actual Rows"] == LIMIT, told
        # The first entry of the next hour tells that the hour is over.
        assert LIMIT <= scan["Actual Rows"] <= LIMIT + case.sorts_hours, told
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 2 * LIMIT + 10, told
