"""The files with chats in a file, an archive or a folder, opened one after the other."""

import os
import zipfile
from codecs import BOM_UTF8
from collections.abc import Callable, Generator, Iterator
from functools import partial
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from faceplate.importers.chats import Place, Refusal
from faceplate.importers.export_lines import archive_version
from faceplate.importers.files.bounds import BoundedGzip, refuse_sizes
from faceplate.importers.files.kinds import HEAD_BYTES, is_activity, refuse_kind
from faceplate.importers.files.selection import Selection, select
from faceplate.importers.files.text import DAMAGED, check_damage

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an archive without any file
_GZIP: Final = b"\x1f\x8b"
_MAGIC_BYTES: Final = 4
_MAX_EMPTY_BYTES: Final = 64
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


def open_files(
    path: Path, has_chats: Callable[[Opened], bool]
) -> Generator[Opened | Refusal, None, None]:
    """Yield each file with chats, open until the next one, and what is wrong with the others.

    In an archive or a folder these are the files that `select` names, in that order: first those to
    read, then each other one of which ``has_chats`` says so. A folder may have archives, but an
    archive within an archive is refused. Raises OSError if ``path`` cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as raw:
            opened = Opened(path.name, raw, raw.tell, is_one_of_several=False)
            yield from _unpack(opened, has_chats, may_be_archive=True)
        return
    selection = _select_in(path)
    is_empty = True
    before_bytes = 0
    for number, name in enumerate((*selection.read, *selection.others)):
        is_other = number >= len(selection.read)
        opened = Opened(name, BytesIO(), int, is_other or len(selection.read) > 1)
        try:
            raw = (path / name).open("rb")
        except OSError as error:
            is_empty = False
            yield opened.refuse(Place("file", 1), error.strerror or "unreadable", is_unread=True)
            continue
        with raw:
            done_bytes = partial(_done_bytes, raw, before_bytes)
            opened = opened._replace(file=raw, done_bytes=done_bytes)
            if is_other:
                items = _open_other(opened, has_chats)
            else:
                items = _unpack(opened, has_chats, may_be_archive=True)
            for item in items:
                is_empty = False
                yield item
            before_bytes += os.fstat(raw.fileno()).st_size
    if is_empty:
        yield Refusal(Place("file", 1), "a folder without a file of chats")


def size_bytes(path: Path) -> int:
    """Return the size of a file, or of the files in a folder. Raises OSError."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((path / name).stat().st_size for names in _select_in(path) for name in names)


def left_files(path: Path, has_chats: Callable[[Opened], bool]) -> list[str]:
    """Return the names of the files in a folder or an archive that are not read, or have nothing.

    Hidden files are not among them. Raises OSError.
    """
    left: list[str] = []

    def look(opened: Opened) -> bool:
        is_read = has_chats(opened)
        if not is_read:
            left.append(opened.name)
        return is_read

    empty = [
        opened.name
        for opened in open_files(path, look)
        if isinstance(opened, Opened) and opened.is_one_of_several and _is_empty_list(opened)
    ]
    return [*left, *empty]


def _is_empty_list(opened: Opened) -> bool:
    """Return whether a file is a list without elements, as that of a chat without messages is."""
    head = _read_head(opened.file, _MAX_EMPTY_BYTES)
    is_whole = len(head) < _MAX_EMPTY_BYTES
    return is_whole and head.removeprefix(BOM_UTF8).split() in ([b"[]"], [b"[", b"]"])


