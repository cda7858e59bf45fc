"""A user's archive, as `faceplate.export` writes it, read back for that user or another one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.errors import Conflict, InvalidInput, NotFound
from faceplate.importers.chats import Place, Refusal, Unreadable
from faceplate.importers.export_lines import End, Lines, archive_version
from faceplate.models import User
from faceplate.services import archives
from faceplate.services._kinds import all_kinds

MAX_BATCH: Final = 1_000
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024


class Restored(NamedTuple):
    """What became of an archive: what is new, what was there already, and what was refused.

    ``rows`` counts the new rows by table. ``secrets`` counts the new configurations that had
    secrets, which an archive leaves out.
    """

    rows: dict[str, int]
    secrets: int = 0
    skipped: int = 0
    refused: int = 0


def is_archive(path: Path) -> bool:
    """Whether a file begins as an archive does. Raises OSError where it cannot be read."""
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return archive_version(file) is not None


def read_user(path: Path) -> records.User:
    """Return the user whose archive this is.

    Raises InvalidInput where the file is none that can be read, OSError.
    """
    with path.open("rb") as file:
        lines = Lines(file)
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
        lines = Lines(file, max_body_mb=db.settings.max_body_mb)
        restoring = _Restoring(db, user_id, lines, on_refusal)
        while await restoring.step():
            if on_progress:
                on_progress(file.tell())
    return restoring.done


class _Thread:
    """The messages behind a conversation's line, in batches; iterated anew, it begins anew.

    A conversation of one batch, as most are, is read once.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._start = lines.mark()
        self._only_batch: list[records.Message] | None = None
        self.messages = 0
        """How many the last iteration had."""

    def __iter__(self) -> Iterator[list[records.Message]]:
        if self._only_batch is not None:
            yield self._only_batch
            return
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
        if batch and not self.messages:
            self._only_batch = batch
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
        lines: Lines,
        on_refusal: Callable[[Refusal], None] | None,
    ) -> None:
        self._db = db
        self._user_id = user_id
        self._lines = lines
        self._on_refusal = on_refusal
        self._settled: UUID | None = None  # the conversation whose messages are passed over
        kinds = all_kinds()
        held = [kind.table for kind in kinds if kind.is_ours and kind.model is not User]
        self._tables = {kind.record: kind.table for kind in kinds}
        self.done = Restored(dict.fromkeys(held, 0))

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
            case End():
                if item.lines != place.number:
                    self._refuse(place, "lines before this one are missing, or were added")
                elif self._lines.has_more():
                    reason = "the export ends before this line: import what follows as a file"
                    self._refuse(Place(place.unit, place.number + 1), reason)
                return False
            case records.Message():
                self._pass_over(item)
            case records.User():
                pass
            case _:
                await self._store_or_refuse(item, place)
        return True

    async def _store_or_refuse(self, item: Any, place: Place) -> None:
        try:
            await self._store(item)
        except (InvalidInput, Conflict) as error:
            self._refuse(place, error.message)
        except NotFound as error:
            if error.record is records.User:
                raise
            self._refuse(place, error.message)
        except Unreadable as error:
            self._refuse(place, str(error))

    async def _store(self, item: Any) -> None:
        table = self._tables[type(item)]
        if isinstance(item, records.Conversation):
            self._settled = item.id
            thread = _Thread(self._lines)
            is_new = await self._db.run(self._user_id, archives.restore_conversation, item, thread)
            new = {table: 1, self._tables[records.Message]: thread.messages}
        else:
            is_new = await self._db.run(self._user_id, archives.restore_row, item)
            new = {table: 1}
        if not is_new:
            self.done = self.done._replace(skipped=self.done.skipped + 1)
            return
        rows = self.done.rows
        sums = {name: rows.get(name, 0) + number for name, number in new.items()}
        secrets = self.done.secrets + (getattr(item, "has_secrets", None) is True)
        self.done = self.done._replace(rows=rows | sums, secrets=secrets)

    def _pass_over(self, message: records.Message) -> None:
        """A message of a conversation that was there already or refused; else it is a stray one."""
        if message.conversation_id != self._settled:
            self._settled = message.conversation_id  # said once for all that are with it
            self._refuse(self._lines.place, "a message without its conversation before it")

    def _refuse(self, place: Place, reason: str) -> None:
        self.done = self.done._replace(refused=self.done.refused + 1)
        if self._on_refusal:
            self._on_refusal(Refusal(place, reason))
