"""Gives new rows of a session their owner and id, and refuses others' rows."""

from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import TypeDecorator, Uuid, inspect
from sqlalchemy.orm.attributes import instance_state

from faceplate._orm.connection import other_user_error
from faceplate._orm.unit import Unit
from faceplate.models import Private


def set_owner(unit: Unit, row: Private) -> None:
    """Give a new row the unit's user. Raise InvalidInput for another user's row."""
    user_id = unit.user_id
    if user_id is None:
        return
    model: Any = type(row)
    key, field, place = _owner_column(model)
    given, identity = row.__dict__.get(key), instance_state(row).identity
    if given is None and identity is None:
        setattr(row, key, user_id)
        return
    if not (given is None or _is(given, user_id)):
        raise other_user_error(field)
    if not (identity is None or place is None or _is(identity[place], user_id)):
        raise other_user_error(field)


def _is(owner: Any, user_id: UUID) -> bool:
    return isinstance(owner, UUID) and owner == user_id


def set_id(unit: Unit, row: Any) -> None:
    """Give a new row the unit's next id, if it has none and its ids are UUIDs."""
    model: Any = type(row)
    if getattr(row, "id", row) is None and _has_uuid(model):
        row.id = unit.new_id()


@lru_cache(maxsize=256)
def _has_uuid(model: Any) -> bool:
    """Return whether a model's ``id`` is a UUID, which a project's may not be."""
    column = inspect(model).columns.get("id")
    kind = getattr(column, "type", None)
    kind = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return isinstance(kind, Uuid) and kind.as_uuid


class _OwnerColumn(NamedTuple):
    key: str
    field: str
    place: int | None
    """The position in the primary key, or None."""


@lru_cache(maxsize=256)
def _owner_column(model: Any) -> _OwnerColumn:
    (column, *_) = model.user_id.property.columns
    primary_key = inspect(model).primary_key
    place = primary_key.index(column) if column in primary_key else None
    return _OwnerColumn(model.user_id.property.key, f"{column.table.name}.{column.name}", place)
