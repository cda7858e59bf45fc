"""Checks of bodies: the limit on their size, and PostgreSQL's answer that one is no JSON."""

from collections.abc import Iterator
from contextlib import contextmanager

from faceplate.errors import DatabaseError, InvalidInput
from faceplate.scope import AnyScope

_REFUSALS = {
    "22P02": "must be JSON",
    "54001": "is nested deeper than the server's max_stack_depth allows",
}
"""What PostgreSQL answers where it reads a body, by its SQLSTATE."""


def check_body(scope: AnyScope, field: str, body: str | None) -> None:
    """Raise InvalidInput for a body of more than ``max_body_mb`` in UTF-8.

    ``field`` is its ``table.column``. The column's rule checks the rest, None included.
    """
    if not isinstance(body, str):
        return
    max_mb = scope.settings.max_body_mb
    is_small = len(body) <= max_mb << 18  # a character has at most four bytes
    if is_small:
        return
    size = len(body) if body.isascii() else len(body.encode(errors="surrogatepass"))
    if size > max_mb << 20:
        raise InvalidInput(field, f"at most {max_mb} MB; {size:,} bytes were given")


@contextmanager
def body_errors(scope: AnyScope, field: str, *bodies: str | None) -> Iterator[None]:
    """Check bodies, and raise InvalidInput where a statement fails because one is no JSON.

    PostgreSQL does not say which column it was reading. Only bodies can be malformed: faceplate
    encodes every other JSON value itself.
    """
    for body in bodies:
        check_body(scope, field, body)
    try:
        yield
    except (InvalidInput, DatabaseError) as error:
        rule = _REFUSALS.get(error.sqlstate or "")
        if rule is None or (isinstance(error, InvalidInput) and error.rule == rule):
            raise  # for another reason, or for a body whose field is known
        raise InvalidInput(field, rule, sqlstate=error.sqlstate) from None
