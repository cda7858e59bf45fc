"""The pool of connections, with a limit on how many wait for one."""

from typing import Any, cast

from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection

from faceplate.errors import Overloaded


class Pool(AsyncAdaptedQueuePool):
    """Whoever would be one too many to wait is told so at once, and not after ``pool_timeout_s``.

    No lock is needed: nothing is awaited between a look at the numbers and their change.
    """

    # Not keyword-only: create_engine looks for the names of arguments that a pool takes.
    def __init__(self, creator: Any, max_waiting: int = 0, **kwargs: Any) -> None:
        super().__init__(creator, **kwargs)
        self.max_waiting = max_waiting
        self.waiting = 0

    def connect(self) -> PoolProxiedConnection:
        """Return a connection, as soon as there is one. Raises Overloaded."""
        if self.checkedout() < self.size() + self._max_overflow:
            return super().connect()
        if self.waiting >= self.max_waiting:
            raise Overloaded(
                f"all connections are in use, and {self.waiting} units wait for one already"
                " (max_waiting); this one was not begun"
            )
        self.waiting += 1
        try:
            return super().connect()
        finally:
            self.waiting -= 1

    def replace_all(self, known: PoolProxiedConnection) -> None:
        """Make each connection anew that is as old as ``known``, when it is next asked for."""
        self._invalidate(known, _checkin=False)

    def recreate(self) -> "Pool":
        """Return an empty pool like this one, for `Engine.dispose`."""
        pool = cast("Pool", super().recreate())
        pool.max_waiting = self.max_waiting
        return pool
