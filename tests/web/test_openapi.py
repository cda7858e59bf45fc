"""The interface does what its own OpenAPI document says, whatever is sent to it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import schemathesis
from examples.chat.app import create_app
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import allow_header_conformance, positive_data_acceptance
from tests.web.servers import DEADLINE_S, Server, serving

# The same cases in every run, and few enough for every run.
BOUNDED = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

schema = schemathesis.openapi.from_dict(create_app().openapi())


ADA = {"X-Demo-User": "ada"}


class Rows(NamedTuple):
    """A server, and what there is of Ada's for the paths to lead to."""

    url: str
    ids: dict[str, str]


@pytest.fixture
def rows(running_chat: Server) -> Rows:
    """Every case finds them, whatever the one before has deleted."""
    with httpx.Client(base_url=running_chat.url, headers=ADA, timeout=DEADLINE_S) as http:
        chat = http.post("/api/conversations", json={}).json()["id"]
        http.post(f"/api/conversations/{chat}/replies", json={"content": "hello"})
        (question, _) = http.get(f"/api/conversations/{chat}/messages").json()["items"]
        task = http.post("/api/tasks", json={"title": "a task"}).json()["id"]
    ids = {"conversation_id": chat, "message_id": question["id"], "task_id": task}
    return Rows(running_chat.url, ids)


@pytest.fixture(scope="module")
def running_chat(database_url: str) -> Iterator[Server]:
    with serving(database_url, CHAT_TOKEN_DELAY_S="0", CHAT_SAVE_EVERY_S="0.001") as server:
        yield server


@schema.parametrize()
@BOUNDED
def test_every_operation_answers_as_documented(case: "Case[Any]", rows: Rows) -> None:
    """Else a client that is made from the document breaks, or the server does."""
    is_valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_valid:
        case.path_parameters.update(
            {name: rows.ids[name] for name in case.path_parameters if name in rows.ids}
        )
    excluded = [allow_header_conformance]  # Starlette names the methods of the first route only
    if "cursor" in case.query:
        excluded.append(positive_data_acceptance)  # no schema says which cursors were given out
    case.call_and_validate(base_url=rows.url, headers=ADA, excluded_checks=excluded)
