"""The files with chats in a file, an archive or a folder, opened one after the other."""

import gzip
import os
import zipfile
from collections.abc import Callable, Generator, Iterator
from functools import partial
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from faceplate.importers.chats import Place, Refusal
from faceplate.importers.export_lines import archive_version
from faceplate.importers.files.selection import Selection, select
from faceplate.importers.files.text import DAMAGED, check_damage

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an archive without any file
_GZIP: Final = b"\x1f\x8b"
_MAGIC_BYTES: Final = 4
_IS_ENCRYPTED: Final = 1


class Opened(NamedTuple):
    """An open file with JSON, one of those in an archive or a folder or the only one."""

    name: str
    """Its name in the archive or the folder, without .gz."""
    file: BufferedIOBase
    done_bytes: Callable[[], int]
    """Returns how much was read, of all the files."""
    is_one_of_several: bool

    def within(self, place: Place) -> Place:
        """Return a place in the file, with the file's name if there are several."""
        return place.within(self.name) if self.is_one_of_several else place

    def refuse(self, place: Place, reason: str, *, is_unread: bool = False) -> Refusal:
        """Return a refusal; ``is_unread`` says that nothing could be read from the file."""
        prefix = "not read: " if is_unread and self.is_one_of_several else ""
        return Refusal(self.within(place), prefix + reason)


def open_files(path: Path) -> Generator[Opened | Refusal, None, None]:
    """Yield each file with chats, open until the next one, and what is wrong with the others.

    In an archive or a folder these are the files that `select` names, in that order. A folder may
    have archives, but an archive within an archive is refused. Raises OSError if ``path`` cannot be
    read.
    """
    if not path.is_dir():
        with path.open("rb") as raw:
            opened = Opened(path.name, raw, raw.tell, is_one_of_several=False)
            yield from _unpack(opened, may_be_archive=True)
        return
    names = _select_in(path).read
    if not names:
        yield Refusal(Place("file", 1), "a folder without a file of chats")
    before_bytes = 0
    for name in names:
        opened = Opened(name, BytesIO(), int, is_one_of_several=len(names) > 1)
        try:
            raw = (path / name).open("rb")
        except OSError as error:
            yield opened.refuse(Place("file", 1), error.strerror or "unreadable", is_unread=True)
            continue
        with raw:
            done_bytes = partial(_done_bytes, raw, before_bytes)
            yield from _unpack(
                opened._replace(file=raw, done_bytes=done_bytes), may_be_archive=True
            )
            before_bytes += os.fstat(raw.fileno()).st_size


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of the files in a folder that are read. Raises OSError."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((path / name).stat().st_size for name in _select_in(path).read)


def left_files(path: Path) -> list[str]:
    """Return the names of the JSON files in a folder or an archive that are not read.

    Raises OSError.
    """
    if path.is_dir():
        return _select_in(path).left
    try:
        with zipfile.ZipFile(path) as archive:
            return select(archive.namelist()).left
    except NotImplementedError:  # zipfile raises it for a kind of archive that it does not read
        return []
    except DAMAGED as error:
        check_damage(error)
        return []


def _select_in(folder: Path) -> Selection:
    """Return which files in a folder, and in the folders in it, are read and left.

    Symbolic links are not followed.
    """
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in files]
        names += [
            path.relative_to(folder).as_posix()
            for path in paths
            if path.is_file() and not path.is_symlink()
        ]
    return select(names)


def _done_bytes(raw: BufferedReader, before_bytes: int) -> int:
    return before_bytes + raw.tell()


def _unpack(opened: Opened, *, may_be_archive: bool) -> Iterator[Opened | Refusal]:
    """Yield the file, or the file in it if it is packed, or the files in it."""
    magic = _read_magic(opened.file)
    if magic in _ZIP and may_be_archive:
        yield from _open_archive(opened)
    elif magic in _ZIP:
        reason = "an archive within an archive: unpack it first"
        yield opened.refuse(Place("file", 1), reason, is_unread=True)
    elif magic.startswith(_GZIP):
        with gzip.GzipFile(fileobj=opened.file) as file:
            unpacked = opened._replace(name=_without_gz(opened.name), file=file)
            if _read_magic(file) in _ZIP:
                yield from _unpack(unpacked, may_be_archive=False)
            else:
                yield _without_exports(unpacked)
    else:
        yield _without_exports(opened)


def _without_exports(opened: Opened) -> Opened | Refusal:
    """Return the file, or a refusal if it is an export of a user, which has no chats in it."""
    try:
        is_export = archive_version(cast("BinaryIO", opened.file)) is not None
    except DAMAGED as error:
        check_damage(error)
        is_export = False
    opened.file.seek(0)
    if is_export:
        reason = "a file of `faceplate export`: import it by itself, unpacked"
        return opened.refuse(Place("file", 1), reason, is_unread=True)
    return opened


def _read_magic(file: BufferedIOBase) -> bytes:
    """Return the first bytes of a file, and go back to its begin."""
    try:
        return file.read(_MAGIC_BYTES)
    except DAMAGED as error:
        check_damage(error)
        return b""  # the reader of the file meets the same damage
    finally:
        file.seek(0)


def _without_gz(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") else name


def _open_archive(opened: Opened) -> Iterator[Opened | Refusal]:
    here = Place("file", 1)
    try:
        archive = zipfile.ZipFile(opened.file)
    except DAMAGED as error:
        check_damage(error)
        yield opened.refuse(here, "the archive is damaged: nothing was read from it")
        return
    except NotImplementedError:  # zipfile raises it for a kind of archive that it does not read
        yield opened.refuse(here, "an archive of an unknown kind")
        return
    with archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        names = select(members).read
        if not names:
            yield opened.refuse(here, "an archive without a file of chats")
        for name in names:
            member = opened._replace(
                name=f"{opened.name}/{name}" if opened.is_one_of_several else name,
                is_one_of_several=opened.is_one_of_several or len(names) > 1,
            )
            if members[name].flag_bits & _IS_ENCRYPTED:
                yield member.refuse(here, "an archive that is encrypted")
                continue
            try:
                file = cast("BufferedIOBase", archive.open(members[name]))
            except NotImplementedError:  # zipfile raises it for an unknown compression
                yield member.refuse(here, "an archive of an unknown compression")
            except DAMAGED as error:
                check_damage(error)
                yield member.refuse(here, "the archive is damaged: the file was not read")
            else:
                with file:
                    yield from _unpack(member._replace(file=file), may_be_archive=False)
