"""The base of the column types: a rule that each value has to keep."""

from collections.abc import Callable
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

from faceplate.errors import InvalidInput


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
        raise NotImplementedError  # each subclass enforces its own rule

    def check_sql(self, column: str) -> str | None:  # noqa: ARG002 - the rules that SQL has use it
        """Return a CHECK's condition on ``column``, as SQL has its name, or None without one."""
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

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy passes it
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
