"""The password of a login, asked for before each connection where a function gives it."""

import asyncio
import inspect

from pydantic import Secret, SecretStr

from faceplate._driver.threads import run_in_thread
from faceplate.config import Password, PasswordFunction

UNANSWERED = "no answer from the password function"


class PasswordError(ConnectionError):
    """The password function gave none. The next attempt to connect asks it again."""


async def resolve(password: Password | None) -> str | None:
    """Return the password for the next connection, or None where the settings have none.

    Raises PasswordError where the function raises or returns no text. It shows the error's class
    alone, as messages of such errors quote tokens.
    """
    given = password.get_secret_value() if isinstance(password, Secret | SecretStr) else password
    if given is None or isinstance(given, str):
        return given
    try:
        answer = await _call(given)
    except asyncio.CancelledError as cancelled:
        cancelled.add_note(UNANSWERED)  # for the TimeoutError that it may become
        raise
    except Exception as error:  # noqa: BLE001 - what a caller's function raises, it may be any
        failure = f"raised {type(error).__qualname__}"
    else:
        if isinstance(answer, str):
            return str.__str__(answer)  # the driver takes no subclass
        failure = f"returned {type(answer).__name__}, not text"
    # Raised out here, so that the caller's error is not its context.
    raise PasswordError(f"the password function {failure}")


async def _call(function: PasswordFunction) -> object:
    """Return what ``function`` returns or resolves to. One that blocks does so in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function()
    answer = await run_in_thread(function, name="faceplate-password")
    return await answer if inspect.isawaitable(answer) else answer
