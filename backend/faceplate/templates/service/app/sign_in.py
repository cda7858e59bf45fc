"""Who is signed in: the ``sub`` of a JSON Web Token.

The service uses `current_user` and `SignIn` of this file, and nothing else. To sign in through an
identity provider, verify its tokens here: with PyJWT's ``PyJWKClient`` for the provider's keys,
``algorithms=["RS256"]``, ``audience=`` and ``issuer=``.

``python -m app.sign_in SUB`` prints a token for development.
"""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ALGORITHM = "HS256"


class SignIn(BaseSettings):
    """The settings of sign-in. ``JWT_KEY`` signs and verifies tokens: at least 32 characters."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    jwt_key: Annotated[SecretStr, Field(min_length=32)]


Token = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


def current_user(request: Request, token: Token) -> str:
    """Return the ``sub`` of the request's token (a dependency); answer 401 without a valid one."""
    sign_in: SignIn = request.app.state.sign_in
    try:
        claims = jwt.decode(
            token.credentials,
            sign_in.jwt_key.get_secret_value(),
            algorithms=[ALGORITHM],
            options={"require": ["exp", "sub"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(
            401, "the token is not valid", headers={"WWW-Authenticate": "Bearer"}
        ) from None
    return str(claims["sub"])


def issue(sign_in: SignIn, subject_id: str, *, valid_for: timedelta = timedelta(hours=1)) -> str:
    """Return a token for development and tests."""
    claims = {"sub": subject_id, "exp": datetime.now(UTC) + valid_for}
    return jwt.encode(claims, sign_in.jwt_key.get_secret_value(), algorithm=ALGORITHM)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m app.sign_in SUB")
    print(issue(SignIn(), sys.argv[1]))