def _select_in(folder: Path) -> Selection:
    """Return which files in a folder, and in the folders in it, are read.

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


def _unpack(
    opened: Opened, has_chats: Callable[[Opened], bool], *, may_be_archive: bool
) -> Iterator[Opened | Refusal]:
    """Yield the file, or the file in it if it is packed, or the files in it."""
    magic = _read_head(opened.file, _MAGIC_BYTES)
    if magic in _ZIP and may_be_archive:
        yield from _open_archive(opened, has_chats)
    elif magic in _ZIP:
        reason = "an archive within an archive: unpack it first"
        yield opened.refuse(Place("file", 1), reason, is_unread=True)
    elif magic.startswith(_GZIP):
        with BoundedGzip(opened.file, opened.done_bytes) as file:
            unpacked = opened._replace(name=_without_gz(opened.name), file=file)
            if _read_head(file, _MAGIC_BYTES) in _ZIP:
                yield from _unpack(unpacked, has_chats, may_be_archive=False)
            else:
                yield _without_others(unpacked)
    else:
        yield _without_others(opened)


def _open_other(opened: Opened, has_chats: Callable[[Opened], bool]) -> Iterator[Opened | Refusal]:
    """Yield a file that is not named as one with chats, if it has some."""
    if is_activity(_read_head(opened.file, HEAD_BYTES)):
        yield _without_others(opened)
    elif has_chats(opened):
        opened.file.seek(0)
        yield opened


def _without_others(opened: Opened) -> Opened | Refusal:
    """Return the file, or a refusal if it is of a kind that has no chats in it."""
    reason = refuse_kind(_read_head(opened.file, HEAD_BYTES))
    try:
        is_export = archive_version(cast("BinaryIO", opened.file)) is not None
    except DAMAGED as error:
        check_damage(error)
        is_export = False
    opened.file.seek(0)
    if is_export:
        reason = "a file of `faceplate export`: import it by itself, unpacked"
    return opened.refuse(Place("file", 1), reason, is_unread=True) if reason else opened


def _read_head(file: BufferedIOBase, size_bytes: int) -> bytes:
    """Return the first bytes of a file, and go back to its begin."""
    try:
        return file.read(size_bytes)
    except DAMAGED as error:
        check_damage(error)
        return b""  # the reader of the file meets the same damage
    finally:
        file.seek(0)


def _without_gz(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") else name


def _open_archive(
    opened: Opened, has_chats: Callable[[Opened], bool]
) -> Iterator[Opened | Refusal]:
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
        members: dict[str, list[zipfile.ZipInfo]] = {}  # a name may stand there twice
        for info in archive.infolist():
            if not info.is_dir():
                members.setdefault(info.filename, []).append(info)
        if reason := refuse_sizes(opened.file, archive.infolist()):
            yield opened.refuse(here, reason, is_unread=True)
            return
        selection = select(members)
        is_one_of_several = opened.is_one_of_several or len(selection.read) > 1
        is_empty = True
        for number, name in enumerate((*selection.read, *selection.others)):
            is_other = number >= len(selection.read)
            member = opened._replace(
                name=f"{opened.name}/{name}" if opened.is_one_of_several else name,
                is_one_of_several=is_one_of_several or is_other,
            )
            for info in members[name]:
                for item in _open_member(member, archive, info, has_chats, is_other=is_other):
                    is_empty = False
                    yield item
        if is_empty:
            yield opened.refuse(here, "an archive without a file of chats")


def _open_member(
    member: Opened,
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    has_chats: Callable[[Opened], bool],
    *,
    is_other: bool,
) -> Iterator[Opened | Refusal]:
    """Yield a file of an archive, or why it cannot be read; nothing of one without chats."""
    reason = ""
    if info.flag_bits & _IS_ENCRYPTED:
        reason = "an archive that is encrypted"
    else:
        try:
            file = cast("BufferedIOBase", archive.open(info))
        except NotImplementedError:  # zipfile raises it for an unknown compression
            reason = "an archive of an unknown compression"
        except DAMAGED as error:
            check_damage(error)
            reason = "the archive is damaged: the file was not read"
    if reason and is_other:
        has_chats(member)  # it has none, and is left
    elif reason:
        yield member.refuse(Place("file", 1), reason)
    else:
        with file:
            member = member._replace(file=file)
            if is_other:
                yield from _open_other(member, has_chats)
            else:
                yield from _unpack(member, has_chats, may_be_archive=False)
