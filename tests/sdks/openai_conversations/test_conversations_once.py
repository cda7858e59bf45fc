"""A request is done once, whatever becomes of its connections."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr
from tests.faults.proxy import Action, Fault, Proxy, Traffic, is_commit, is_committed
from tests.sdks.openai_conversations.serving import sign_in
from tests.web.servers import running

from faceplate import Conversation, Database, Settings, User
from faceplate.errors import CommitOutcomeUnknown, NotFound, PoolExhausted, TimedOut
from faceplate.integrations import openai_conversations
from faceplate.services import conversations, messages

HELLO: Any = {"role": "user", "content": "Hello!"}
CALL: Any = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c1", "output": "rain"}


class LosesAnswers:
    """Closes the connection in place of the first answers, when the request is done."""

    def __init__(self, app: Any, count: int = 1) -> None:
        self.app, self.left = app, count

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] == "GET" or not self.left:
            await self.app(scope, receive, send)
            return
        self.left -= 1

        async def swallow(_event: Any) -> None:
            pass

        await self.app(scope, receive, swallow)
        raise ConnectionResetError


def application(db: Database) -> Any:
    return openai_conversations.application(db, sign_in)


@asynccontextmanager
async def lossy(db: Database, user: User, serving_api: Any, count: int = 1) -> AsyncIterator[Any]:
    async with (
        serving_api(LosesAnswers(application(db), count)) as url,
        AsyncOpenAI(api_key=str(user.id), base_url=f"{url}/v1", max_retries=3) as client,
    ):
        yield client


async def stored(db: Database, user: User) -> list[list[str]]:
    """Return what is said in each conversation."""
    page = await db.run(user.id, conversations.page)
    return [
        [row.content for row in await db.run(user.id, messages.everything, chat.id)]
        for chat in page.items
    ]


async def test_a_retry_with_an_idempotency_key_stores_once(
    db: Database, user: User, serving_api: Any
) -> None:
    async with lossy(db, user, serving_api) as client:
        headers = {"Idempotency-Key": "a-key"}
        made = await client.conversations.create(items=[HELLO], extra_headers=headers)
        again = await client.conversations.create(items=[HELLO], extra_headers=headers)
        assert made == again
    async with lossy(db, user, serving_api) as client:
        added = await client.conversations.items.create(
            made.id, items=[HELLO, HELLO], extra_headers={"Idempotency-Key": "another"}
        )
        listed = await client.conversations.items.list(made.id, order="asc")
        assert listed.data[1:] == added.data
    assert await stored(db, user) == [["Hello!"] * 3]


async def test_the_client_can_send_a_key_with_each_request(
    db: Database, user: User, serving_api: Any
) -> None:
    """Else nobody who does not call the client themselves has exactly once."""
    async with lossy(db, user, serving_api, count=2) as client:
        client._idempotency_header = "Idempotency-Key"
        made = await client.conversations.create(items=[HELLO])
        await client.conversations.items.create(made.id, items=[HELLO])
        await client.conversations.items.create(made.id, items=[HELLO])
    assert await stored(db, user) == [["Hello!"] * 3]


async def test_items_with_ids_of_their_own_are_stored_once(
    db: Database, user: User, serving_api: Any
) -> None:
    async with lossy(db, user, serving_api, count=0) as client:
        made = await client.conversations.create(items=[{**CALL, "id": "fc_1"}])
    items = [{**OUTPUT, "id": "fco_1"}, {**HELLO, "id": "msg_1"}]
    async with lossy(db, user, serving_api) as client:
        added = await client.conversations.items.create(made.id, items=items)
        assert [item.id for item in added.data] == ["fco_1", "msg_1"]
        listed = await client.conversations.items.list(made.id, order="asc")
        assert [item.id for item in listed.data] == ["fc_1", "fco_1", "msg_1"]
    [history] = [
        await db.run(user.id, messages.everything, chat.id)
        for chat in (await db.run(user.id, conversations.page)).items
    ]
    assert history[1].tool_results is not None


async def test_an_id_with_other_content_is_refused_and_not_retried(
    client: Any, client_for: Any, user: User
) -> None:
    made = await client.conversations.create(items=[{**HELLO, "id": "msg_1"}])
    retrying = client_for(user.id, max_retries=3)
    other = {**HELLO, "content": "other", "id": "msg_1"}
    for items in ([other], [other, HELLO], [{**HELLO, "id": "msg_1"}, HELLO]):
        with pytest.raises(openai.ConflictError) as refusal:
            await retrying.conversations.items.create(made.id, items=items)
        assert refusal.value.response.headers["x-should-retry"] == "false"
    keyed = {"Idempotency-Key": "one"}
    await client.conversations.create(metadata={"a": "b"}, extra_headers=keyed)
    with pytest.raises(openai.ConflictError, match="other metadata"):
        await client.conversations.create(metadata={"a": "c"}, extra_headers=keyed)
    listed = await client.conversations.items.list(made.id)
    assert [item.id for item in listed.data] == ["msg_1"]


class Weak(NamedTuple):
    """The API over a database whose connections break."""

    client: Any
    proxy: Proxy


@pytest.fixture
async def weak(database_url: str, user: User, serving_api: Any) -> AsyncIterator[Weak]:
    async with Proxy(database_url) as proxy:
        settings = Settings(database_url=SecretStr(proxy.url))
        async with Database(settings) as db, lossy(db, user, serving_api, 0) as client:
            yield Weak(client, proxy)


@pytest.mark.parametrize("items", [[HELLO], [HELLO, HELLO], [CALL], [CALL, OUTPUT]])
@pytest.mark.parametrize("action", [Action.DROP_BEFORE, Action.DROP_AFTER])
async def test_a_lost_connection_to_the_database_stores_once(
    weak: Weak, db: Database, user: User, items: Any, action: Action
) -> None:
    client, proxy = weak
    made = await client.conversations.create()
    for at in (is_commit, is_committed, 1, 2, 3):
        proxy.plan(Fault(action, at))
        await client.conversations.items.create(made.id, items=items)
    [said] = await stored(db, user)
    assert len(said) == 5 * len(items)


async def test_a_request_in_doubt_is_sent_again_only_where_that_is_safe(
    client_for: Any, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a client stores an item twice by its own retry."""
    client = client_for(user.id)
    made = await client.conversations.create()

    async def in_doubt(*_: Any, **__: Any) -> None:
        raise CommitOutcomeUnknown("canary")

    monkeypatch.setattr(messages, "append", in_doubt)
    create = client.conversations.items.create
    keyed = {"extra_headers": {"Idempotency-Key": "a"}}
    for item, given, expected in (
        (HELLO, {}, "false"),
        (HELLO, keyed, None),
        ({**HELLO, "id": "msg_1"}, {}, None),
    ):
        with pytest.raises(openai.InternalServerError) as refusal:
            await create(made.id, items=[item], **given)
        assert refusal.value.status_code == 503
        assert refusal.value.response.headers.get("x-should-retry") == expected
        assert refusal.value.response.headers["retry-after"]


