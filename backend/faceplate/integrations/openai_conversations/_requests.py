"""What a client sends, checked by OpenAI's rules."""

import json
import re
from typing import Any, Final, NoReturn

from starlette.requests import Request

from faceplate.column_types import JsonObject
from faceplate.integrations.openai_conversations._errors import Refused

MAX_ITEMS: Final = 20
MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20
MAX_PAIRS: Final = 16
MAX_KEY_CHARS: Final = 64
MAX_VALUE_CHARS: Final = 512
MAX_DEPTH: Final = 200
MAX_IDEMPOTENCY_KEY_CHARS: Final = 255
_IDEMPOTENCY_KEY: Final = re.compile(rf"[!-~]{{1,{MAX_IDEMPOTENCY_KEY_CHARS}}}")
ORDERS: Final = ("asc", "desc")


async def read_body(request: Request, *, max_bytes: int, fields: tuple[str, ...]) -> JsonObject:
    """Return the JSON object of a request; one without a body is empty.

    Raises Refused for more than ``max_bytes``, for what is no JSON object, and for a field that is
    none of ``fields``.
    """
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > max_bytes:
            raise Refused(f"The request is larger than {max_bytes:,} bytes.", status=413)
    if not received.strip():
        return {}
    try:
        body = json.loads(received.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refused("We could not parse the JSON body of your request.") from None
    if received.count(b"[") + received.count(b"{") > MAX_DEPTH and _is_deep(body):
        raise Refused(f"The JSON body of your request has more than {MAX_DEPTH} levels.")
    if not isinstance(body, dict):
        raise Refused("The JSON body of your request must be an object.", code="invalid_type")
    for name in body:
        if name not in fields:
            raise Refused(f"Unknown parameter: {name!a}.", name, "unknown_parameter")
    return body


def _is_deep(body: Any) -> bool:
    """Return whether JSON has more levels than are read back whatever the stack is."""
    level = [body] if isinstance(body, dict | list) else []
    for _ in range(MAX_DEPTH):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [one for values in inner for one in values if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def read_items(body: JsonObject, *, is_required: bool) -> list[JsonObject]:
    """Return the items of a request."""
    if "items" not in body and is_required:
        raise missing("items")
    items = body.get("items")
    if items is None and not is_required:
        return []
    if not isinstance(items, list):
        raise _wrong_type("items", "an array of objects", items)
    if len(items) > MAX_ITEMS:
        raise Refused(
            f"Invalid 'items': array too long. Expected an array with maximum length {MAX_ITEMS},"
            f" but got an array with length {len(items)} instead.",
            "items",
            "array_above_max_length",
        )
    for number, item in enumerate(items):
        _check_item(f"items[{number}]", item)
    return items


def _check_item(at: str, item: Any) -> None:
    if not isinstance(item, dict):
        raise _wrong_type(at, "an object", item)
    if not isinstance(item.get("id"), str | None):
        raise _wrong_type(f"{at}.id", "a string", item["id"])
    kind = item.get("type", "message")
    if not isinstance(kind, str):
        raise _wrong_type(f"{at}.type", "a string", kind)
    if kind == "item_reference":
        raise Refused(f"Invalid '{at}': send the item itself.", f"{at}.type", "invalid_value")
    if kind == "message":
        _check_message(at, item)


def _check_message(at: str, item: JsonObject) -> None:
    for name in ("role", "content"):
        if name not in item:
            raise missing(f"{at}.{name}")
    if not isinstance(item["role"], str):
        raise _wrong_type(f"{at}.role", "a string", item["role"])
    content = item["content"]
    if not isinstance(content, str | list):
        raise _wrong_type(f"{at}.content", "a string or an array of objects", content)
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(part, dict):
            raise _wrong_type(f"{at}.content[{number}]", "an object", part)


def read_metadata(body: JsonObject) -> JsonObject:
    """Return the metadata of a request: up to 16 pairs of text."""
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise _wrong_type("metadata", "an object", metadata)
    if len(metadata) > MAX_PAIRS:
        raise Refused(
            f"Invalid 'metadata': too many properties. Expected an object with at most {MAX_PAIRS}"
            f" properties, but got an object with {len(metadata)} properties instead.",
            "metadata",
            "object_above_max_properties",
        )
    for name, value in metadata.items():
        if len(name) > MAX_KEY_CHARS:
            raise _too_long("metadata", MAX_KEY_CHARS, len(name))
        if not isinstance(value, str):
            raise _wrong_type(f"metadata.{name}", "a string", value)
        if len(value) > MAX_VALUE_CHARS:
            raise _too_long(f"metadata.{name}", MAX_VALUE_CHARS, len(value))
    return metadata


def shown_metadata(metadata: JsonObject) -> JsonObject:
    """Return the pairs of a conversation's metadata that OpenAI's rules allow, up to 16."""
    pairs = {
        name: value
        for name, value in metadata.items()
        if isinstance(value, str) and len(name) <= MAX_KEY_CHARS and len(value) <= MAX_VALUE_CHARS
    }
    return dict(list(pairs.items())[:MAX_PAIRS])


def read_limit(request: Request) -> int:
    """Return how many items are asked for."""
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    try:
        limit = int(text) if text.isascii() and len(text) < MAX_KEY_CHARS else None
    except ValueError:
        limit = None
    if limit is None:
        raise Refused(
            "Invalid type for 'limit': expected an integer, but got a string instead.",
            "limit",
            "invalid_type",
        )
    if not 1 <= limit <= MAX_LIMIT:
        is_low = limit < 1
        word, sign, bound = (
            ("below minimum", ">=", 1) if is_low else ("above maximum", "<=", MAX_LIMIT)
        )
        raise Refused(
            f"Invalid 'limit': integer {word} value. Expected a value {sign} {bound}, but got"
            f" {limit} instead.",
            "limit",
            "integer_below_min_value" if is_low else "integer_above_max_value",
        )
    return limit


def is_descending(request: Request) -> bool:
    """Return whether the newest item is to come first."""
    order = request.query_params.get("order", "desc")
    if order not in ORDERS:
        raise Refused(
            "Invalid value for 'order'. Supported values are: 'asc' and 'desc'.",
            "order",
            "invalid_value",
        )
    return order == "desc"


def idempotency_key(request: Request) -> str | None:
    """Return the key by which a retry is known, if the client sends one."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Refused(
            f"Invalid Idempotency-Key: 1 to {MAX_IDEMPOTENCY_KEY_CHARS} visible ASCII characters.",
            "Idempotency-Key",
            "invalid_value",
        )
    return key


def missing(at: str) -> Refused:
    """Return the error for a parameter that is not there."""
    return Refused(f"Missing required parameter: '{at}'.", at, "missing_required_parameter")


_NAMES: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _wrong_type(at: str, expected: str, value: object) -> Refused:
    got = _NAMES[type(value)]
    about = f"Invalid type for '{at}': expected {expected}, but got {got} instead."
    return Refused(about, at, "invalid_type")


def _too_long(at: str, most: int, length: int) -> Refused:
    return Refused(
        f"Invalid '{at}': string too long. Expected a string with maximum length {most}, but got a"
        f" string with length {length} instead.",
        at,
        "string_above_max_length",
    )
