"""Everything of one user as a file of JSON lines.

::

    {"format": "faceplate-export", "version": 2, "exported_at": ..., "faceplate": "0.1.0"}
    {"user": {...}}
    {"task": {...}}
    {"mcp_config": {...}}
    {"document": {...}}
    {"conversation": {...}}
    {"message": {...}}
    {"end": {"conversations": 1, "messages": 1, "tasks": 1, "mcp_configs": 1, "documents": 1}}

A line holds a record as the units return it. A conversation is followed by the messages of all its
branches, in the order of their positions. A ``body`` is text that holds JSON, so that it is read
back to the letter. A file without the last line is incomplete. The secrets of MCP configurations
are not exported; ``has_secrets`` says whether a configuration has any. Neither are the tokens for
MCP servers.

A row of the application's own `Owned` tables has a line, too, behind the rows that it refers to::

    {"public.notes": {"id": ..., "conversation_id": ..., "body": ...}}

Its model may say another key, and columns that are left out. `left_out` names the tables that an
archive does not have.
`faceplate.importers.faceplate_export` reads an archive back.
"""

import errno
import math
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

import orjson
from sqlalchemy import text

from faceplate.database import Database
from faceplate.errors import UsageError
from faceplate.scope import Scope
from faceplate.services import _user_tables, archives
from faceplate.services._kinds import all_kinds

FORMAT: Final = "faceplate-export"
VERSION: Final = 2

PROGRESS_EVERY: Final = 200

# Before the first query, and so before the snapshot.
_ONE_SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


async def write(
    db: Database,
    user_id: UUID,
    put: Callable[[bytes], object],
    *,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Hand the lines of a user's archive to ``put`` one after the other; return what they hold.

    That is the number of rows by table. All of it is from one snapshot, in one transaction that
    only reads and is open meanwhile: who writes is not held up, and memory is bounded however much
    there is. ``put`` must not rest for longer than ``idle_in_transaction_timeout_s``.
    ``on_progress`` is told how many rows were written.

    Raises NotFound where there is no such user, UsageError where a value has no form in an archive.
    A broken connection is not retried, since what was put cannot be taken back: raises
    ConnectionLost.
    """
    kinds = {kind.record: kind for kind in all_kinds()}
    put(
        _line(
            format=FORMAT,
            version=VERSION,
            exported_at=datetime.now(UTC),
            faceplate=version("faceplate"),
        )
    )
    async with snapshot(db, user_id) as scope:
        present = {*await archives.tables(scope)}
        held = {kind.table: 0 for kind in kinds.values() if kind.key and kind.table in present}
        written = 0
        async for item in archives.walk(scope):
            kind = kinds[type(item)]
            values = item if kind.is_ours else map(_with_text, item)
            put(_line(**{str(kind.key): dict(zip(kind.columns, values, strict=True))}))
            if kind.table not in held:
                continue  # the user
            held[kind.table] += 1
            written += 1
            if on_progress and written % PROGRESS_EVERY == 0:
                on_progress(written)
    put(_line(end=held))
    return held


async def write_file(
    db: Database,
    user_id: UUID,
    path: Path,
    *,
    replace: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, int]:
    """Write a user's archive to a new file, see `write`; return what it holds.

    The file appears under its name once it is whole and on the disk; before, it is called
    ``.part``. Only its owner may read it. With ``replace`` it then takes the place of a file that
    exists. Raises FileExistsError, any other OSError, and as `write` does.
    """
    with new_file(path, replace=replace) as file:
        return await write(db, user_id, file.write, on_progress=on_progress)


async def left_out(db: Database) -> list[str]:
    """Return the tables with rows of users that an archive does not have, by their names.

    A model is not imported, or is `Private` alone, or says so by ``export_key``.
    """
    exported = {kind.table for kind in all_kinds() if kind.key is not None}
    tables = await db.run_system(_user_tables.find)
    return [table.title for table in tables if table.is_known and table.title not in exported]


@asynccontextmanager
async def snapshot(db: Database, user_id: UUID) -> AsyncIterator[Scope]:
    """Open a block that only reads, and reads everything as of one moment."""
    async with db.begin(user_id) as scope:
        await scope.session.execute(_ONE_SNAPSHOT)
        yield scope


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Open a file that is there when the block is through, or not at all.

    With ``replace`` it takes the place of a file that exists. Raises FileExistsError, any other
    OSError.
    """
    path = path.resolve()  # else a link would be replaced, not its file
    if path.exists() and not replace:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # else the name may be lost in a crash
    finally:
        os.close(directory)


def _line(**members: Any) -> bytes:
    try:
        return orjson.dumps(members, default=_text_of, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise


def _with_text(value: Any) -> Any:
    """Return text for a float that JSON has no form for, which would become null."""
    if isinstance(value, list):
        return [_with_text(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _text_of(value: object) -> str:
    """Return a value of the driver's that JSON has no form for as `faceplate_export` reads it."""
    match value:
        case UUID() | Decimal():
            return str(value)
        case bytes():
            return b64encode(value).decode()
        case timedelta():
            return str(value.total_seconds())
    raise UsageError(
        f"an export has no form for {type(value).__name__}: name its column in export_without"
    )
