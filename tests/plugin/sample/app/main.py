"""A service with notes, and two ways to do each thing: one stands a fault, the other does not."""

import asyncio
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException
from sqlalchemy import func, insert, select

from app import models
from app.models import Note
from faceplate import CommitOutcomeUnknown, ConnectionLost, FaceplateError, Scope
from faceplate.integrations.fastapi import UserRunner, health_router, install, lifespan, runner_for
from faceplate.services import conversations, messages

SENT: list[str] = []
"""The mails that were sent."""


router = APIRouter()


def current_user(x_token: Annotated[str, Header()]) -> str:
    return x_token  # the sub of a token


Chat = Annotated[UserRunner, Depends(runner_for(current_user))]
Text = Annotated[str, Body(embed=True)]


async def add_and_mail(scope: Scope, text: str) -> UUID:
    """Naive: the mail goes out once for each attempt, and before COMMIT."""
    SENT.append(text)
    return await models.add(scope, text)


async def add_once(scope: Scope, note_id: UUID, text: str) -> UUID:
    """Add a note under the client's id, unless it is there."""
    if await scope.session.get(Note, (scope.user_id, note_id)) is None:
        await scope.session.execute(insert(Note).values(id=note_id, body=text))
    return note_id


async def count(scope: Scope) -> int:
    found = await scope.session.scalar(select(func.count()).select_from(Note))
    return found or 0


@router.post("/notes")
async def post_note(text: Text, chat: Chat) -> UUID:
    return await chat.run(models.add, text)


@router.get("/notes")
async def get_notes(chat: Chat) -> list[str]:
    return await chat.run(models.bodies)


@router.post("/naive/mailed-notes")
async def mail_within(text: Text, chat: Chat) -> UUID:
    return await chat.run(add_and_mail, text)


@router.post("/mailed-notes")
async def mail_after(text: Text, chat: Chat) -> UUID:
    note_id = await chat.run(models.add, text)
    SENT.append(text)
    return note_id


@router.post("/naive/retried-notes")
async def retry_blindly(text: Text, chat: Chat) -> UUID:
    try:
        return await chat.run(models.add, text)
    except CommitOutcomeUnknown:
        return await chat.run(models.add, text)  # naive: it may be there already


@router.put("/notes/{note_id}")
async def put_note(note_id: UUID, text: Text, chat: Chat) -> UUID:
    return await chat.run(add_once, note_id, text)


@router.post("/naive/swallowed-notes")
async def swallow(text: Text, chat: Chat) -> str:
    with suppress(FaceplateError):  # naive: the caller is told that all is well
        await chat.run(models.add, text)
    return "stored"


@router.post("/naive/block")
async def block(text: Text, chat: Chat) -> str:
    async with chat.begin() as scope:  # naive: a block is never retried
        await models.add(scope, text)
    return "stored"


@router.post("/hurried-notes")
async def hurry(text: Text, chat: Chat) -> UUID:
    """Answer within the limit that callers were promised. (`POST /notes` naively waits.)"""
    try:
        async with asyncio.timeout(0.05):
            return await chat.run(models.add, text)
    except TimeoutError:
        raise HTTPException(503) from None


@router.post("/questions")
async def ask(text: Text, chat: Chat) -> int:
    conversation = await chat.run(conversations.create)
    try:
        message = await chat.run(messages.append, conversation.id, role="user", content=text)
    except ConnectionLost:
        return 0
    return message.position


def create_app() -> FastAPI:
    app = FastAPI(lifespan=lifespan())
    app.include_router(health_router())
    app.include_router(router)
    install(app)
    return app
