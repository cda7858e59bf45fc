"""The FastAPI integration: a runner for the current user, errors as problems, and probes."""

import asyncio
import importlib
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple, assert_type
from uuid import UUID

import asyncpg
import pytest
from fastapi import Depends, FastAPI, Header, WebSocket
from tests.databases import outside
from tests.web.conftest import Calling
from uuid6 import uuid7

from faceplate import (
    CannotConnect,
    CommitOutcomeUnknown,
    ConfigurationError,
    Conflict,
    ConnectionLost,
    Contention,
    Conversation,
    Database,
    DatabaseError,
    InvalidInput,
    NotErased,
    NotFound,
    Overloaded,
    PoolExhausted,
    Settings,
    Task,
    TimedOut,
    Unauthorized,
    Unavailable,
    UsageError,
    User,
    drafts,
    errors,
)
from faceplate.integrations import web
from faceplate.integrations.fastapi import (
    RESPONSES,
    UserRunner,
    database,
    health_router,
    install,
    lifespan,
    runner_for,
)
from faceplate.services import conversations, messages, tasks, users

SECRET = "db.internal:5432/app: SELECT secret FROM t"  # what must not reach a client


def current_user(x_user: Annotated[UUID, Header()]) -> UUID:
    return x_user


Runner = Annotated[UserRunner, Depends(runner_for(current_user))]


def application(settings: Settings) -> FastAPI:
    """What somebody has who followed the README."""
    app = FastAPI(lifespan=lifespan(settings), responses=RESPONSES)
    install(app)
    app.include_router(health_router())

    @app.post("/tasks")
    async def create(title: str, runner: Runner) -> dict[str, UUID]:
        return {"id": (await runner.run(tasks.create, title=title)).id}

    @app.get("/tasks/{task_id}")
    async def read(task_id: UUID, runner: Runner) -> dict[str, str]:
        async with runner.begin() as scope:
            return {"title": (await tasks.get(scope, task_id)).title}

    return app


