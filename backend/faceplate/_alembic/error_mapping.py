"""The error mapping of migrations.

It uses the same classes as that of units, and adds the server's own words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from faceplate._driver.connecting import open_connection, translated
from faceplate._driver.connection import Connection
from faceplate._driver.error_mapping import (
    DRIVER_ERRORS,
    UNMIGRATED,
    causes,
    translate,
    translate_connect,
)
from faceplate.config import Settings
from faceplate.errors import FaceplateError


@contextmanager
def errors_translated(settings: Settings) -> Iterator[None]:
    """Raise FaceplateError for errors of the driver and of SQLAlchemy."""
    try:
        yield
    except OSError as error:
        limit_s = settings.connect_timeout_s
        raise translate_connect(error, target=settings.target, limit_s=limit_s) from error
    except (SQLAlchemyError, *DRIVER_ERRORS) as error:
        failure = translate(error, target=settings.target)
        raise _with_server_message(failure, error) from error


async def open_translated(settings: Settings) -> Connection:
    """Return a new connection. Raises FaceplateError where it cannot be opened."""
    return await translated(open_connection(settings), settings)


def _with_server_message(failure: FaceplateError, error: Exception) -> FaceplateError:
    """Add the server's message and hint.

    Here they name the schema, and never quote the content of a row.
    """
    server: Any = list(causes(error))[-1]
    added = [getattr(server, part, None) for part in ("message", "hint")]
    # The advice to run `faceplate migrate` is of no use here.
    own = None if failure.message == UNMIGRATED else failure.message
    failure.message = ". ".join(filter(None, (own, *added)))
    return failure
