"""Values of JSON: encoding, and what jsonb would refuse or change."""

import math
from decimal import Decimal
from typing import Any

import orjson


def encode_json(value: Any) -> str:
    """Return ``value`` as compact JSON."""
    return dump_json(value).decode()


def dump_json(value: Any) -> bytes:
    """Return ``value`` as compact JSON in UTF-8.

    `column_types.Json` has checked it.
    """
    return orjson.dumps(value, default=float)  # all that orjson does not know are kinds of float


def json_copy(value: Any) -> Any:
    """Return a copy of ``value`` as a read returns it.

    `column_types.Json` has checked it.
    """
    if not value:
        return None if value is None else [] if isinstance(value, list) else {}
    return orjson.loads(dump_json(value))


def scalar_problem(value: Any) -> str | None:
    """Return why ``value`` cannot be stored as a JSON scalar, or None."""
    match value:
        case None | bool():
            return None
        case str():
            return text_problem(value)
        case int() if not -(2**63) <= value < 2**64:
            return "integers must fit 64 bits; write larger ones as text"
        case float():
            return _float_problem(value)
        case int():
            return None
    return f"{type(value).__name__} is not a JSON value"


def text_problem(value: str) -> str | None:
    """Return why PostgreSQL would refuse the text ``value``, or None."""
    if "\x00" in value:
        return "must not contain the NUL character"
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return "must not contain a lone surrogate"
    return None


def _float_problem(value: float) -> str | None:
    if not math.isfinite(value):
        return "numbers must be finite; NaN and infinity are not JSON"
    # jsonb writes out all digits of a large float, which then read as a different integer.
    if 2**53 < abs(value) < 2**64 and Decimal(repr(float(value))) != Decimal(value):
        return "floats beyond 2**53 come back as other integers; write them as integers"
    return None
