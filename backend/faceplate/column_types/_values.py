"""Rules of single values: ids, flags, numbers, times, texts and secrets."""

from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa

from faceplate.column_types._ruled import Ruled
from faceplate.column_types.json_values import text_problem


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
            return str.__str__(value)  # an enumeration may be more than its text
        raise self.refuse(f"must be one of {', '.join(self.words)}")

    def check_sql(self, column: str) -> str:
        words = ", ".join("'{}'".format(word.replace("'", "''")) for word in self.words)
        return f"{column} IN ({words})"


class Secret(Ruled):
    """Encrypted bytes. The rule keeps plain text from being stored by mistake."""

    impl = sa.LargeBinary

    def validate(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        raise self.refuse(f"must be encrypted bytes, not {type(value).__name__}")