def failing(settings: Settings, error: Exception) -> FastAPI:
    app = FastAPI(lifespan=lifespan(settings))
    install(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    return app


async def test_a_handler_works_for_the_user_whom_the_application_names(
    settings: Settings, calling: Calling, user: User, other_user: User
) -> None:
    """Else a handler sees nobody's rows, or everybody's."""
    async with calling(application(settings)) as http:
        mine, theirs = {"X-User": str(user.id)}, {"X-User": str(other_user.id)}
        task = (await http.post("/tasks", params={"title": "Mine"}, headers=mine)).json()
        assert (await http.get(f"/tasks/{task['id']}", headers=mine)).json() == {"title": "Mine"}
        refused = await http.get(f"/tasks/{task['id']}", headers=theirs)
        assert refused.status_code == 404


async def test_a_subject_is_made_a_user_on_first_sight(
    settings: Settings, calling: Calling, db: Database
) -> None:
    """Else an application with nothing but a token's sub has to look users up by itself."""
    app = FastAPI(lifespan=lifespan(settings))
    subject = f"idp|{uuid7()}"

    async def subject_of_token() -> str:
        return subject

    @app.get("/")
    async def whoami(runner: Annotated[UserRunner, Depends(runner_for(subject_of_token))]) -> UUID:
        return runner.user_id

    async with calling(app) as http:
        found = {(await http.get("/")).json() for _ in range(2)}
    assert found == {str((await db.run_system(users.by_subject, subject)).id)}


async def test_a_runner_streams_drafts(db: Database, user: User) -> None:
    """Else a handler that streams needs the database and the id after all."""
    runner = UserRunner(db, user.id)
    chat = assert_type(await runner.run(conversations.create), Conversation)
    for _ in range(2):
        async with runner.draft(
            chat.id, metadata={"m": 1}, model="m", after=0, branch=True
        ) as draft:
            await draft.write("a reply")
    assert [draft.message] == await runner.run(messages.history, chat.id)
    assert (draft.message.metadata, draft.message.model) == ({"m": 1}, "m")
    assert draft.message.position == 2


async def test_an_application_keeps_its_own_lifespan(settings: Settings, calling: Calling) -> None:
    """Else an application with a lifespan cannot add faceplate."""
    ended: list[str] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with lifespan(settings)(app) as state:
            user = await state["faceplate"].run_system(users.ensure, "idp|lifespan")
            yield {**state, "user_id": user.id}
            ended.append("own")

    app = FastAPI(lifespan=own)

    @app.get("/")
    async def read(db: Annotated[Database, Depends(database)]) -> str:
        return (await db.run_system(users.by_subject, "idp|lifespan")).subject_id

    async with calling(app) as http:
        assert (await http.get("/")).json() == "idp|lifespan"
        assert ended == []
    assert ended == ["own"]


async def test_a_lifespan_waits_for_its_drafts(settings: Settings, user: User) -> None:
    """Else a server that ends closes the database before its cancelled streams are saved."""
    async with lifespan(settings)(None) as state:
        db = state["faceplate"]
        chat = await db.run(user.id, conversations.create)
        begun = asyncio.Event()

        async def stream() -> None:
            async with drafts.open(db, user.id, chat.id) as draft:
                await draft.write("half")
                begun.set()
                await asyncio.Event().wait()

        streaming = asyncio.create_task(stream())
        await begun.wait()
        streaming.cancel()
    await asyncio.gather(streaming, return_exceptions=True)
    async with Database(settings) as after:
        (message,) = await after.run(user.id, messages.history, chat.id)
    assert (message.content, message.status) == ("half", "interrupted")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a program without the extra gets a ModuleNotFoundError for something else."""
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "faceplate.integrations.fastapi")
    with pytest.raises(ConfigurationError, match=r"pip install 'faceplate\[fastapi\]'"):
        importlib.import_module("faceplate.integrations.fastapi")


async def test_a_handler_without_the_lifespan_says_what_is_missing(
    calling: Calling, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a forgotten argument is an AttributeError somewhere inside."""
    app = FastAPI()
    install(app)

    @app.get("/")
    async def read(_db: Annotated[Database, Depends(database)]) -> None: ...

    async with calling(app) as http:
        assert (await http.get("/")).status_code == 500
    assert "FastAPI(lifespan=" in caplog.text


class Told(NamedTuple):
    error: Exception
    status: int
    code: str
    more: dict[str, Any]
    retry_after: str | None


PROBLEMS = [
    Told(InvalidInput("tasks.title", "must not be blank"), 422, "invalid_input", {}, None),
    Told(NotFound(Task), 404, "not_found", {}, None),
    Told(Conflict("a task with this id exists already"), 409, "conflict", {}, None),
    Told(Overloaded(SECRET), 503, "busy", {"safe_to_retry": True}, "1"),
    Told(PoolExhausted(SECRET), 503, "busy", {"safe_to_retry": True}, "1"),
    Told(Contention(SECRET), 503, "busy", {"safe_to_retry": True}, "1"),
    Told(ConnectionLost(SECRET), 503, "interrupted", {"safe_to_retry": True}, "1"),
    Told(errors.SchemaChanged(SECRET), 503, "interrupted", {"safe_to_retry": True}, "1"),
    Told(Unavailable(SECRET), 503, "unavailable", {"safe_to_retry": True}, "5"),
    Told(CannotConnect(SECRET), 503, "unavailable", {"safe_to_retry": True}, "5"),
    Told(errors.ShuttingDown(SECRET), 503, "unavailable", {"safe_to_retry": True}, "5"),
    Told(CommitOutcomeUnknown(SECRET), 503, "outcome_unknown", {"safe_to_retry": False}, "5"),
    Told(TimedOut(SECRET), 504, "timed_out", {"safe_to_retry": True}, None),
    Told(Unauthorized(SECRET), 500, "internal_error", {}, None),
    Told(DatabaseError(SECRET, sqlstate="XX000"), 500, "internal_error", {}, None),
    Told(UsageError(SECRET), 500, "internal_error", {}, None),
    Told(
        NotErased(rows={}, user=True, left={"secret.notes": 2}, unproven={}),
        500,
        "internal_error",
        {},
        None,
    ),
]


@pytest.mark.parametrize("expected", PROBLEMS, ids=lambda told: type(told.error).__name__)
async def test_errors_are_problems(settings: Settings, calling: Calling, expected: Told) -> None:
    """Else a client cannot tell what to do, or is told what is none of its business."""
    expected.error.__cause__ = asyncpg.PostgresError(SECRET)
    async with calling(failing(settings, expected.error)) as http:
        answered = await http.get("/")
    told = answered.json()
    assert answered.status_code == told["status"] == expected.status
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.headers.get("retry-after") == expected.retry_after
    assert told["code"] == expected.code
    assert told | expected.more == told
    assert ("safe_to_retry" in told) == ("safe_to_retry" in expected.more)
    for word in ("internal:5432", "SELECT", "secret"):
        assert word not in answered.text
    assert "XX000" not in answered.text


async def test_a_mounted_application_answers_errors_alike_once_it_is_installed(
    settings: Settings, user: User, calling: Calling
) -> None:
    """Else a chat that is not there is an error of the server, and pages somebody at night."""
    app, mounted = FastAPI(lifespan=lifespan(settings)), FastAPI()
    install(app)
    install(mounted)
    app.mount("/v1", mounted)

    @mounted.get("/chats/{chat_id}")
    async def read(chat_id: UUID, runner: Runner) -> dict[str, str]:
        return {"title": (await runner.run(conversations.get, chat_id)).title}

    chat = {"x-user": str(user.id)}
    async with calling(app, headers=chat) as http:
        missing, invalid = await http.get(f"/v1/chats/{uuid7()}"), await http.get("/v1/chats/7")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (invalid.status_code, invalid.json()["code"]) == (422, "invalid_input")
    for answer in (missing, invalid):
        assert answer.headers["content-type"] == web.MEDIA_TYPE


def test_the_table_covers_every_error() -> None:
    """Else a new error is answered as a mistake of the server without anybody deciding so."""
    internal = {
        "FaceplateError",
        "ConfigurationError",
        "UsageError",
        "Unauthorized",
        "DatabaseError",
    }
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    found = {kind.__name__ for kind in kinds if issubclass(kind, errors.FaceplateError)}
    shown = {type(told.error).__name__ for told in PROBLEMS}
    assert found == shown | internal


async def test_what_an_error_says_of_the_request_is_told(
    settings: Settings, calling: Calling
) -> None:
    """Else a form cannot mark the field that was wrong."""
    async with calling(failing(settings, InvalidInput("tasks.title", "must not be blank"))) as http:
        told = (await http.get("/")).json()
    assert (told["field"], told["rule"]) == ("tasks.title", "must not be blank")
    assert told["detail"] == "tasks.title: must not be blank"


async def test_a_mistake_of_the_server_is_logged(
    settings: Settings, calling: Calling, caplog: pytest.LogCaptureFixture
) -> None:
    """Else an error that is hidden from the client is hidden from everybody."""
    with caplog.at_level(logging.ERROR, "faceplate"):
        async with calling(failing(settings, DatabaseError("it broke", sqlstate="XX000"))) as http:
            await http.get("/")
    assert "DatabaseError: it broke [SQLSTATE XX000]" in caplog.text


async def test_what_fastapi_refuses_is_told_alike(settings: Settings, calling: Calling) -> None:
    """Else a client meets two kinds of 422."""
    async with calling(application(settings)) as http:
        refused = await http.get("/tasks/not-a-uuid", headers={"X-User": "secret-token"})
    told = refused.json()
    assert (refused.status_code, told["code"]) == (422, "invalid_input")
    assert {problem["field"] for problem in told["errors"]} == {"path.task_id", "header.x-user"}
    assert (told["field"], told["rule"]) == tuple(told["errors"][0].values())
    assert "secret-token" not in refused.text


async def test_a_websocket_is_closed_where_an_error_leaves_it(settings: Settings) -> None:
    """Else the error vanishes, and the client waits for ever."""
    app = FastAPI(lifespan=lifespan(settings))
    install(app)

    @app.websocket("/")
    async def talk(_socket: WebSocket) -> None:
        raise NotFound(Task)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(_message: Any) -> None: ...

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    with pytest.raises(NotFound):  # to the server, which closes the socket and logs
        await app(scope, receive, send)


def test_the_problems_are_documented(settings: Settings) -> None:
    """Else a client generated from the document meets errors that it does not know."""
    document = application(settings).openapi()
    responses = document["paths"]["/tasks"]["post"]["responses"]
    for status in ("404", "409", "422", "500", "503", "504"):
        assert list(responses[status]["content"]) == ["application/problem+json"]
    schema = responses["422"]["content"]["application/problem+json"]["schema"]
    assert {"field", "rule"} <= set(schema["required"])
    assert "Retry-After" in responses["503"]["headers"]
    assert "Retry-After" not in responses["504"]


async def test_a_process_that_can_serve_is_ready(settings: Settings, calling: Calling) -> None:
    """Else no traffic is ever sent to it."""
    async with calling(application(settings)) as http:
        assert (await http.get("/livez")).json() == {"alive": True}
        ready = await http.get("/readyz")
    pool = {"size": 5, "limit": 20, "checked_out": 0, "idle": 0, "waiting": 0}
    holds = dict.fromkeys(("ready", "reachable", "migrated", "isolated", "accepting"), True)
    assert (ready.status_code, ready.json()) == (200, holds | {"pool": pool})


async def test_an_empty_database_is_not_ready(empty_database_url: str, calling: Calling) -> None:
    """Else a deploy that forgot to migrate gets traffic."""
    async with calling(application(Settings(database_url=empty_database_url))) as http:
        ready = await http.get("/readyz")
    told = ready.json()
    assert (ready.status_code, told["ready"]) == (503, False)
    assert (told["reachable"], told["migrated"]) == (True, False)


LATER = "UPDATE faceplate.alembic_version SET version_num = '9999_later'"
UNGUARDED = "ALTER TABLE faceplate.tasks DISABLE ROW LEVEL SECURITY"


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [(LATER, 200, {"migrated": True}), (UNGUARDED, 503, {"migrated": True, "isolated": False})],
    ids=["a newer schema", "a layer that is lost"],
)
async def test_readiness_is_about_what_this_process_needs(
    fresh_database_url: str, calling: Calling, change: str, status: int, told: dict[str, bool]
) -> None:
    """Else a deploy that migrates first takes the old processes out of service, and a process goes
    on serving when nothing but its own code keeps users apart.
    """
    settings = Settings(database_url=fresh_database_url)
    async with outside(settings) as operator:
        await operator.execute(change)
    async with calling(application(settings)) as http:
        ready = await http.get("/readyz")
    assert ready.status_code == status
    assert ready.json() | told == ready.json()


