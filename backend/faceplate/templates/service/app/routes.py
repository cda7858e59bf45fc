"""The handlers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from faceplate import Conversation, Message
from faceplate.integrations.fastapi import UserRunner, runner_for
from faceplate.services import conversations, messages
from fastapi import APIRouter, Body, Depends
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict

from app import reminders, replies
from app.sign_in import current_user

router = APIRouter()

Chat = Annotated[UserRunner, Depends(runner_for(current_user))]
Text = Annotated[str, Body(embed=True)]


class Out(BaseModel):
    """A response, made from what a unit returns."""

    model_config = ConfigDict(from_attributes=True)


class ConversationOut(Out):
    id: UUID
    title: str


class MessageOut(Out):
    id: UUID
    position: int
    role: str | None
    content: str
    status: str


class ReminderIn(BaseModel):
    text: str
    due_at: AwareDatetime


class ReminderOut(Out):
    id: UUID
    conversation_id: UUID
    text: str
    due_at: datetime
    sent_at: datetime | None


@router.post("/conversations", response_model=ConversationOut, status_code=201)
async def create_conversation(title: Text, chat: Chat) -> Conversation:
    return await chat.run(conversations.create, title=title)


@router.get("/conversations", response_model=list[ConversationOut])
async def list_conversations(chat: Chat) -> list[Conversation]:
    return (await chat.run(conversations.page)).items


@router.get("/conversations/{conversation_id}/messages", response_model=list[MessageOut])
async def show_messages(conversation_id: UUID, chat: Chat) -> list[Message]:
    return await chat.run(messages.history, conversation_id, limit=50)


@router.post("/conversations/{conversation_id}/replies")
async def reply(conversation_id: UUID, text: Text, chat: Chat) -> StreamingResponse:
    return StreamingResponse(
        await replies.begin(chat, conversation_id, text), media_type="text/plain"
    )


@router.post(
    "/conversations/{conversation_id}/reminders", response_model=ReminderOut, status_code=201
)
async def add_reminder(
    conversation_id: UUID, reminder: ReminderIn, chat: Chat
) -> reminders.Reminding:
    return await chat.run(
        reminders.add, conversation_id, text=reminder.text, due_at=reminder.due_at
    )


@router.get("/reminders", response_model=list[ReminderOut])
async def list_reminders(chat: Chat) -> list[reminders.Reminding]:
    return await chat.run(reminders.first)
