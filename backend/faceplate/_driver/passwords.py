"""The password of a login. A password function is called for each connection."""

import asyncio
import inspect

from pydantic import Secret, SecretStr

from faceplate._driver.threads import run_in_thread
from faceplate.config import Password, PasswordFunction

UNANSWERED = "no answer from the password function"


class PasswordError(ConnectionError):
    """The password function failed. The next attempt to connect calls it again."""


async def resolve(password: Password | None) -> str | None:
    """Return the password for the next connection, or None if there is none.

    Raises PasswordError if the function raises, or returns anything but text. It names only the
    class of the function's error, because messages of such errors may quote tokens.
    """
    given = password.get_secret_value() if isinstance(password, Secret | SecretStr) else password
    if given is None or isinstance(given, str):
        return given
    try:
        answer = await _call(given)
    except asyncio.CancelledError as cancelled:
        cancelled.add_note(UNANSWERED)  # the TimeoutError that it may become keeps the note
        raise
    except Exception as error:  # noqa: BLE001 - a caller's function may raise anything
        failure = f"raised {type(error).__qualname__}"
    else:
        if isinstance(answer, str):
            return str.__str__(answer)  # the driver accepts no subclass of str
        failure = f"returned {type(answer).__name__}, not text"
    # Raised outside of the except block, so that the function's error is not its context.
    raise PasswordError(f"the password function {failure}")


async def _call(function: PasswordFunction) -> object:
    """Return the function's result. A function that is no coroutine runs in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function()
    answer = await run_in_thread(function, name="faceplate-password")
    return await answer if inspect.isawaitable(answer) else answer
