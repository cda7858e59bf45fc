"""A statement that a connection has prepared."""

from functools import cached_property
from typing import Any

NOT_SAID = (None,) * 5
"""What else DB-API describes of a column: its sizes, and whether it may be NULL."""


class Prepared:
    """A prepared statement of the driver's, and what is asked of it again and again."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement  # collected, it would close the server's
        self.state = statement._state  # noqa: SLF001 - its methods pass it on, too

    @cached_property
    def columns(self) -> list[tuple[Any, ...]]:
        """The columns as DB-API describes them. The driver takes 14 us for a message's."""
        return [(each.name, each.type.oid, *NOT_SAID) for each in self.state._get_attributes()]  # noqa: SLF001 - the public method refuses on a closed connection

    @property
    def types(self) -> tuple[list[int], list[int]]:
        """The types of the values, and those of the columns."""
        parameters = [each.oid for each in self.state._get_parameters()]  # noqa: SLF001 - the public method refuses on a closed connection
        return parameters, [oid for _, oid, *_ in self.columns]
