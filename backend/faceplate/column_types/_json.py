"""Rules of JSON: `Json` for ours, in jsonb, and `JsonText` for another program's, as text."""

from collections.abc import Iterable
from itertools import chain
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, UserDefinedType

from faceplate.column_types._ruled import Ruled
from faceplate.column_types.json_values import scalar_problem, text_problem

JsonObject = dict[str, Any]


class Json(Ruled):
    """A JSON object or a list of objects that is read back as it was stored.

    It has at most ``MAX_VALUES`` values, ``MAX_DEPTH`` levels and ``max_chars`` characters of text
    in all, so that the check never holds the event loop for long. PostgreSQL's jsonb refuses NUL
    and lone surrogates. Infinity and NaN are not JSON. Most JSON readers return integers beyond 64
    bits as floats.
    """

    MAX_DEPTH: ClassVar[int] = 32
    MAX_VALUES: ClassVar[int] = 20_000

    impl = postgresql.JSONB(none_as_null=True)

    def __init__(self, shape: type[dict[Any, Any]] | type[list[Any]], *, max_chars: int) -> None:
        super().__init__()
        self.shape = shape
        self.max_chars = max_chars

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def validate(self, value: Any) -> Any:
        if not isinstance(value, self.shape):
            kind = "a JSON object" if self.shape is dict else "a list of JSON objects"
            raise self.refuse(f"must be {kind}, not {type(value).__name__}")
        if value:
            if len(value) > self.MAX_VALUES:
                raise self.refuse(f"at most {self.MAX_VALUES:,} values")
            if self.shape is list and not all(isinstance(item, dict) for item in value):
                raise self.refuse("must be a list of JSON objects")
            self._walk(value)
        return value

    def _walk(self, root: Any) -> None:
        values = chars = 0
        level: list[Any] = [root]
        for depth in range(self.MAX_DEPTH + 2):
            if not level:
                return
            if depth > self.MAX_DEPTH:
                raise self.refuse(f"at most {self.MAX_DEPTH} levels deep")
            below: list[Any] = []
            for value in level:
                values += 1
                if isinstance(value, str):
                    chars += len(value)
                elif isinstance(value, dict | list):
                    values += len(value)
                if values > self.MAX_VALUES:
                    raise self.refuse(f"at most {self.MAX_VALUES:,} values")
                if chars > self.max_chars:
                    raise self.refuse(f"at most {self.max_chars:,} characters of text")
                below.extend(self._children(value))
            level = below

    def _children(self, value: Any) -> Iterable[Any]:
        match value:
            case dict():
                if not all(type(key) is str for key in value):  # the encoder refuses subclasses
                    raise self.refuse("keys must be plain text")
                return chain(value.keys(), value.values())
            case list():
                return value
        if (problem := scalar_problem(value)) is not None:
            raise self.refuse(problem)
        return ()

    def check_sql(self, column: str) -> str:
        return f"jsonb_typeof({column}) = '{'object' if self.shape is dict else 'array'}'"


class _JsonColumn(UserDefinedType[str]):
    """PostgreSQL's json, which keeps the text, unlike jsonb."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


class JsonText(Ruled):
    """The JSON of another program as text, which is stored and read back to the letter.

    PostgreSQL checks that it is JSON. What jsonb would change or refuse is kept: key order, double
    keys, whitespace, numbers of any size, and escaped NULs and lone surrogates.
    """

    impl = _JsonColumn

    def validate(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self.refuse(f"must be JSON as text, not {type(value).__name__}")
        if (problem := text_problem(value)) is not None:
            raise self.refuse(problem)
        return value

    def bind_expression(self, bindparam: Any) -> Any:
        return sa.cast(sa.type_coerce(bindparam, _TextOfJson(self)), _JsonColumn())

    def column_expression(self, column: Any) -> Any:
        return sa.cast(column, sa.Text())


class _TextOfJson(TypeDecorator[str]):
    """Text that the rule of a `JsonText` checks: the driver would encode a value of type json."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, rule: JsonText) -> None:
        super().__init__()
        self.rule = rule

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy passes it
        return self.rule.check(value)
