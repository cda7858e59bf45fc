"""A unit of work with its arguments, which hold what users write."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from faceplate.prelude import READ_COMMITTED

T = TypeVar("T")


class BoundUnit(Generic[T]):
    """Call it with a scope. Its repr shows no argument, so that no traceback does."""

    __slots__ = ("_args", "_call", "_kwargs", "function", "is_replayable", "isolation")

    isolation: str
    """The level that the unit is marked with, or that of units: see `isolation_level`."""
    is_replayable: bool
    """Whether it is marked `replayable`."""

    def __init__(
        self,
        function: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        self._call = function
        # The marks are the function's own, and its name is what a log line needs.
        self.function = function.func if isinstance(function, partial) else function
        self._args = args
        self._kwargs = kwargs
        self.isolation = getattr(self.function, "isolation", READ_COMMITTED)
        self.is_replayable = getattr(self.function, "replayable", False)

    def __call__(self, scope: Any) -> Awaitable[T]:
        return self._call(scope, *self._args, **self._kwargs)

    @property
    def is_one_statement(self) -> bool:
        """Whether it is marked `one_statement`, and its level lets one be sent by itself."""
        return getattr(self.function, "one_statement", False) and self.isolation == READ_COMMITTED
