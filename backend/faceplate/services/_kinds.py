"""The kinds of rows a user can have: the user, and all models that are `Owned`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from faceplate._driver.dialect import DIALECT
from faceplate._models.constraint_words import referred_table
from faceplate.errors import UsageError
from faceplate.models import (
    SCHEMA,
    Conversation,
    Message,
    User,
    export_key_of,
    noun_of,
    owned_models,
    table_name,
)
from faceplate.services import _row_statements


class Kind(NamedTuple):
    """A table, with its names in an export and in the commands."""

    model: Any
    table: str
    """The name that rows are counted under."""
    key: str | None
    """The key of a row's line in an export, or None if it is not exported."""
    noun: str
    """What a row is called, without an article."""
    record: type[Any]
    columns: dict[str, Any]
    """By the names of the record's fields."""

    @property
    def is_chats(self) -> bool:
        """Whether it has statements of its own: conversations and messages go together."""
        return self.model in (Conversation, Message)

    @property
    def is_purged(self) -> bool:
        """Whether a purge removes idle rows, one by one."""
        return bool(getattr(self.model, "is_purged", False)) and not self.is_chats

    @property
    def is_ours(self) -> bool:
        return bool(self.model.__table__.schema == SCHEMA)

    @property
    def quoted(self) -> str:
        """The table's name as SQL has it."""
        return str(DIALECT.identifier_preparer.format_table(self.model.__table__))


def all_kinds() -> list[Kind]:
    """Return all kinds: the user, ours in their order, then the application's.

    Raises UsageError if two of them have the same key.
    """
    found = [_kind(model) for model in (User, *owned_models())]
    keys = ["end", *(kind.key for kind in found if kind.key is not None)]
    if doubled := {key for key in keys if keys.count(key) > 1}:
        raise UsageError(f"more than one table has the export_key {', '.join(sorted(doubled))}")
    return found


def in_order(kinds: Sequence[Kind]) -> list[Kind]:
    """Return each kind after the kinds that it refers to, and conversations late."""
    parents = {_name(kind): _parents(kind) for kind in kinds}
    waiting = {_name(kind): kind for kind in sorted(kinds, key=lambda kind: kind.is_chats)}
    ordered = []
    while waiting:
        ready = (name for name in waiting if not parents[name] & waiting.keys())
        ordered.append(waiting.pop(next(ready, next(iter(waiting)))))  # any one, in a circle
    return ordered


def _kind(model: Any) -> Kind:
    table, noun = table_name(model.__table__), noun_of(model).bare
    return Kind(model, table, export_key_of(model), noun, *_row_statements.exported(model))


def _name(kind: Kind) -> str:
    return str(kind.model.__table__.fullname)


def _parents(kind: Kind) -> set[str]:
    keys = kind.model.__table__.foreign_key_constraints
    return {referred_table(key) for key in keys} - {_name(kind)}
