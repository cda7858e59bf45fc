"""What the tests share, beside the fixtures of faceplate."""

from collections.abc import Iterator

import pytest

from app.sign_in import SignIn


@pytest.fixture(scope="session", autouse=True)
def sign_in() -> Iterator[SignIn]:
    """The settings of sign-in, with a key for the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JWT_KEY", "a key that signs tokens in tests")
        yield SignIn()
