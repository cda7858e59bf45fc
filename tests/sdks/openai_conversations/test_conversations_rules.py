"""Each rule of the API is kept, and an error has OpenAI's shape."""

import json
import secrets
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from starlette.exceptions import HTTPException

from faceplate import Database, Settings
from faceplate.integrations.openai_conversations import application

MISSING = f"conv_{'0' * 32}"
ITEM = {"role": "user", "content": "a"}


class Rule(NamedTuple):
    method: str
    path: str
    body: Any
    status: int
    param: str | None
    code: str | None
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


def post(body: Any, param: str | None, code: str | None, path: str = "") -> Rule:
    return Rule("POST", path, body, 400, param, code)


def add(item: Any, param: str, code: str = "invalid_type") -> Rule:
    return post({"items": [item]}, f"items[0]{param}", code, "/{id}/items")


def listed(query: str, param: str, code: str) -> Rule:
    return Rule("GET", f"/{{id}}/items?{query}", None, 400, param, code)


RULES = {
    "no JSON": post(b"{", None, None),
    "no UTF-8": post(b'"\xff"', None, None),
    "NaN": post(b'{"metadata": NaN}', None, None),
    "a deep array": post(b"[" * 100_000, None, None),
    "deep metadata": post(b'{"metadata": ' + b"[" * 900 + b"]" * 900 + b"}", None, None),
    "a deep item": post(
        b'{"items": [{"type": "a", "b": ' + b'{"c": [' * 110 + b"]}" * 110 + b"}]}",
        None,
        None,
        "/{id}/items",
    ),
    "a key in other letters": Rule(
        "POST", "", None, 400, "Idempotency-Key", "invalid_value", {"Idempotency-Key": "a key"}
    ),
    "a long number": post(b'{"metadata": ' + b"1" * 5_000 + b"}", None, None),
    "no object": post([], None, "invalid_type"),
    "an unknown field": post({"title": "a"}, "title", "unknown_parameter"),
    "metadata of numbers": post({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    "metadata in a list": post({"metadata": []}, "metadata", "invalid_type"),
    "much metadata": post(
        {"metadata": {f"{n}": "" for n in range(17)}}, "metadata", "object_above_max_properties"
    ),
    "a long key": post({"metadata": {"a" * 65: ""}}, "metadata", "string_above_max_length"),
    "a long value": post({"metadata": {"a": "b" * 513}}, "metadata.a", "string_above_max_length"),
    "a NUL": post({"metadata": {"a": "\0"}}, "conversations.metadata", "invalid_value"),
    "many items": post({"items": [ITEM] * 21}, "items", "array_above_max_length"),
    "no items": post({}, "items", "missing_required_parameter", "/{id}/items"),
    "items of null": post({"items": None}, "items", "invalid_type", "/{id}/items"),
    "no metadata": post({}, "metadata", "missing_required_parameter", "/{id}"),
    "an item of text": add("a", ""),
    "an id of a number": add({**ITEM, "id": 7}, ".id"),
    "a type of null": add({**ITEM, "type": None}, ".type"),
    "a role of null": add({**ITEM, "role": None}, ".role"),
    "no role": add({"content": "a"}, ".role", "missing_required_parameter"),
    "no content": add({"role": "user"}, ".content", "missing_required_parameter"),
    "content of null": add({**ITEM, "content": None}, ".content"),
    "a part of text": add({**ITEM, "content": ["a"]}, ".content[0]"),
    "a reference": add({"type": "item_reference", "id": "a"}, ".type", "invalid_value"),
    "an odd order": listed("order=up", "order", "invalid_value"),
    "no limit": listed("limit=0", "limit", "integer_below_min_value"),
    "a large limit": listed("limit=101", "limit", "integer_above_max_value"),
    "a limit of text": listed("limit=1.5", "limit", "invalid_type"),
    "a huge limit": listed(f"limit={'1' * 5000}", "limit", "invalid_type"),
    "no such conversation": Rule("GET", f"/{MISSING}", None, 404, None, None),
    "no id of a conversation": Rule("GET", "/%00", None, 404, None, None),
    "no such item": Rule("GET", "/{id}/items/msg_1", None, 404, None, None),
    "no such item before the page": Rule("GET", "/{id}/items?after=a", None, 404, None, None),
    "no such path": Rule("GET", "/{id}/other", None, 404, None, "unknown_url"),
    "no such method": Rule("PUT", "/{id}", None, 405, None, "method_not_supported"),
}


@pytest.mark.parametrize("name", RULES)
async def test_a_request_that_breaks_a_rule_is_refused_in_openais_shape(
    http: httpx.AsyncClient, name: str
) -> None:
    """Else the client cannot tell its user what was wrong."""
    rule = RULES[name]
    chat = (await http.post("/conversations")).json()
    body = rule.body if isinstance(rule.body, bytes | None) else json.dumps(rule.body)
    path = f"/conversations{rule.path.format(id=chat['id'])}"
    answer = await http.request(rule.method, path, content=body, headers=rule.headers)
    assert answer.status_code == rule.status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        rule.param,
        rule.code,
    )
    assert answer.headers["x-request-id"].startswith("req_")
    listed = await http.get(f"/conversations/{chat['id']}/items")
    assert listed.json()["data"] == []


async def test_a_request_that_is_too_large_is_refused(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    """Else anybody fills the memory of the process."""
    most = settings.max_body_mb << 20
    answer = await http.post("/conversations", content=b" " * (most + 1))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "invalid_request_error")


async def test_many_large_items_are_stored_at_once(client: Any) -> None:
    """Else a request that is allowed is refused for a limit of the units."""
    chat = await client.conversations.create()
    large: Any = {"role": "user", "content": "a" * 3_000_000}
    added = await client.conversations.items.create(chat.id, items=[large] * 5)
    assert len(added.data) == 5
    listed = await client.conversations.items.list(chat.id, order="asc")
    assert listed.data == added.data


async def test_what_sign_in_refuses_has_its_own_status(db: Database, serving_api: Any) -> None:
    """Else an application cannot limit the requests of its users."""

    async def busy(_request: Any) -> None:
        raise HTTPException(429, "Slow down.", headers={"Retry-After": "7"})

    async with serving_api(application(db, busy)) as url:
        client = AsyncOpenAI(api_key="a", base_url=f"{url}/v1", max_retries=0)
        with pytest.raises(openai.RateLimitError, match=r"Slow down\.") as refusal:
            await client.conversations.create()
        assert refusal.value.response.headers["retry-after"] == "7"
        assert refusal.value.type == "rate_limit_error"
        await client.close()


async def test_an_error_of_the_application_shows_nothing_of_itself(
    db: Database, serving_api: Any
) -> None:
    secret = secrets.token_hex(8)

    async def broken(_request: Any) -> None:
        raise ValueError(secret)

    async with serving_api(application(db, broken)) as url, httpx.AsyncClient() as http:
        answer = await http.post(f"{url}/v1/conversations")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert secret not in answer.text
    assert "x-request-id" in answer.headers
