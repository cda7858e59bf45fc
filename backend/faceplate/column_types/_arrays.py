"""Arrays of values, each of which keeps the rule of one column."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from faceplate.column_types._json import Json, JsonText
from faceplate.column_types._ruled import Ruled
from faceplate.column_types.json_values import encode_json


class ArrayOf(TypeDecorator[Any]):
    """An array for UNNEST: many values of one column, checked by its rule.

    JSON is sent as text, since a list in an array would be a dimension. Where every value is None,
    NULL is sent in place of the array; UNNEST then returns a NULL for each row.
    """

    impl = postgresql.ARRAY
    cache_ok = True

    def __init__(self, rule: Ruled) -> None:
        is_json = isinstance(rule, Json)
        is_text = is_json or isinstance(rule, JsonText)
        super().__init__(sa.Text() if is_text else rule.impl_instance, dimensions=1)
        self.rule = rule
        self._item = (lambda value: _encoded(rule.check(value))) if is_json else rule.check

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy passes it
        item = self._item
        items = [item(one) for one in value]
        return items if any(one is not None for one in items) else None


def _encoded(value: Any) -> str | None:
    return None if value is None else encode_json(value)
