"""The reading of a file: from its values to chats that can be stored."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

from faceplate.importers.chats import Chat, Refusal, Unreadable
from faceplate.importers.conversion import Origin, convert
from faceplate.importers.formats import Format
from faceplate.importers.irregular import without_irregular
from faceplate.importers.lost import count_lost
from faceplate.importers.opening import open_values
from faceplate.importers.recognition import Found, find_chats
from faceplate.importers.shelf import Shelf, ShelfFile
from faceplate.importers.source import SourceChat


def read_chats(
    path: Path,
    format: Format | None = None,  # noqa: A002 - what it is called everywhere
    on_progress: Callable[[int], None] | None = None,
) -> Generator[Chat | Refusal, None, None]:
    """Yield the chats of a file in order, and a Refusal for each that cannot be read.

    Each chat is read by the format that fits it best, or by ``format``. One value of the file is in
    memory at a time. ``on_progress`` is called with the number of bytes read. Raises OSError if the
    file cannot be read.
    """
    with closing(open_values(path, on_progress)) as values:
        for item in find_chats(values, format):
            if isinstance(item, Refusal):
                yield item
            else:
                yield from _read_one(item)


def _read_one(found: Found) -> Iterator[Chat | Refusal]:
    known = frozenset(found.format.known)
    origin = Origin(found.place, found.format.key, known, found.value, ShelfFile())
    chats: list[Chat] = []
    try:
        for source in _sources(found):
            for item in convert(source, origin):
                if isinstance(item, Chat):
                    if chats and isinstance(item.messages, Shelf):
                        item.messages.write_open()  # of several, all wait for the last look
                    chats.append(item)
                yield item
        chars = count_lost(found.value, chats, found.format)
    except Unreadable as error:
        yield Refusal(found.place, str(error))
    except RecursionError:
        yield Refusal(found.place, "nested too deeply")
    else:
        if chars:
            reason = f"imported, but {chars:,} characters of text were not understood"
            yield Refusal(found.place, reason)


def _sources(found: Found) -> Iterator[SourceChat]:
    """Yield the chats of a value, without its odd messages if its format cannot read it so."""
    try:
        sources = iter(found.format.read(found.value))
        first = next(sources, None)
    except Unreadable:
        regular = without_irregular(found.value)
        if regular is None:
            raise
        yield from found.format.read(regular[0])
        return
    if first is not None:
        yield first
        yield from sources
