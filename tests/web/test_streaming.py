"""Streamed replies as docs/web/streaming.md shows them, and their errors before they start."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, assert_type
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from tests.web.conftest import Calling
from tests.web.pages import SILENT, WEB, ended, loaded, written
from tests.web.servers import DEADLINE_S, Server, running
from uuid6 import uuid7
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from faceplate import Database, User
from faceplate.integrations.fastapi import runner_for
from faceplate.integrations.web import UserRunner, start_stream
from faceplate.services import conversations, messages

PAGE = WEB / "streaming.md"
MUTE = """
import asyncio


async def model(question):
    await asyncio.Event().wait()
    yield ""


async def reply(chat, conversation_id, question, after=None):
    async with chat.draft(conversation_id) as draft:
        yield ""
        async for text in draft.keep(model(question)):
            yield text
"""
FAILING = """

async def model(question):
    yield "half"
    raise RuntimeError("the model failed")
"""
TALKATIVE = """
import asyncio


async def model(question):
    while True:
        yield "on "
        await asyncio.sleep(0.01)
"""


def current_user(x_user: Annotated[UUID, Header()]) -> UUID:
    return x_user


Chat = Annotated[UserRunner, Depends(runner_for(current_user))]


@pytest.fixture
async def page(database_url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return await loaded(PAGE, monkeypatch)


@pytest.fixture
async def chat_id(db: Database, user: User) -> UUID:
    return (await db.run(user.id, conversations.create)).id


async def test_a_reply_is_streamed_and_stored(
    page: ModuleType, calling: Calling, db: Database, user: User, chat_id: UUID
) -> None:
    """Else a reader who copies the page has no reply, or loses it."""
    async with calling(page.app, headers={"X-User": str(user.id)}) as http:
        answer = await http.post(f"/conversations/{chat_id}/replies", json={"question": "rain?"})
        assert (answer.status_code, answer.text) == (200, "Rain, I fear.")
    reply = await ended(db, user, chat_id)
    assert (reply.content, reply.status) == ("Rain, I fear.", "complete")


async def _post(http: httpx.AsyncClient, chat_id: object, **body: Any) -> httpx.Response:
    return await http.post(f"/conversations/{chat_id}/replies", json=body)


@pytest.mark.parametrize(
    ("known", "question", "after", "status", "code"),
    [
        (False, "rain?", None, HTTPStatus.NOT_FOUND, "not_found"),
        (True, "rain?", 1, HTTPStatus.CONFLICT, "conflict"),
        (True, "NUL \x00", None, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input"),
    ],
    ids=["no conversation", "a stale tab", "a refused question"],
)
async def test_an_error_before_the_first_text_has_its_own_status(
    page: ModuleType,
    calling: Calling,
    db: Database,
    user: User,
    chat_id: UUID,
    *,
    known: bool,
    question: str,
    after: int | None,
    status: int,
    code: str,
) -> None:
    """Else a client gets a 200 that breaks off, and cannot tell a lost chat from a lost network."""
    for _ in range(2):
        await db.run(user.id, messages.append, chat_id, role="user", content="hi")
    asked = chat_id if known else uuid7()
    async with calling(page.app, headers={"X-User": str(user.id)}) as http:
        answer = await _post(http, asked, question=question, after=after)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_without_start_stream_the_status_comes_too_early(
    page: ModuleType, calling: Calling, user: User
) -> None:
    """Else `start_stream` is a call that nobody needs."""

    app: FastAPI = page.app

    @app.post("/early/{chat_id}")
    async def early(chat_id: UUID, chat: Chat) -> StreamingResponse:
        return StreamingResponse(page.reply(chat, chat_id, "rain?"))

    async with calling(page.app, headers={"X-User": str(user.id)}) as http:
        answer = await http.post(f"/early/{uuid7()}")
    assert (answer.status_code, answer.text) == (200, "")


async def test_an_error_of_the_model_before_its_first_word_has_a_status(  # noqa: PLR0917 - fixtures
    page: ModuleType,
    calling: Calling,
    db: Database,
    user: User,
    chat_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a model that refuses at once looks like an answer without words."""

    async def busy(question: str) -> AsyncGenerator[str, None]:
        if question:
            raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS)
        yield ""

    monkeypatch.setattr(page, "model", busy)
    async with calling(page.app, headers={"X-User": str(user.id)}) as http:
        answer = await _post(http, chat_id, question="rain?")
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert (await ended(db, user, chat_id)).status == "failed"


async def test_a_stream_that_nobody_reads_ends_its_draft(
    db: Database, user: User, chat_id: UUID
) -> None:
    """Else a client that leaves before the response starts leaves a reply that streams for ever."""
    chat = UserRunner(db, user.id)

    async def pieces() -> AsyncGenerator[str, None]:
        yield "half"
        await asyncio.Event().wait()

    async def reply() -> AsyncGenerator[str, None]:
        async with chat.draft(chat_id, save_every_s=0.01) as draft:
            async for text in draft.keep(pieces()):
                yield text

    stream = await start_stream(reply())
    del stream
    left = await ended(db, user, chat_id)
    assert (left.content, left.status) == ("half", "interrupted")


