"""Who is let in. The other tests are signed in by the fixture `faceplate_client`."""

from datetime import timedelta

import httpx
import jwt
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.sign_in import SignIn, issue

STRANGER = SignIn(jwt_key=SecretStr("the key of a stranger to the service"))


@pytest.fixture
def client(faceplate_client: httpx.AsyncClient, faceplate_app: FastAPI) -> httpx.AsyncClient:
    """A client that nobody has signed in."""
    faceplate_app.dependency_overrides.clear()
    return faceplate_client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_lets_its_user_in(client: httpx.AsyncClient, sign_in: SignIn) -> None:
    ada, bob = (bearer(issue(sign_in, sub)) for sub in ("ada", "bob"))
    await client.post("/conversations", json={"title": "Mine"}, headers=ada)
    mine = (await client.get("/conversations", headers=ada)).json()
    assert [each["title"] for each in mine] == ["Mine"]
    assert (await client.get("/conversations", headers=bob)).json() == []


async def test_without_a_token_nobody_gets_in(client: httpx.AsyncClient) -> None:
    assert (await client.get("/conversations")).status_code == 401


@pytest.mark.parametrize("flaw", ["expired", "of a stranger", "without a sub", "unsigned", "none"])
async def test_a_token_that_is_not_valid(
    client: httpx.AsyncClient, sign_in: SignIn, flaw: str
) -> None:
    key = sign_in.jwt_key.get_secret_value()
    token = {
        "expired": issue(sign_in, "ada", valid_for=timedelta(seconds=-1)),
        "of a stranger": issue(STRANGER, "ada"),
        "without a sub": jwt.encode({"exp": 2**32}, key, algorithm="HS256"),
        "unsigned": jwt.encode({"sub": "ada", "exp": 2**32}, "", algorithm="none"),
        "none": "none",
    }[flaw]
    answer = await client.get("/conversations", headers=bearer(token))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
