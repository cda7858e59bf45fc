"""The application: ``uvicorn --factory examples.chat.app:create_app``, or ``make serve``.

faceplate comes in with `lifespan`, `install`, `health_router` and the parameter `Chat` of each
handler; the rest is the example.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from examples.chat import imports, routes
from examples.chat.headers import secured
from examples.chat.model import Echo, Model
from examples.chat.people import DEMO_PEOPLE, settle
from examples.chat.settings import ChatSettings
from examples.chat.uploads import Uploads
from faceplate import Database, FaceplateError, Settings
from faceplate.integrations.fastapi import (
    RESPONSES,
    health_router,
    install,
    lifespan,
    problem_response,
)
from faceplate.integrations.web import MEDIA_TYPE, problem, problem_of
from faceplate.services import messages

logger = logging.getLogger("examples.chat")

STALE = timedelta(seconds=90)
"""A draft that nobody has saved for so long is a dead process's: a live one is every 30 seconds."""
SWEEP_EVERY_S = 30.0
MAX_BODY_BYTES = 16 * 2**20
"""More than a million characters take, each escaped as JSON may."""
UNLIMITED = sys.maxsize
"""For the handler of uploads, which has its own limit and answers with a problem document."""
STATIC = Path(__file__).parent / "static"
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {media_type: {}}}
    for status, description, media_type in (
        (400, "Bad Request: the body is not JSON", MEDIA_TYPE),
        (401, "Unauthorized: nobody is named in the header", MEDIA_TYPE),
        (413, "Content Too Large: refused before it is read", "text/plain"),
    )
}


class ChatApp(FastAPI):
    """FastAPI whose answers carry the security headers, those of its outermost errors too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            send = secured(scope["path"], send)
        await super().__call__(scope, receive, send)


def create_app(
    settings: Settings | None = None,
    *,
    chat_settings: ChatSettings | None = None,
    model: Model | None = None,
    people: Mapping[str, str] = DEMO_PEOPLE,
) -> FastAPI:
    """Return the application. Without arguments everything is read from the environment."""
    chat = chat_settings or ChatSettings()

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with (
            lifespan(settings)(app) as state,
            _model_of(chat) as provided,
            Uploads.opened(chat.max_upload_mb * 2**20) as uploads,
        ):
            db = state["faceplate"]
            await _sweep(db, timedelta(0) if chat.alone else STALE)
            sweeping = asyncio.create_task(_keep_sweeping(db))
            yield {
                **state,
                "people": await settle(db, people),
                "model": model or provided or Echo(chat.token_delay_s),
                "save_every_s": chat.save_every_s,
                "uploads": uploads,
            }
            sweeping.cancel()
            await asyncio.wait({sweeping})

    app = ChatApp(
        title="Chat over faceplate", version="1", lifespan=opened, max_body_size=MAX_BODY_BYTES
    )
    install(app)
    app.add_exception_handler(HTTPException, _answer_refusal)
    app.add_exception_handler(Exception, _answer_mistake)
    app.include_router(health_router())
    refusals = {**RESPONSES, **REFUSALS}
    app.include_router(routes.router, responses=refusals)
    app.include_router(imports.router, responses=refusals, max_body_size=UNLIMITED)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    return app


def _model_of(chat: ChatSettings) -> AbstractAsyncContextManager[Model | None]:
    """Return the model that a key is set for. The clients are imported only then."""
    if chat.provider is None:
        return nullcontext()
    from examples.chat import providers  # noqa: PLC0415 - it imports both clients

    return providers.opened(chat)


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    """What the framework refuses (no such path, no such method, nobody named), as a problem."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    told = problem(status, status.name.lower(), str(error.detail))
    told.headers.update(error.headers or {})
    return problem_response(told)


async def _answer_mistake(_request: Request, error: Exception) -> Response:
    """Anything else. Starlette raises it again behind the answer, and the server logs it."""
    return problem_response(problem_of(error))


async def _keep_sweeping(db: Database) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            await _sweep(db, STALE)
        except FaceplateError as error:
            logger.warning("drafts are not swept yet: %s", error)


async def _sweep(db: Database, older_than: timedelta) -> None:
    """End the replies of dead processes. Each worker does so, as it may be the one that is left."""
    while closed := await db.run_system(messages.sweep_drafts, older_than=older_than):
        logger.info("%d replies of a dead process ended as interrupted", closed)
