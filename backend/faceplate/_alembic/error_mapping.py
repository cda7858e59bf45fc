"""The error mapping of migrations.

It uses the same classes as that of units, and adds the server's own words.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from faceplate._driver.connecting import open_connection, with_mapped_errors
from faceplate._driver.connection import Connection
from faceplate._driver.error_details import DRIVER_ERRORS, innermost_cause
from faceplate._driver.error_mapping import UNMIGRATED, map_connect_error, map_error
from faceplate.config import Settings
from faceplate.errors import FaceplateError


@contextmanager
def errors_mapped(settings: Settings) -> Iterator[None]:
    """Raise FaceplateError for errors of the driver and of SQLAlchemy."""
    try:
        yield
    except OSError as error:
        limit_s = settings.connect_timeout_s
        raise map_connect_error(error, target=settings.target, limit_s=limit_s) from error
    except (SQLAlchemyError, *DRIVER_ERRORS) as error:
        failure = map_error(error, target=settings.target)
        raise _with_server_message(failure, error) from error


async def open_with_mapped_errors(settings: Settings) -> Connection:
    """Return a new connection. Raises FaceplateError where it cannot be opened."""
    return await with_mapped_errors(open_connection(settings), settings)


def _with_server_message(failure: FaceplateError, error: Exception) -> FaceplateError:
    """Add the server's message and hint.

    Here they name the schema, and never quote the content of a row.
    """
    server: Any = innermost_cause(error)
    added = [getattr(server, part, None) for part in ("message", "hint")]
    # The advice to run `faceplate migrate` is of no use here.
    own = None if failure.message == UNMIGRATED else failure.message
    failure.message = ". ".join(filter(None, (own, *added)))
    return failure
