"""Conversations, and the replies in them."""

from uuid import UUID, uuid4

import httpx
from faceplate import Database
from faceplate.integrations.fastapi import UserRunner
from faceplate.services import conversations, messages, users

from app import replies


async def begin(client: httpx.AsyncClient) -> str:
    created = await client.post("/conversations", json={"title": "Weather"})
    conversation_id: str = created.json()["id"]
    return conversation_id


async def test_a_reply_is_streamed_and_stored(faceplate_client: httpx.AsyncClient) -> None:
    path = f"/conversations/{await begin(faceplate_client)}"
    answer = await faceplate_client.post(f"{path}/replies", json={"text": "Rain?"})
    assert answer.text == "You said: Rain? "
    shown = (await faceplate_client.get(f"{path}/messages")).json()
    assert [(each["role"], each["content"], each["status"]) for each in shown] == [
        ("user", "Rain?", "complete"),
        ("assistant", "You said: Rain? ", "complete"),
    ]


async def test_a_reader_who_leaves_interrupts_the_reply(faceplate_runner: UserRunner) -> None:
    chat = await faceplate_runner.run(conversations.create)
    reply = await replies.begin(faceplate_runner, chat.id, "Rain?")
    await anext(reply)
    await reply.aclose()
    (last,) = await faceplate_runner.run(messages.history, chat.id, limit=1)
    assert last.status == "interrupted"


async def test_a_refusal_has_its_own_status(faceplate_client: httpx.AsyncClient) -> None:
    nowhere = f"/conversations/{uuid4()}/replies"
    answer = await faceplate_client.post(nowhere, json={"text": "Rain?"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    somewhere = f"/conversations/{await begin(faceplate_client)}/replies"
    answer = await faceplate_client.post(somewhere, json={"text": "\0"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_a_stranger_finds_nothing(
    faceplate_client: httpx.AsyncClient, faceplate_db: Database
) -> None:
    stranger = await faceplate_db.run_system(users.create, subject_id="stranger")
    theirs = await faceplate_db.run(stranger.id, conversations.create)
    for path in ("messages", "replies", "reminders"):
        assert (await call(faceplate_client, theirs.id, path)).status_code == 404


async def call(client: httpx.AsyncClient, conversation_id: UUID, path: str) -> httpx.Response:
    url = f"/conversations/{conversation_id}/{path}"
    if path == "messages":
        return await client.get(url)
    body = {"text": "Rain?", "due_at": "2026-01-01T00:00:00Z"}
    return await client.post(url, json=body)


async def test_the_probe_says_ready(faceplate_client: httpx.AsyncClient) -> None:
    assert (await faceplate_client.get("/readyz")).json()["ready"]
