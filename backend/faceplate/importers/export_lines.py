"""The lines of a user's archive: each is a record, of a kind that a model tells of."""

import json
from base64 import b64decode
from collections.abc import Callable, KeysView
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias
from uuid import UUID

from sqlalchemy.types import ARRAY, TypeDecorator

from faceplate.errors import InvalidInput
from faceplate.export import FORMAT, VERSION
from faceplate.importers.chats import Place, Unreadable
from faceplate.services._kinds import Kind, all_kinds, in_order

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
_PASSED_OVER_BYTES: Final = 8 * 1024 * 1024
_MAX_HEADER_BYTES: Final = 1_000
_NEW_IN_VERSION_2: Final = {
    "conversation": {"head", "source", "key", "body"},
    "message": {"parent_position", "body", "model", "input_tokens", "output_tokens"},
}
"""Fields that a line of version 1 does not have, and that are None then."""
_READ_AS: Final[dict[type, tuple[Callable[[str], Any], str]]] = {
    UUID: (UUID, "a UUID"),
    datetime: (datetime.fromisoformat, "a time in ISO 8601"),
    date: (date.fromisoformat, "a date in ISO 8601"),
    time: (time.fromisoformat, "a time of day in ISO 8601"),
    timedelta: (lambda text: timedelta(seconds=float(text)), "a number of seconds as text"),
    Decimal: (Decimal, "a number as text"),
    bytes: (lambda text: b64decode(text, validate=True), "bytes in base64"),
    float: (float, "a number"),
}
"""How a value is read that JSON has no form for, by the type of its column."""

Mark: TypeAlias = tuple[int, int]


class _Reader(NamedTuple):
    read: Callable[[str], Any]
    what: str
    is_optional: bool
    is_array: bool


class _Form(NamedTuple):
    """What a line of a kind has to be like."""

    record: type[Any]
    names: KeysView[str]
    missing: set[str]
    readers: dict[str, _Reader]
    is_ours: bool


class End(NamedTuple):
    lines: int
    """Of the whole file, as its last line has it."""


class Lines:
    """The lines of an archive behind its header, one at a time; any of them can be gone back to.

    A body has at most ``max_body_mb``. Raises InvalidInput where the header is not that of an
    archive that can be read.
    """

    def __init__(self, file: BinaryIO, *, max_body_mb: int = 0) -> None:
        version = archive_version(file)
        if version not in (1, VERSION):
            number = version if isinstance(version, int) else "unknown"
            what = "not an archive" if version is None else f"an archive of version {number}"
            raise InvalidInput("file", f"is {what}; versions 1 and {VERSION} can be read")
        self._file = file
        # In a line, which holds a body as text, each quotation mark of it takes two bytes.
        self._max_bytes = MAX_LINE_BYTES + 2 * (max_body_mb << 20)
        new = _NEW_IN_VERSION_2 if version == 1 else {}
        self._forms = {
            kind.key: _form(kind, new.get(kind.key, set()))
            for kind in in_order(all_kinds())
            if kind.key
        }
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

    def has_more(self) -> bool:
        """Return whether something is behind the line read last. Not to be read on from."""
        return bool(self._file.readline(_MAX_HEADER_BYTES).strip())

    def next(self) -> Any:
        """Return the next line's record or `End`; None behind the last. Raises Unreadable."""
        line = self._file.readline(self._max_bytes)
        if not line:
            return None
        self.number += 1
        if len(line) == self._max_bytes and not line.endswith(b"\n"):
            while (rest := self._file.readline(_PASSED_OVER_BYTES)) and not rest.endswith(b"\n"):
                pass
            raise Unreadable(f"longer than {self._max_bytes:,} bytes")
        return _parse(line, self._forms)


def archive_version(file: BinaryIO) -> object:
    """The version that a header says, or None where there is no header."""
    try:
        header = json.loads(file.readline(_MAX_HEADER_BYTES))
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(header, dict) and header.get("format") == FORMAT
    return header.get("version", 0) if is_ours else None


def _parse(line: bytes, forms: dict[str, _Form]) -> Any:
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
        return End(3 + sum(number for number in fields.values() if isinstance(number, int)))
    if kind not in forms:
        ours = ", ".join(key for key, form in forms.items() if form.is_ours)
        raise Unreadable(
            f"not one of {ours}, end; a table of the project's own is known by its model"
        )
    form = forms[kind]
    if fields.keys() != form.names - form.missing:
        names = (name for name in form.names if name not in form.missing)
        raise Unreadable(f"{kind}: must have {', '.join(names)}, and nothing else")
    fields.update(dict.fromkeys(form.missing))
    for name, reader in form.readers.items():
        if fields[name] is not None or not reader.is_optional:
            fields[name] = _read(fields[name], reader, f"{kind}.{name}: must be {reader.what}")
    return form.record(*map(fields.__getitem__, form.names))


def _read(value: object, reader: _Reader, problem: str) -> Any:
    if reader.is_array and isinstance(value, list):
        return [None if one is None else _read(one, reader, problem) for one in value]
    if reader.read is float and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise Unreadable(problem)
    try:
        return reader.read(value)
    except (ValueError, ArithmeticError):
        raise Unreadable(problem) from None


def _form(kind: Kind, missing: set[str]) -> _Form:
    readers = {}
    for name, column in kind.columns.items():
        is_array = isinstance(column.type, ARRAY)
        type_ = _python_type(column.type.item_type if is_array else column.type)
        if type_ in _READ_AS:
            readers[name] = _Reader(*_READ_AS[type_], column.nullable, is_array)
    return _Form(kind.record, kind.columns.keys(), missing, readers, kind.is_ours)


def _python_type(type_: Any) -> Any:
    """Return what values of a column's type are in Python; `object` where SQLAlchemy cannot say."""
    found = type_.python_type
    if found is object and isinstance(type_, TypeDecorator):
        return _python_type(type_.impl_instance)
    return found
