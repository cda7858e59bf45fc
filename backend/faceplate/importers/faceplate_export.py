"""A user's archive, as `faceplate.export` writes it, read back for that user or another one."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias, cast
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput
from faceplate.export import FORMAT, KINDS, VERSION
from faceplate.importers.chats import Place, Refusal, Unreadable
from faceplate.services import archives

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
MAX_BATCH: Final = 1_000
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
_MAX_HEADER_BYTES: Final = 1_000
_READ_AS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "id": (UUID, "a UUID"),
    "conversation_id": (UUID, "a UUID"),
    "created_at": (datetime.fromisoformat, "a time in ISO 8601"),
    "updated_at": (datetime.fromisoformat, "a time in ISO 8601"),
}

Mark: TypeAlias = tuple[int, int]


class Restored(NamedTuple):
    """What became of an archive: what is new, what was there already, and what was refused.

    ``secrets`` counts the new configurations that had some: an archive leaves them out.
    """

    conversations: int = 0
    messages: int = 0
    tasks: int = 0
    mcp_configs: int = 0
    secrets: int = 0
    skipped: int = 0
    refused: int = 0


class _End(NamedTuple):
    lines: int
    """Of the whole file, as its last line has it."""


def is_archive(path: Path) -> bool:
    """Whether a file begins as an archive does. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return _version(file) is not None


def read_user(path: Path) -> records.User:
    """Return the user whose archive this is.

    Raises InvalidInput where the file is none that can be read, OSError.
    """
    with path.open("rb") as file:
        lines = _Lines(file)
        try:
            item = lines.next()
        except Unreadable as error:
            raise InvalidInput("file", f"line 2: {error}") from None
    if not isinstance(item, records.User):
        raise InvalidInput("file", "line 2: must hold the user")
    return item


async def restore(
    db: Database,
    user_id: UUID,
    path: Path,
    *,
    on_progress: Callable[[int], None] | None = None,
    on_refusal: Callable[[Refusal], None] | None = None,
) -> Restored:
    """Store what an archive holds as that user's, each thing once, however often it is read.

    Ids, places, times and states are as they were; secrets of configurations are not in it. A
    conversation is stored with all its messages in one transaction, of any length, or refused as a
    whole. What is there under its id is left as it is by now. The user of the archive is not
    stored: see `faceplate.services.archives.restore_user`.

    ``on_progress`` is told how many bytes were read. Raises InvalidInput where the file is no
    archive that this version reads, OSError where it cannot be read, and whatever `Database.run`
    raises; what was stored until then stays, and reading it again goes on from there.
    """
    with path.open("rb") as file:
        restoring = _Restoring(db, user_id, _Lines(file), on_refusal)
        while await restoring.step():
            if on_progress:
                on_progress(file.tell())
    return restoring.done


class _Lines:
    """The lines of an archive behind its header, one at a time; any of them can be gone back to.

    Raises InvalidInput where the header is not that of an archive that can be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        version = _version(file)
        if version != VERSION:
            number = version if isinstance(version, int) else "unknown"
            what = "not an archive" if version is None else f"an archive of version {number}"
            raise InvalidInput("file", f"is {what}; version {VERSION} is what can be read")
        self._file = file
        self.number = 1
        """Of the line read last."""

    @property
    def place(self) -> Place:
        return Place("line", self.number)

    def mark(self) -> Mark:
        return self._file.tell(), self.number

    def go_back(self, mark: Mark) -> None:
        offset, self.number = mark
        self._file.seek(offset)

    def next(self) -> Any:
        """Return the next line's record or `_End`; None behind the last. Raises Unreadable."""
        line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            return None
        self.number += 1
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := self._file.readline(MAX_BATCH_BYTES)) and not rest.endswith(b"\n"):
                pass
            raise Unreadable(f"longer than {MAX_LINE_BYTES:,} bytes")
        return _parse(line)