async def test_a_started_stream_has_every_item() -> None:
    """Else the first word, or a reply of one word or none, is lost."""

    async def counted(count: int) -> AsyncGenerator[int, None]:
        for number in range(count):
            yield number

    for count in range(4):
        stream = assert_type(await start_stream(counted(count)), AsyncGenerator[int, None])
        assert [item async for item in stream] == [*range(count)]


@contextmanager
def _served(directory: Path, database_url: str, model: str = "") -> Iterator[Server]:
    """The page under uvicorn, with another model."""
    with written(PAGE, directory).open("a") as file:
        file.write(model)
    arguments = ["uvicorn", "application:app", "--timeout-graceful-shutdown", "1"]
    with running(arguments, database_url, PYTHONPATH=str(directory)) as server:
        yield server


def _talking(server: Server, user: User, chat_id: UUID) -> connect:
    url = f"{server.url.replace('http', 'ws')}/conversations/{chat_id}/live"
    return connect(url, additional_headers={"X-User": str(user.id)})


async def test_a_client_that_leaves_interrupts_its_reply(
    tmp_path: Path, database_url: str, db: Database, user: User, chat_id: UUID
) -> None:
    """Else a closed tab loses what was shown, or the model talks on for nobody."""
    with _served(tmp_path, database_url, SILENT) as server:
        headers = {"X-User": str(user.id)}
        async with (
            httpx.AsyncClient(base_url=server.url, headers=headers, timeout=DEADLINE_S) as http,
            http.stream(
                "POST", f"/conversations/{chat_id}/replies", json={"question": "rain?"}
            ) as answer,
        ):
            assert await anext(answer.aiter_text()) == "half"
        reply = await ended(db, user, chat_id)
    assert (reply.content, reply.status) == ("half", "interrupted")


async def test_a_response_starts_before_the_model_speaks_where_it_has_to(
    tmp_path: Path, database_url: str, db: Database, user: User, chat_id: UUID
) -> None:
    """Else a proxy gives a slow model up, and the page's way out of it does nothing."""
    with _served(tmp_path, database_url, MUTE) as server:
        headers = {"X-User": str(user.id)}
        async with (
            httpx.AsyncClient(base_url=server.url, headers=headers, timeout=DEADLINE_S) as http,
            http.stream(
                "POST", f"/conversations/{chat_id}/replies", json={"question": "rain?"}
            ) as answer,
        ):
            assert answer.status_code == HTTPStatus.OK
        assert (await ended(db, user, chat_id)).status == "interrupted"


async def test_a_websocket_answers_errors_and_goes_on(
    tmp_path: Path, database_url: str, db: Database, user: User, chat_id: UUID
) -> None:
    """Else one refused question ends the talk, or shows a traceback in the log."""
    with _served(tmp_path, database_url) as server:
        async with _talking(server, user, chat_id) as socket:
            await socket.send("NUL \x00")
            assert '"code":"invalid_input"' in str(await socket.recv())
            await socket.send("rain?")
            assert await socket.recv() == '{"text":"Rain, I fear."}'
            assert await socket.recv() == '{"done":true}'
    assert (await ended(db, user, chat_id)).status == "complete"
    assert not [line for line in server.log if "Traceback" in line]


@pytest.mark.parametrize("model", [SILENT, TALKATIVE], ids=["silent", "talkative"])
async def test_a_websocket_that_is_closed_interrupts_its_reply(  # noqa: PLR0917 - fixtures
    tmp_path: Path, database_url: str, db: Database, user: User, chat_id: UUID, model: str
) -> None:
    """Else the model talks on for nobody, and its reply streams for ever."""
    with _served(tmp_path, database_url, model) as server:
        async with _talking(server, user, chat_id) as socket:
            await socket.send("rain?")
            shown = json.loads(await socket.recv())["text"]
        reply = await ended(db, user, chat_id)
    assert reply.status == "interrupted"
    assert reply.content.startswith(shown)
    assert not [line for line in server.log if "Traceback" in line]


async def test_the_next_question_stops_a_reply(
    tmp_path: Path, database_url: str, db: Database, user: User, chat_id: UUID
) -> None:
    """Else two replies are mixed, or the second question waits for a model that is silent."""
    with _served(tmp_path, database_url, SILENT) as server:
        async with _talking(server, user, chat_id) as socket:
            for question in ("rain?", "and snow?"):
                await socket.send(question)
                assert json.loads(await socket.recv()) == {"text": "half"}
            found = await db.run(user.id, messages.history, chat_id)
    assert [(one.content, one.status) for one in found] == [
        ("rain?", "complete"),
        ("half", "interrupted"),
        ("and snow?", "complete"),
        ("half", "streaming"),
    ]


async def test_a_model_that_fails_closes_its_websocket(
    tmp_path: Path, database_url: str, db: Database, user: User, chat_id: UUID
) -> None:
    """Else the page waits for ever for a reply that has failed."""
    with _served(tmp_path, database_url, FAILING) as server:
        async with _talking(server, user, chat_id) as socket:
            await socket.send("rain?")
            assert json.loads(await socket.recv()) == {"text": "half"}
            with pytest.raises(ConnectionClosedError):
                await socket.recv()
        assert (await ended(db, user, chat_id)).status == "failed"
    assert any("the model failed" in line for line in server.log)
