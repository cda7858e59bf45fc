"""Column types that carry their own rules.

A column's type declares its rule. The rule is checked when an attribute of a model is set, when a
value is bound (ORM and Core alike), and by a CHECK constraint where SQL can express it. A value
that breaks the rule raises `InvalidInput`, which names ``table.column``, the rule and the value's
length, and never contains the value.

None breaks the rule of a column that is NOT NULL. A parameter of such a type that may be None is
declared with ``type_=Task.title.type.optional()``.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import chain
from typing import Any, ClassVar, Self
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, UserDefinedType

from faceplate.column_types.json_values import encode_json, scalar_problem, text_problem
from faceplate.errors import InvalidInput

JsonObject = dict[str, Any]


class Ruled(TypeDecorator[Any]):
    """A column type that refuses values by its rule."""

    impl: Any = sa.Text
    cache_ok = True
    field: str = "value"  # "table.column", once the type belongs to a column
    is_required: bool = False  # whether that column is NOT NULL

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.cache_ok = True  # SQLAlchemy looks for it in each class, not in its bases

    def validate(self, value: Any) -> Any:
        """Return the value to store, or raise InvalidInput."""
        raise NotImplementedError

    def check_sql(self, column: str) -> str | None:  # noqa: ARG002 - SQL cannot express some rules
        """Return a CHECK's condition on ``column``, or None if SQL has none."""
        return None

    def optional(self) -> Self:
        """Return the same rule for a parameter that may be None."""
        rule = self.copy()
        rule.is_required = False
        return rule

    def required(self) -> Self:
        """Return the same rule for a parameter that may not be None."""
        rule = self.copy()
        rule.is_required = True
        return rule

    def check(self, value: Any) -> Any:
        """Return the value to store, or raise InvalidInput.

        None is returned if the column may be null. It is called for the value of each parameter of
        this type.
        """
        if value is not None:
            return self.validate(value)
        if self.is_required:
            raise self.refuse("is required")
        return None

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 - its hook
        return self.check(value)

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
        """Return `check` alone if the driver takes the value as it is."""
        impl = self.impl_instance
        # The driver's codec encodes JSONB.
        if isinstance(impl, postgresql.JSONB) or impl.bind_processor(dialect) is None:
            return self.check
        return super().bind_processor(dialect)

    def refuse(self, rule: str) -> InvalidInput:
        """Return the error for a value of this field that breaks ``rule``."""
        return InvalidInput(self.field, rule)


class Id(Ruled):
    """A UUID."""

    impl = sa.Uuid

    def validate(self, value: Any) -> UUID:
        if isinstance(value, UUID):
            return value
        raise self.refuse(f"must be a UUID, not {type(value).__name__}")


class Flag(Ruled):
    """True or False."""

    impl = sa.Boolean

    def validate(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise self.refuse(f"must be True or False, not {type(value).__name__}")


class Count(Ruled):
    """A whole number, ``minimum`` or more, that fits four bytes."""

    impl = sa.Integer
    MAXIMUM: ClassVar[int] = 2**31 - 1

    def __init__(self, *, minimum: int = 0) -> None:
        super().__init__()
        self.minimum = minimum

    def validate(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(f"must be a whole number, not {type(value).__name__}")
        if not self.minimum <= value <= self.MAXIMUM:
            raise self.refuse(f"must be between {self.minimum} and {self.MAXIMUM:,}")
        return value

    def check_sql(self, column: str) -> str:
        return f"{column} >= {self.minimum}"


class Timestamp(Ruled):
    """A point in time: a datetime with a time zone, stored in UTC.

    asyncpg stores the moments before ``EARLIEST`` and after ``LATEST`` as infinite, and reads them
    back without a time zone.
    """

    EARLIEST: ClassVar[datetime] = datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    LATEST: ClassVar[datetime] = datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC)

    impl = sa.DateTime(timezone=True)

    def validate(self, value: Any) -> datetime:
        if not isinstance(value, datetime):
            raise self.refuse(f"must be a datetime, not {type(value).__name__}")
        if value.utcoffset() is None:
            raise self.refuse("must carry a time zone; a naive datetime was given")
        try:
            moment = value.astimezone(UTC)
        except OverflowError:
            moment = None
        if moment is None or not self.EARLIEST <= moment <= self.LATEST:
            raise self.refuse("must lie between the years 1 and 9999 in UTC")
        return moment


class Text(Ruled):
    """Text of at most ``max_chars`` characters, not blank unless ``blank`` is true."""

    impl = sa.Text

    def __init__(self, max_chars: int, *, blank: bool = False) -> None:
        super().__init__()
        self.max_chars = max_chars
        self.blank = blank

    def validate(self, value: Any) -> str:
        if not isinstance(value, str):
            raise self.refuse(f"must be text, not {type(value).__name__}")
        if len(value) > self.max_chars:
            raise self.refuse(f"at most {self.max_chars:,} characters; {len(value):,} were given")
        if not self.blank and not value.strip():
            raise self.refuse(f"must not be blank; {len(value):,} characters were given")
        if (problem := text_problem(value)) is not None:
            raise self.refuse(problem)
        return value

    def check_sql(self, column: str) -> str:
        longest = f"char_length({column}) <= {self.max_chars}"
        return longest if self.blank else f"{longest} AND btrim({column}) <> ''"


class Key(Text):
    """A name that another program gives: any text of at most ``max_bytes`` in UTF-8.

    Its limit is one of bytes, since an entry of an index has room for 2,700 of them. It is ordered
    by code point, whatever the collation of the database, so that the keys with a common prefix are
    one range of the index.
    """

    impl: Any = sa.Text(collation="C")

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, blank=True)
        self.max_bytes = max_bytes

    def validate(self, value: Any) -> str:
        text = super().validate(value)
        if (size := len(text.encode())) > self.max_bytes:
            raise self.refuse(f"at most {self.max_bytes:,} bytes; {size:,} were given")
        return text

    def check_sql(self, column: str) -> str:
        return f"octet_length({column}) <= {self.max_bytes}"


class Email(Text):
    """An e-mail address: text, an @, text, and no space.

    Upper and lower case are kept.
    """

    def __init__(self, max_chars: int = 320) -> None:  # RFC 3696, erratum 1003: 64 + 1 + 255
        super().__init__(max_chars)

    def validate(self, value: Any) -> str:
        text = super().validate(value)
        local, at, domain = text.rpartition("@")
        if not (local and at and domain) or any(map(str.isspace, text)):
            raise self.refuse("must be an e-mail address such as name@example.com")
        return text


class OneOf(Ruled):
    """One of a few words."""

    impl = sa.Text

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__()
        self.words = words

    def validate(self, value: Any) -> str:
        if isinstance(value, str) and value in self.words:
            return str(value)
        raise self.refuse(f"must be one of {', '.join(self.words)}")

    def check_sql(self, column: str) -> str:
        words = ", ".join(f"'{word}'" for word in self.words)
        return f"{column} IN ({words})"


class Secret(Ruled):
    """Encrypted bytes. The rule keeps plain text from being stored by mistake."""

    impl = sa.LargeBinary

    def validate(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        raise self.refuse(f"must be encrypted bytes, not {type(value).__name__}")


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

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 - its hook
        return self.rule.check(value)


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

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 - its hook
        item = self._item
        items = [item(one) for one in value]
        return items if any(one is not None for one in items) else None


def _encoded(value: Any) -> str | None:
    return None if value is None else encode_json(value)