async def test_a_title_that_cannot_be_set_is_no_error_of_the_items(
    client_for: Any, db: Database, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the client sends items again that are stored, and they are there twice."""
    client = client_for(user.id, max_retries=3)
    failures = [PoolExhausted("canary"), TimedOut("canary"), NotFound(Conversation)]

    async def fail(*_: Any, **__: Any) -> None:
        raise failures[0]

    monkeypatch.setattr(conversations, "lock", fail)
    for failure in failures:
        failures[0] = failure
        made = await client.conversations.create()
        added = await client.conversations.items.create(made.id, items=[HELLO])
        assert [item.content[0].text for item in added.data] == ["Hello!"]
        listed = await client.conversations.items.list(made.id)
        assert listed.data == added.data
    titles = {chat.title for chat in (await db.run(user.id, conversations.page)).items}
    assert titles == {"New Chat"}


async def test_clients_at_once_lose_nothing(client_for: Any, db: Database, user: User) -> None:
    clients = [client_for(user.id) for _ in range(4)]
    made = await clients[0].conversations.create()

    async def say(number: int) -> None:
        create = clients[number % 4].conversations.items.create
        await create(made.id, items=[{"role": "user", "content": f"{number}"}])

    await asyncio.gather(*(say(number) for number in range(40)))
    [said] = await stored(db, user)
    assert sorted(map(int, said)) == [*range(40)]
    listed = clients[0].conversations.items.list(made.id, order="asc", limit=7)
    assert [item.content[0].text async for item in listed] == said


async def test_a_client_that_gives_up_leaves_all_of_a_request_or_nothing(
    client: Any,
) -> None:
    made = await client.conversations.create()
    items: list[Any] = [{"role": "user", "content": f"{number}"} for number in range(3)]
    for delay in range(20):
        task = asyncio.create_task(client.conversations.items.create(made.id, items=items))
        await asyncio.sleep(delay / 1_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await client.conversations.items.create(made.id, items=items)
    listed = client.conversations.items.list(made.id, order="asc")
    said = [item.to_dict()["content"][0]["text"] async for item in listed]
    assert said == ["0", "1", "2"] * (len(said) // 3)


async def test_an_item_costs_one_round_trip(weak: Weak) -> None:
    """Else the API is slower than the units by what nobody sees."""
    client, proxy = weak
    made = await client.conversations.create(items=[HELLO])

    async def cost(call: Any) -> int:
        await call()
        proxy.traffic = Traffic()
        await call()
        return proxy.traffic.round_trips

    create, list_ = client.conversations.items.create, client.conversations.items.list
    assert await cost(client.conversations.create) == 1
    assert await cost(lambda: client.conversations.retrieve(made.id)) == 1
    assert await cost(lambda: create(made.id, items=[HELLO])) == 1
    assert await cost(lambda: create(made.id, items=[HELLO, CALL, OUTPUT])) == 1
    assert await cost(lambda: list_(made.id)) == 1


async def test_a_server_that_is_killed_loses_and_doubles_nothing(
    database_url: str, db: Database, user: User
) -> None:
    """Else a crash costs a user what the client was told is stored, or says it twice."""
    name = "tests.sdks.openai_conversations.serving:create_app"
    arguments = ["uvicorn", "--factory", name, "--no-access-log"]
    path = os.pathsep.join(filter(None, sys.path))
    with (
        running(arguments, database_url, PYTHONPATH=path) as first,
        running(arguments, database_url, PYTHONPATH=path) as second,
    ):
        given: Any = {"api_key": str(user.id), "max_retries": 0}
        async with (
            AsyncOpenAI(base_url=f"{first.url}/v1", **given) as one,
            AsyncOpenAI(base_url=f"{second.url}/v1", **given) as other,
        ):
            made = await one.conversations.create()

            async def say(number: int) -> None:
                for client in (one, other):
                    try:
                        await client.conversations.items.create(
                            made.id,
                            items=[{"role": "user", "content": f"{number}"}],
                            extra_headers={"Idempotency-Key": f"{number}"},
                        )
                    except openai.APIConnectionError:
                        continue
                    return
                raise AssertionError("neither of the servers answered")

            loop = asyncio.get_running_loop()
            for start in range(0, 60, 6):
                if start == 30:
                    loop.call_later(0.005, first.process.kill)
                await asyncio.gather(*map(say, range(start, start + 6)))
    [said] = await stored(db, user)
    assert sorted(map(int, said)) == [*range(60)]