class _Thread:
    """The messages behind a conversation's line, in batches; iterated anew, it begins anew."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._start = lines.mark()
        self.messages = 0
        """How many the last iteration had."""

    def __iter__(self) -> Iterator[list[records.Message]]:
        self._lines.go_back(self._start)
        self.messages = 0
        batch: list[records.Message] = []
        batch_start, _ = before = self._start
        while isinstance(item := self._next(), records.Message):
            batch.append(item)
            before = self._lines.mark()
            if len(batch) == MAX_BATCH or before[0] - batch_start > MAX_BATCH_BYTES:
                self.messages += len(batch)
                yield batch
                batch, batch_start = [], before[0]
        self._lines.go_back(before)
        self.messages += len(batch)
        if batch:
            yield batch

    def _next(self) -> Any:
        try:
            item = self._lines.next()
        except Unreadable as error:
            raise Unreadable(f"{self._lines.place}: {error}") from None
        if item is None:
            raise Unreadable("the file ends before it may be whole")
        return item


class _Restoring:
    """The state of `restore` between two lines."""

    def __init__(
        self,
        db: Database,
        user_id: UUID,
        lines: _Lines,
        on_refusal: Callable[[Refusal], None] | None,
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._lines = lines
        self._on_refusal = on_refusal
        self._settled: UUID | None = None  # the conversation whose messages are passed over
        self.done = Restored()

    async def step(self) -> bool:
        """Take the next line, or a conversation's line with all its messages; False at the end."""
        try:
            item = self._lines.next()
        except Unreadable as error:
            self._refuse(self._lines.place, str(error))
            return True
        place = self._lines.place
        match item:
            case None:
                self._refuse(place, "the file ends before its export did: something is missing")
                return False
            case _End():
                if item.lines != place.number:
                    self._refuse(place, "lines before this one are missing, or were added")
                return False
            case records.Message():
                self._pass_over(item)
            case records.User():
                pass
            case _:
                try:
                    await self._store(item)
                except (InvalidInput, Conflict) as error:
                    self._refuse(place, error.message)
                except Unreadable as error:
                    self._refuse(place, str(error))
        return True

    async def _store(self, item: Any) -> None:
        match item:
            case records.Conversation():
                self._settled = item.id
                thread = _Thread(self._lines)
                is_new = await self._db.run(
                    self._user_id, archives.restore_conversation, item, thread
                )
                self._count(is_new, conversations=1, messages=thread.messages)
            case records.Task():
                is_new = await self._db.run(self._user_id, archives.restore_task, item)
                self._count(is_new, tasks=1)
            case records.McpConfig():
                is_new = await self._db.run(self._user_id, archives.restore_mcp_config, item)
                self._count(is_new, mcp_configs=1, secrets=int(item.has_secrets is True))

    def _count(self, is_new: bool, **counts: int) -> None:  # noqa: FBT001 - what a unit has returned
        counts = counts if is_new else {"skipped": 1}
        sums = {name: getattr(self.done, name) + number for name, number in counts.items()}
        self.done = self.done._replace(**sums)

    def _pass_over(self, message: records.Message) -> None:
        """A message of a conversation that was there already or refused; else it is a stray one."""
        if message.conversation_id != self._settled:
            self._settled = message.conversation_id  # said once for all that are with it
            self._refuse(self._lines.place, "a message without its conversation before it")

    def _refuse(self, place: Place, reason: str) -> None:
        self.done = self.done._replace(refused=self.done.refused + 1)
        if self._on_refusal:
            self._on_refusal(Refusal(place, reason))


def _version(file: BinaryIO) -> object:
    """The version that a header says, or None where there is no header."""
    try:
        header = json.loads(file.readline(_MAX_HEADER_BYTES))
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(header, dict) and header.get("format") == FORMAT
    return header.get("version", 0) if is_ours else None


def _parse(line: bytes) -> Any:
    try:
        value = json.loads(line)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except ValueError:
        raise Unreadable("not JSON") from None
    if not isinstance(value, dict) or len(value) != 1:
        raise Unreadable("not a line of an archive")
    [(kind, fields)] = value.items()
    if not isinstance(fields, dict):
        raise Unreadable("not a line of an archive")
    if kind == "end":
        return _End(3 + sum(number for number in fields.values() if isinstance(number, int)))
    if kind not in KINDS:
        raise Unreadable(f"not one of {', '.join(KINDS)}, end")
    names = KINDS[kind]._fields
    if fields.keys() != set(names):
        raise Unreadable(f"{kind}: must have {', '.join(names)}, and nothing else")
    for name, (read, what) in _READ_AS.items():
        if name in names:
            fields[name] = _read(fields[name], read, f"{kind}.{name}: must be {what}")
    return cast("Any", KINDS[kind])(**fields)


def _read(value: object, read: Callable[[str], Any], problem: str) -> Any:
    if not isinstance(value, str):
        raise Unreadable(problem)
    try:
        return read(value)
    except ValueError:
        raise Unreadable(problem) from None
