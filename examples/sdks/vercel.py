"""A chat of the Vercel AI SDK, kept by faceplate: two handlers for its ``UIMessage``.

``useChat`` loads a chat with GET as its ``messages``; ``onFinish`` and ``sendMessage`` post each
message. Run it with `uvicorn examples.sdks.vercel:app` after `faceplate server start` and
`faceplate migrate`.
"""

import json
from typing import Annotated, Any
from uuid import uuid5

from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel, ConfigDict

from faceplate import Message, NotFound
from faceplate.integrations.fastapi import UserRunner, install, lifespan, runner_for
from faceplate.services import conversations, messages
from faceplate.services.messages import NewConversation

SOURCE = "vercel-ai"


class UIMessage(BaseModel):
    """What the handlers look into; everything else is kept as it is."""

    model_config = ConfigDict(extra="allow")

    id: str
    role: str
    parts: list[dict[str, Any]]


def current_user(x_user: Annotated[str, Header()]) -> str:
    """Your authentication: it returns the ``sub`` of a verified token."""
    return x_user


Chat = Annotated[UserRunner, Depends(runner_for(current_user))]
app = FastAPI(lifespan=lifespan())
install(app)


def text_of(message: UIMessage) -> str:
    """Return the text that the product's other pages and its search show."""
    texts = [part["text"] for part in message.parts if part.get("type") == "text"]
    clean = "\n".join(texts).encode(errors="replace").decode()  # without lone surrogates
    return clean.replace("\0", "\ufffd")[:1_000_000]


def ui_message(row: Message) -> Any:
    """Return a message as it was posted; another program's as one with a text."""
    if row.body is not None:
        return row.parsed_body()
    parts = [{"type": "text", "text": row.content}]
    return {"id": str(row.id), "role": row.role, "parts": parts}


@app.post("/chats/{chat_id}/messages", status_code=201)
async def post_message(
    chat_id: str, message: UIMessage, chat: Chat, after: str | None = None
) -> dict[str, int]:
    """Store a message once, whatever the client repeats; the first one makes the chat.

    ``after`` is the id of the message that it follows, for an edited or regenerated one: what is
    there stays as another branch.
    """
    id_ = conversations.id_of(chat.user_id, source=SOURCE, key=chat_id)
    text = text_of(message)
    place: dict[str, Any] = {}
    if after is not None:
        before = await chat.run(messages.get, id_, uuid5(id_, after))
        place = {"after": before.position, "branch": True}
    stored = await chat.run(
        messages.append,
        id_,
        id=uuid5(id_, message.id),
        role=message.role,
        content=text,
        body=json.dumps(message.model_dump()),
        opens=NewConversation(SOURCE, chat_id, title=text[:80].strip() or "New Chat"),
        **place,
    )
    return {"position": stored.position}


@app.get("/chats/{chat_id}/messages")
async def get_messages(chat_id: str, chat: Chat) -> list[Any]:
    """Return the messages of the chat for ``useChat``."""
    id_ = conversations.id_of(chat.user_id, source=SOURCE, key=chat_id)
    try:
        rows = await chat.run(messages.everything, id_)
    except NotFound:
        return []
    return [ui_message(row) for row in rows if row.role in {"user", "assistant", "system"}]
