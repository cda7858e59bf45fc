"""A format is asked only about values with its keys, and no value of its own is without them."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.formats import examples

from faceplate.importers import asking
from faceplate.importers.formats import FORMATS

EXAMPLES = examples()
LISTS = ("messages", "conversations", "items", "data")


def values(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each object in a value, and each list under the keys that formats have for one."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from values(item)
    elif isinstance(value, list):
        yield from ({key: value} for key in LISTS)
        for item in value:
            yield from values(item)


def parts(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an object, and the same without one of its fields or of those of its messages."""
    yield value
    for left, field in value.items():
        yield {key: item for key, item in value.items() if key != left}
        listed = field if isinstance(field, list) else []
        messages = [each for each in listed if isinstance(each, dict)]
        for name in {name for message in messages for name in message}:
            rest = [{k: v for k, v in each.items() if k != name} for each in messages]
            yield {**value, left: rest}


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_format_that_is_not_asked_would_have_known_a_value(name: str) -> None:
    for value in (part for found in values(EXAMPLES[name]) for part in parts(found)):
        asked = {format_.key for format_ in asking._possible_formats(value)}
        others = [format_ for key, format_ in FORMATS.items() if key not in asked]
        assert [format_.key for format_ in others if format_.fits(value)] == []
        assert [format_.key for format_ in others if format_.joins(value) is not None] == []
