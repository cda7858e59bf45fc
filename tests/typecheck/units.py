"""What faceplate's own units return through `Database.run`, and what their records hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, assert_type
from uuid import UUID

from fastapi import Depends, FastAPI

from faceplate import Database, Scope, drafts, erasure, records, transcripts
from faceplate.column_types import JsonObject
from faceplate.importers import Report, import_file
from faceplate.integrations.fastapi import UserRunner, lifespan, runner_for
from faceplate.pagination import Page
from faceplate.services import (
    conversations,
    documents,
    mcp_configs,
    messages,
    retention,
    tasks,
    usage,
    users,
)
from faceplate.services.messages import NewMessage
from faceplate.services.tool_calls import PendingToolCall


async def people(db: Database, user_id: UUID) -> None:
    created = await db.run_system(users.create, subject_id="ada", email="ada@example.com")
    assert_type(created, records.User)
    assert_type(await db.run_system(users.get, user_id), records.User)
    assert_type(await db.run_system(users.change_email, user_id, None), records.User)
    await db.run_system(users.delete, user_id)


async def chats(db: Database, user_id: UUID, chat_id: UUID) -> None:
    created = await db.run(user_id, conversations.create, title="Oslo", metadata={"model": "m"})
    assert_type(created, records.Conversation)
    assert_type(await db.run(user_id, conversations.get, chat_id), records.Conversation)
    page = await db.run(user_id, conversations.page, limit=20)
    assert_type(page, Page[records.Conversation])
    assert_type(page.items, list[records.Conversation])
    assert_type(page.next_cursor, str | None)


async def said(db: Database, user_id: UUID, chat_id: UUID) -> None:
    appended = await db.run(user_id, messages.append, chat_id, role="user", content="Hi")
    assert_type(appended, records.Message)
    asked = await db.run(user_id, messages.ask, chat_id, role="user", content="Hi", limit=20)
    assert_type(asked, list[records.Message])
    many = await db.run(user_id, messages.append_many, chat_id, [NewMessage("user", "Hi")])
    assert_type(many, list[records.Message])
    assert_type(await db.run(user_id, messages.history, chat_id, limit=5), list[records.Message])
    calls = await db.run(user_id, messages.pending_tool_calls, chat_id)
    assert_type(calls, list[PendingToolCall])
    assert_type(await db.run(user_id, messages.remove_after, chat_id, 3), int)
    assert_type(await db.run(user_id, messages.remove_one, chat_id, user_id), records.Message)
    found = await db.run(user_id, messages.branches, chat_id, 3)
    assert_type(found, list[records.Branch])
    assert_type(await db.run(user_id, conversations.switch, chat_id, 3), records.Conversation)
    assert_type(await db.run(user_id, messages.page, chat_id), Page[records.Message])
    swept = await db.run_system(messages.sweep_drafts, older_than=timedelta(hours=1))
    assert_type(swept, int)


async def walked(scope: Scope, chat_id: UUID) -> None:
    assert_type([one async for one in messages.walk(scope, chat_id)], list[records.Message])


async def rest(db: Database, user_id: UUID, row_id: UUID) -> None:
    assert_type(await db.run(user_id, tasks.complete, row_id), records.Task)
    assert_type(await db.run(user_id, tasks.page), Page[records.Task])
    assert_type(await db.run(user_id, mcp_configs.by_name, "files"), records.McpConfig)
    assert_type(await db.run(user_id, mcp_configs.get_secrets, row_id), JsonObject)
    assert_type(await db.run(user_id, documents.put, "kind", "key", "{}"), int)
    assert_type(await db.run(user_id, documents.update, "kind", "key", "{}", version=1), int)
    assert_type(await db.run(user_id, documents.get, "kind", "key"), records.Document)
    assert_type(await db.run(user_id, documents.lock, "kind", "key"), records.Document)
    assert_type(await db.run(user_id, documents.page, "kind"), Page[records.Document])
    since = datetime(2026, 3, 1, tzinfo=UTC)
    days = await db.run(user_id, usage.by_day, since=since)
    assert_type(days, Page[records.DailyUsage])
    chats = await db.run(user_id, usage.by_conversation, since=since)
    assert_type(chats, Page[records.ConversationUsage])
    assert_type(await db.run_system(retention.idle_since, timedelta(days=9)), datetime)


async def operated(db: Database, user_id: UUID, path: Path) -> None:
    assert_type(await erasure.erase(db, user_id), erasure.Erased)
    assert_type(await erasure.remains(db, user_id), dict[str, int])
    assert_type(await import_file(db, user_id, path), Report)
    message = await anext(transcripts.read(db, user_id, UUID(int=0)))
    assert_type(message, records.Message)


def read(message: records.Message, config: records.McpConfig, task: records.Task) -> None:
    assert_type(message.position, int)
    assert_type(message.content, str)
    assert_type(message.tool_calls, list[dict[str, Any]] | None)
    assert_type(message.metadata, dict[str, Any])
    assert_type(message.created_at, datetime)
    assert_type(config.config, dict[str, Any])
    assert_type(config.enabled, bool)
    assert_type(task._replace(completed=True), records.Task)


async def streamed(db: Database, user_id: UUID, chat_id: UUID) -> None:
    async with drafts.open(db, user_id, chat_id) as draft:
        assert_type(draft, drafts.Draft)
        await draft.write("Hel")
    assert_type(draft.message, records.Message)


async def current_user() -> UUID:
    return UUID(int=0)


async def current_subject() -> str:
    return "ada"


Chat = Annotated[UserRunner, Depends(runner_for(current_user))]
ChatOfSubject = Annotated[UserRunner, Depends(runner_for(current_subject))]
app = FastAPI(lifespan=lifespan())


@app.post("/conversations/{chat_id}/messages")
async def post_message(chat_id: UUID, text: str, chat: Chat, other: ChatOfSubject) -> None:
    assert_type(chat, UserRunner)
    assert_type(other, UserRunner)
    message = await chat.run(messages.append, chat_id, role="user", content=text)
    assert_type(message, records.Message)
    async with chat.begin() as scope:
        assert_type(scope, Scope)
    async with chat.draft(chat_id, after=message.position) as draft:
        assert_type(draft, drafts.Draft)
