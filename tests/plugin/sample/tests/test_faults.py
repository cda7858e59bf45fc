"""Each fault makes a naive handler fail, and a right one pass."""

from typing import Literal
from uuid import uuid4

import httpx
import pytest
from app import models
from app.main import SENT

from faceplate import Conflict, ConnectionLost, Contention, TimedOut
from faceplate.integrations.web import UserRunner
from faceplate.testing import Faults

At = Literal["statement", "commit"]


@pytest.fixture(autouse=True)
def _no_mail() -> None:
    SENT.clear()


async def notes(client: httpx.AsyncClient) -> list[str]:
    found: list[str] = (await client.get("/notes")).json()
    return found


async def check_mailed_once(client: httpx.AsyncClient, faults: Faults, path: str) -> None:
    faults.lose_connection("commit")
    assert (await client.post(path, json={"text": "hi"})).status_code == 200
    assert await notes(client) == ["hi"]
    assert SENT == ["hi"]


async def test_a_lost_connection_mails_once(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    await check_mailed_once(faceplate_client, faceplate_faults, "/mailed-notes")


async def test_a_lost_connection_shows_that_a_unit_mails_twice(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    with pytest.raises(AssertionError):
        await check_mailed_once(faceplate_client, faceplate_faults, "/naive/mailed-notes")
    assert SENT == ["hi", "hi"]


@pytest.mark.parametrize("at", ["statement", "commit"])
async def test_a_lost_connection_is_retried_by_run_and_not_by_a_block(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults, at: At
) -> None:
    faceplate_faults.lose_connection(at)
    assert (await faceplate_client.post("/notes", json={"text": "run"})).status_code == 200
    faceplate_faults.lose_connection(at)
    answer = await faceplate_client.post("/naive/block", json={"text": "block"})
    assert answer.status_code == 503
    assert await notes(faceplate_client) == ["run"]


async def test_a_connection_that_is_lost_twice_reaches_the_caller(
    faceplate_runner: UserRunner, faceplate_faults: Faults
) -> None:
    faceplate_faults.lose_connection(times=2)
    with pytest.raises(ConnectionLost):
        await faceplate_runner.run(models.add, "hi")
    assert await faceplate_runner.run(models.bodies) == []


@pytest.mark.parametrize("committed", [True, False])
async def test_an_unknown_outcome_is_answered_as_that(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults, *, committed: bool
) -> None:
    faceplate_faults.fail_commit(committed=committed)
    answer = await faceplate_client.post("/notes", json={"text": "hi"})
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    assert await notes(faceplate_client) == ["hi"] * committed


@pytest.mark.parametrize("committed", [True, False])
async def test_an_unknown_outcome_of_a_unit_that_is_replayable(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults, *, committed: bool
) -> None:
    chat = (await faceplate_client.post("/questions", json={"text": "hi"})).json()
    assert chat == 1
    faceplate_faults.fail_commit(committed=committed)
    answer = await faceplate_client.post("/questions", json={"text": "hi"})
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")


async def check_stored_once(
    client: httpx.AsyncClient, faults: Faults, *, committed: bool, naive: bool
) -> None:
    faults.fail_commit(committed=committed)
    body = {"text": "hi"}
    if naive:
        answer = await client.post("/naive/retried-notes", json=body)
    else:
        path = f"/notes/{uuid4()}"
        answer = await client.put(path, json=body)
        assert answer.json()["code"] == "outcome_unknown"
        answer = await client.put(path, json=body)  # as a client does, under the same id
    assert answer.status_code == 200
    assert await notes(client) == ["hi"]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_retry_under_the_same_id_stores_once(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults, *, committed: bool
) -> None:
    await check_stored_once(faceplate_client, faceplate_faults, committed=committed, naive=False)


async def test_a_blind_retry_is_shown_to_store_twice(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    with pytest.raises(AssertionError):
        await check_stored_once(faceplate_client, faceplate_faults, committed=True, naive=True)
    assert await notes(faceplate_client) == ["hi", "hi"]


async def check_not_told_that_it_is_stored(
    client: httpx.AsyncClient, faults: Faults, path: str
) -> None:
    faults.refuse_next(Conflict)
    answer = await client.post(path, json={"text": "hi"})
    assert await notes(client) == []
    assert answer.status_code == 409


async def test_a_refusal_is_answered(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    await check_not_told_that_it_is_stored(faceplate_client, faceplate_faults, "/notes")


async def test_a_refusal_shows_a_handler_that_swallows_it(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    with pytest.raises(AssertionError):
        await check_not_told_that_it_is_stored(
            faceplate_client, faceplate_faults, "/naive/swallowed-notes"
        )


@pytest.mark.parametrize(("error", "raised"), [(TimedOut, TimedOut), ("55P03", TimedOut)])
async def test_a_refusal_has_the_error_that_was_named(
    faceplate_runner: UserRunner,
    faceplate_faults: Faults,
    error: type[TimedOut] | str,
    raised: type[TimedOut],
) -> None:
    for _ in range(2):  # the second time, the statement is prepared
        faceplate_faults.refuse_next(error)
        with pytest.raises(raised):
            await faceplate_runner.run(models.add, "hi")
        await faceplate_runner.run(models.add, "there")
    assert await faceplate_runner.run(models.bodies) == ["there", "there"]


async def test_contention_is_retried(
    faceplate_runner: UserRunner, faceplate_faults: Faults
) -> None:
    faceplate_faults.refuse_next(Contention, times=2)
    await faceplate_runner.run(models.add, "hi")
    assert await faceplate_runner.run(models.bodies) == ["hi"]
    assert faceplate_runner.db.counters.retries == {"Contention": 2}


async def test_a_slow_statement_is_only_slow(
    faceplate_runner: UserRunner, faceplate_faults: Faults
) -> None:
    faceplate_faults.slow(0.01)
    await faceplate_runner.run(models.add, "hi")
    assert await faceplate_runner.run(models.bodies) == ["hi"]


async def check_gives_up(client: httpx.AsyncClient, faults: Faults, path: str) -> None:
    faults.slow(0.2)
    assert (await client.post(path, json={"text": "hi"})).status_code == 503
    assert await notes(client) == []


async def test_a_handler_gives_up_on_a_slow_statement(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    await check_gives_up(faceplate_client, faceplate_faults, "/hurried-notes")


async def test_a_slow_statement_shows_a_handler_that_waits(
    faceplate_client: httpx.AsyncClient, faceplate_faults: Faults
) -> None:
    with pytest.raises(AssertionError):
        await check_gives_up(faceplate_client, faceplate_faults, "/notes")
    assert await notes(faceplate_client) == ["hi"]
