"""The API in an application of its own, mounted in another, and as its document says."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import settings as bounded_by
from openai import AsyncOpenAI
from pydantic import SecretStr
from schemathesis import Case, GenerationMode
from schemathesis.checks import allow_header_conformance, positive_data_acceptance
from tests.faults.proxy import Action, Fault, Proxy
from tests.sdks.openai_conversations.serving import serving, sign_in
from uuid6 import uuid7

from faceplate import Database, Settings, User
from faceplate.integrations import fastapi, web
from faceplate.integrations.openai_conversations import DOCUMENT, application

BOUNDED = bounded_by(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
schema = schemathesis.openapi.from_dict(DOCUMENT)


async def converse(base_url: str, token: str) -> str:
    async with AsyncOpenAI(api_key=token, base_url=base_url, max_retries=0) as client:
        made = await client.conversations.create(items=[{"role": "user", "content": "Hello!"}])
        listed: Any = await client.conversations.items.list(made.id)
        return str(listed.data[0].content[0].text)


async def test_the_api_is_an_application_of_its_own(settings: Settings, serving_api: Any) -> None:
    async with serving_api(application(web.lifespan(settings), sign_in)) as url:
        assert await converse(f"{url}/v1", f"sub:{uuid7()}") == "Hello!"


async def test_the_api_is_mounted_under_any_path(settings: Settings, serving_api: Any) -> None:
    lifespan = web.lifespan(settings)
    app = FastAPI(lifespan=lifespan)
    fastapi.install(app)
    app.mount("/openai", application(lifespan, sign_in))
    app.mount("/a/b", application(lifespan, sign_in))
    async with serving_api(app) as url, httpx.AsyncClient() as http:
        for path in ("/openai", "/a/b"):
            assert await converse(f"{url}{path}/v1", f"sub:{uuid7()}") == "Hello!"
            described = await http.get(f"{url}{path}/openapi.json")
            assert described.json()["openapi"] == "3.1.0"
            lost = await http.get(f"{url}{path}/v1/other")
            assert lost.json()["error"]["code"] == "unknown_url"


async def test_a_mount_without_a_database_says_what_is_missing(
    settings: Settings, serving_api: Any
) -> None:
    """Else a developer without a lifespan in the outer application looks for it in ours."""
    app = FastAPI()
    app.mount("/openai", application(web.lifespan(settings), sign_in))
    async with serving_api(app) as url, httpx.AsyncClient() as http:
        answer = await http.post(f"{url}/openai/v1/conversations")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")


async def test_a_database_that_is_away_is_answered_so_that_clients_retry(
    database_url: str, user: User, serving_api: Any
) -> None:
    async with Proxy(database_url) as proxy:
        settings = Settings(database_url=SecretStr(proxy.url))
        async with Database(settings) as db, serving_api(application(db, sign_in)) as url:
            proxy.plan(*[Fault(Action.DROP_BEFORE, 1)] * 100)
            headers = {"Authorization": f"Bearer {user.id}"}
            async with httpx.AsyncClient(headers=headers, timeout=60) as http:
                answer = await http.post(f"{url}/v1/conversations")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    assert answer.headers["retry-after"]
    assert "x-should-retry" not in answer.headers
    assert proxy.url not in answer.text


class Rows(NamedTuple):
    """A server, and what there is for the paths to lead to."""

    url: str
    headers: dict[str, str]
    ids: dict[str, str]


@pytest.fixture(scope="module")
def served(database_url: str) -> Iterator[str]:
    started = threading.Event()
    found: list[str] = []
    stop: list[Callable[[], object]] = []

    async def serve() -> None:
        settings = Settings(database_url=SecretStr(database_url))
        async with serving(application(web.lifespan(settings), sign_in)) as url:
            found.append(url)
            ended, loop = asyncio.Event(), asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(ended.set))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(60)
    yield found[0]
    stop[0]()
    thread.join()


@pytest.fixture
def rows(served: str) -> Rows:
    """Every case finds them, whatever the one before has deleted."""
    headers = {"Authorization": "Bearer sub:schemathesis"}
    with httpx.Client(base_url=f"{served}/v1", headers=headers, timeout=60) as http:
        items = [{"role": "user", "content": "Hello!", "id": "msg_1"}]
        chat = http.post("/conversations", json={"items": items}).json()["id"]
    return Rows(served, headers, {"conversation_id": chat, "item_id": "msg_1"})


@schema.parametrize()
@BOUNDED
def test_every_endpoint_answers_as_documented(case: "Case[Any]", rows: Rows) -> None:
    """Else a client that is made from the document breaks, or the server does."""
    is_valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_valid:
        case.path_parameters.update({name: rows.ids[name] for name in case.path_parameters})
    excluded = [allow_header_conformance]  # Starlette names the methods of the first route only
    if "after" in case.query:
        excluded.append(positive_data_acceptance)  # no schema says which ids there are
    case.call_and_validate(base_url=rows.url, headers=rows.headers, excluded_checks=excluded)
