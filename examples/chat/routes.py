"""The HTTP interface: one handler for each thing to do, one unit in each."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.requests import HTTPConnection

from examples.chat import paths, schemas, turns
from examples.chat.people import Chat, Person, choosable
from examples.chat.replies import EventStream, answer
from faceplate import Conversation, Database, Scope, Task
from faceplate.integrations.fastapi import database
from faceplate.pagination import Page
from faceplate.services import conversations, tasks

if TYPE_CHECKING:
    from examples.chat.model import Model

EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["message", "draft", "delta", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: message, draft, delta, done, error",
        "content": {"text/event-stream": {"schema": EVENT}},
    }
}

router = APIRouter(prefix="/api")


class Answering:
    """How this application answers: the parameter of a handler that streams a reply."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._model = cast("Model", connection.state.model)
        self._save_every_s = float(connection.state.save_every_s)

    def stream(self, chat: Chat, turn: turns.Turn) -> EventStream:
        return EventStream.of(answer(chat, self._model, turn, save_every_s=self._save_every_s))


Answers = Annotated[Answering, Depends()]


@router.get("/users", response_model=list[schemas.PersonOut], tags=["users"])
async def list_users(
    connection: HTTPConnection, db: Annotated[Database, Depends(database)]
) -> list[Person]:
    """Who can be chosen in the demo."""
    return await choosable(db, connection.state.people)


@router.get("/conversations", response_model=schemas.ConversationPage, tags=["conversations"])
async def list_conversations(
    chat: Chat, limit: schemas.Limit = schemas.DEFAULT, cursor: schemas.Cursor = None
) -> Page[Conversation]:
    """The conversations, the one with the newest activity first."""
    return await chat.run(conversations.page, limit=limit, cursor=cursor)


@router.post(
    "/conversations",
    response_model=schemas.ConversationOut,
    status_code=HTTPStatus.CREATED,
    tags=["conversations"],
)
async def create_conversation(chat: Chat, new: schemas.ConversationIn) -> Conversation:
    """Begin a conversation."""
    return await chat.run(conversations.create, title=new.title, id=new.id)


@router.get(
    "/conversations/{conversation_id}",
    response_model=schemas.ConversationOut,
    tags=["conversations"],
)
async def get_conversation(chat: Chat, conversation_id: UUID) -> Conversation:
    """One conversation."""
    return await chat.run(conversations.get, conversation_id)


@router.patch(
    "/conversations/{conversation_id}",
    response_model=schemas.ConversationOut,
    tags=["conversations"],
)
async def rename_conversation(
    chat: Chat, conversation_id: UUID, change: schemas.ConversationChange
) -> Conversation:
    """Give a conversation another title."""
    return await chat.run(conversations.rename, conversation_id, change.title)


@router.delete(
    "/conversations/{conversation_id}", status_code=HTTPStatus.NO_CONTENT, tags=["conversations"]
)
async def delete_conversation(chat: Chat, conversation_id: UUID) -> None:
    """Delete a conversation with its messages."""
    await chat.run(conversations.delete, conversation_id)


@router.get(
    "/conversations/{conversation_id}/messages",
    response_model=schemas.MessageList,
    tags=["messages"],
)
async def list_messages(
    chat: Chat,
    conversation_id: UUID,
    before: Annotated[schemas.Position | None, Query()] = None,
    limit: schemas.Limit = schemas.DEFAULT,
) -> paths.Shown:
    """The last messages, or the last ones before a position, in their order."""
    return await chat.run(paths.show, conversation_id, before=before, limit=limit)


@router.put(
    "/conversations/{conversation_id}/path",
    response_model=schemas.MessageList,
    tags=["messages"],
)
async def follow_branch(chat: Chat, conversation_id: UUID, place: schemas.Place) -> paths.Shown:
    """Go on with the alternative at a position, and read the last messages of its branch."""
    return await chat.run(paths.follow, conversation_id, place.position)


@router.post(
    "/conversations/{conversation_id}/fork",
    response_model=schemas.ConversationOut,
    status_code=HTTPStatus.CREATED,
    tags=["conversations"],
)
async def fork_conversation(
    chat: Chat, conversation_id: UUID, fork: schemas.ForkIn
) -> Conversation:
    """Copy the messages up to a position into a conversation of its own."""
    return await chat.run(conversations.fork, conversation_id, at=fork.position, id=fork.id)


@router.post(
    "/conversations/{conversation_id}/replies",
    response_class=EventStream,
    responses=STREAM,
    tags=["messages"],
)
async def reply(
    chat: Chat, conversation_id: UUID, question: schemas.Question, answers: Answers
) -> EventStream:
    """Store a question, once however often it is sent with the same id, and stream the reply."""
    turn = await chat.run(
        turns.ask,
        conversation_id,
        content=question.content,
        id=question.id,
        path_end=question.path_end,
    )
    return answers.stream(chat, turn)


@router.post(
    "/conversations/{conversation_id}/messages/{message_id}/regenerate",
    response_class=EventStream,
    responses=STREAM,
    tags=["messages"],
)
async def regenerate(
    chat: Chat,
    conversation_id: UUID,
    message_id: UUID,
    again: schemas.Again,
    answers: Answers,
) -> EventStream:
    """Stream another reply to a question, given its id or that of a reply. Both are kept."""
    turn = await chat.run(turns.ask_again, conversation_id, message_id, path_end=again.path_end)
    return answers.stream(chat, turn)


@router.post(
    "/conversations/{conversation_id}/messages/{message_id}/edit",
    response_class=EventStream,
    responses=STREAM,
    tags=["messages"],
)
async def edit_message(
    chat: Chat,
    conversation_id: UUID,
    message_id: UUID,
    question: schemas.Question,
    answers: Answers,
) -> EventStream:
    """Store a question beside a message of the user, which is kept, and stream the reply."""
    turn = await chat.run(
        turns.ask_otherwise,
        conversation_id,
        message_id,
        content=question.content,
        id=question.id,
        path_end=question.path_end,
    )
    return answers.stream(chat, turn)


@router.get("/tasks", response_model=schemas.TaskPage, tags=["tasks"])
async def list_tasks(
    chat: Chat, limit: schemas.Limit = schemas.DEFAULT, cursor: schemas.Cursor = None
) -> Page[Task]:
    """The tasks, the newest first."""
    return await chat.run(tasks.page, limit=limit, cursor=cursor)


@router.post(
    "/tasks", response_model=schemas.TaskOut, status_code=HTTPStatus.CREATED, tags=["tasks"]
)
async def create_task(chat: Chat, new: schemas.TaskIn) -> Task:
    """Put a task on the list."""
    return await chat.run(tasks.create, title=new.title, description=new.description)


@router.patch("/tasks/{task_id}", response_model=schemas.TaskOut, tags=["tasks"])
async def change_task(chat: Chat, task_id: UUID, change: schemas.TaskChange) -> Task:
    """Change what is given of a task, and leave the rest."""
    return await chat.run(_change_task, task_id, change)


@router.delete("/tasks/{task_id}", status_code=HTTPStatus.NO_CONTENT, tags=["tasks"])
async def delete_task(chat: Chat, task_id: UUID) -> None:
    """Delete a task."""
    await chat.run(tasks.delete, task_id)


async def _change_task(scope: Scope, task_id: UUID, change: schemas.TaskChange) -> Task:
    task = await tasks.edit(scope, task_id, title=change.title, description=change.description)
    if change.completed is None:
        return task
    return await (tasks.complete if change.completed else tasks.reopen)(scope, task_id)