async def test_a_process_without_its_database_is_alive_and_not_ready(
    fresh_database_url: str, server_url: str, calling: Calling
) -> None:
    """Else an outage of the database restarts every process, or keeps traffic coming."""
    settings = Settings(database_url=fresh_database_url)
    async with calling(application(settings)) as http:
        connection = await asyncpg.connect(server_url)
        name = fresh_database_url.partition("?")[0].rpartition("/")[2]
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await connection.close()
        ready = await http.get("/readyz")
        assert (await http.get("/livez")).status_code == 200
    told = ready.json()
    assert (ready.status_code, told["reachable"], told["migrated"]) == (503, False, None)
    assert name not in ready.text


async def test_a_full_queue_is_not_ready(settings: Settings) -> None:
    """Else traffic is sent to a process that refuses it."""
    crowded = Settings(
        database_url=settings.database_url, pool_size=1, max_overflow=0, max_waiting=0
    )
    async with Database(crowded) as db:
        probe = web.Probe()
        user = await db.run_system(users.ensure, f"idp|{uuid7()}")
        assert (await probe.ask(db)).ready
        async with db.begin(user.id):
            found = await probe.ask(db)
    assert (found.ready, found.accepting, found.pool.checked_out) == (False, False, 1)


class Silent(Database):
    """A database whose server never answers; it counts the checks."""

    asked = 0

    async def check(self) -> Any:
        self.asked += 1
        await asyncio.Event().wait()


async def test_a_probe_ends_in_time_and_asks_once(settings: Settings) -> None:
    """Else probes pile up on a server that hangs, each with a connection of its own."""
    async with Silent(settings) as db:
        probe = web.Probe(within_s=0.05)
        found = await asyncio.gather(*(probe.ask(db) for _ in range(10)))
        assert {answer.reachable for answer in found} == {False}
        assert db.asked == 1
