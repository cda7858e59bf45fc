"""The chats of a file in batches, read in a thread while the event loop stores the one before."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.formats import Format
from faceplate.importers.reading import read_chats
from faceplate.services.chats import MAX_CHATS

T = TypeVar("T")

_BATCH_CHARS: Final = 1_000_000  # per transaction, unless one chat is longer
_MESSAGE_CHARS: Final = 500  # added to the length of a message's content
_MAX_REFUSALS: Final = 1_000


class Batch(NamedTuple):
    """Chats for one transaction, and the refusals after them in the file."""

    chats: list[Chat]
    """Each with a key of its own."""
    refusals: list[Refusal]


async def read_batches(
    path: Path,
    format: Format | None,  # noqa: A002 - what it is called everywhere
    on_progress: Callable[[int], None] | None,
) -> AsyncGenerator[Batch, None]:
    """Yield the chats and refusals of `read_chats` in batches, without blocking the event loop.

    ``on_progress`` is called in the event loop, before each batch and at the end.
    """
    read_bytes = 0

    def note(count: int) -> None:
        nonlocal read_bytes
        read_bytes = count

    with closing(read_chats(path, format, note)) as items, closing(_batches(items)) as batches:
        while True:
            batch = await _next_in_thread(batches)
            if on_progress:
                on_progress(read_bytes)
            if batch is None:
                return
            yield batch


def _batches(items: Iterable[Chat | Refusal]) -> Generator[Batch, None, None]:
    chats: dict[str, Chat] = {}
    refusals: list[Refusal] = []
    size = 0
    for item in items:
        if isinstance(item, Refusal):
            is_full = len(refusals) == _MAX_REFUSALS
        else:
            is_long = size >= _BATCH_CHARS or len(chats) == MAX_CHATS
            is_full = bool(refusals) or is_long or item.key in chats
        if is_full:
            yield Batch([*chats.values()], refusals)
            chats, refusals, size = {}, [], 0
        if isinstance(item, Refusal):
            refusals.append(item)
        else:
            chats[item.key] = item
            size += sum(_MESSAGE_CHARS + len(message.content) for message in item.messages)
        del item  # else it is in memory until the next one was read
    if chats or refusals:
        yield Batch([*chats.values()], refusals)


async def _next_in_thread(items: Iterator[T]) -> T | None:
    """Return the next item, None at the end.

    A thread cannot be cancelled, and until it ends nobody may close ``items``. So a cancellation is
    raised after that.
    """
    reading = asyncio.get_running_loop().run_in_executor(None, next, items, None)
    cancellation: asyncio.CancelledError | None = None
    while not reading.done():
        try:
            await asyncio.wait({reading})
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        reading.exception()  # or asyncio logs that nobody has asked for it
        raise cancellation
    return reading.result()
