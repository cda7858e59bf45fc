"""Reminders, and the worker that delivers them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from faceplate import Database
from faceplate.integrations.fastapi import UserRunner
from faceplate.services import conversations, messages, users
from faceplate.testing import Clock, Faults

from app import reminders
from app.worker import work

PAST = datetime(2026, 1, 1, tzinfo=UTC)


async def contents(chat: UserRunner, conversation_id: UUID) -> list[str]:
    shown = await chat.run(messages.history, conversation_id, limit=50)
    return [message.content for message in shown]


async def test_a_reminder_is_kept(faceplate_client: httpx.AsyncClient) -> None:
    created = await faceplate_client.post("/conversations", json={"title": "Oslo"})
    path = f"/conversations/{created.json()['id']}/reminders"
    body = {"text": "Pack", "due_at": PAST.isoformat()}
    assert (await faceplate_client.post(path, json=body)).status_code == 201
    (kept,) = (await faceplate_client.get("/reminders")).json()
    assert (kept["text"], kept["sent_at"]) == ("Pack", None)


async def test_a_blank_reminder_is_refused(faceplate_client: httpx.AsyncClient) -> None:
    created = await faceplate_client.post("/conversations", json={"title": "Oslo"})
    path = f"/conversations/{created.json()['id']}/reminders"
    answer = await faceplate_client.post(path, json={"text": " ", "due_at": PAST.isoformat()})
    assert (answer.status_code, answer.json()["field"]) == (422, "reminders.text")


async def test_the_worker_delivers_to_each_user_once(faceplate_db: Database) -> None:
    chats = []
    for name in ("ada", "bob"):
        user = await faceplate_db.run_system(users.create, subject_id=name)
        chat = await faceplate_db.run(user.id, conversations.create)
        await faceplate_db.run(user.id, reminders.add, chat.id, text=f"for {name}", due_at=PAST)
        chats.append((UserRunner(faceplate_db, user.id), chat.id))
    assert await work(faceplate_db) == 2
    assert await work(faceplate_db) == 0
    assert [await contents(*chat) for chat in chats] == [
        ["Reminder: for ada"],
        ["Reminder: for bob"],
    ]


async def test_a_reminder_waits_until_it_is_due(
    faceplate_runner: UserRunner, faceplate_clock: Clock
) -> None:
    chat = await faceplate_runner.run(conversations.create)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await faceplate_runner.run(reminders.add, chat.id, text="Pack", due_at=tomorrow)
    assert await work(faceplate_runner.db) == 0
    faceplate_clock.advance(timedelta(days=2))
    assert await work(faceplate_runner.db) == 1


async def test_a_lost_connection_delivers_once(
    faceplate_runner: UserRunner, faceplate_faults: Faults
) -> None:
    chat = await faceplate_runner.run(conversations.create)
    added = await faceplate_runner.run(reminders.add, chat.id, text="Pack", due_at=PAST)
    faceplate_faults.lose_connection("commit")
    assert await faceplate_runner.run(reminders.deliver, added.id)
    assert not await faceplate_runner.run(reminders.deliver, added.id)
    assert await contents(faceplate_runner, chat.id) == ["Reminder: Pack"]


async def test_a_reply_of_a_dead_process_is_ended(
    faceplate_runner: UserRunner, faceplate_clock: Clock
) -> None:
    chat = await faceplate_runner.run(conversations.create)
    draft = await faceplate_runner.run(messages.append_draft, chat.id)
    faceplate_clock.advance(timedelta(minutes=5))
    await work(faceplate_runner.db)
    ended = await faceplate_runner.run(messages.get, chat.id, draft.id)
    assert ended.status == "interrupted"
