"""The block of `Database.begin`: one attempt, which is never retried."""

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TypeVar

from faceplate._runner.attempt import Attempt
from faceplate._runner.calls import Call
from faceplate._runner.confidentiality import remove_confidential
from faceplate._transaction.session_transaction import SessionTransaction
from faceplate.errors import UsageError

S = TypeVar("S", bound=SessionTransaction)


class Block(AbstractAsyncContextManager[S]):
    """A scope for ``async with``, which can be entered once."""

    def __init__(
        self, call: Call, attempt: Attempt[S], use: AbstractContextManager[object] | None = None
    ) -> None:
        self._call = call
        self._attempt = attempt
        self._use = use
        self._was_entered = False
        self._is_entered = False

    async def __aenter__(self) -> S:
        if self._was_entered:
            raise UsageError("a block can be entered only once: call `begin` again")
        self._was_entered = True
        self._call.__enter__()
        if self._use is not None:
            self._use.__enter__()
        try:
            scope = await self._attempt.__aenter__()
        except BaseException as error:
            self._leave(error)
            raise
        self._is_entered = True
        return scope

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_entered:
            raise UsageError("a block can be left only once, after it was entered")
        self._is_entered = False
        try:
            await self._attempt.__aexit__(kind, error, traceback)
        except BaseException as failure:
            self._leave(failure)
            raise
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        if self._use is not None:
            self._use.__exit__(None, None, None)
        if error is not None:
            remove_confidential(error)
        self._call.__exit__(None if error is None else type(error), error, None)
