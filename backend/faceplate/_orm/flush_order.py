"""The order of a flush: our rows come before the rows that refer to them.

SQLAlchemy orders a flush by relationships, and examines each relationship of each row: a fourteenth
of the cost of a unit that adds one message. So our models' relationships are for reading only, and
this module orders a flush by foreign keys. A project's own tables may refer to each other in a
circle, so their relationships give the order among themselves.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session, UOWTransaction, unitofwork
from sqlalchemy.orm.attributes import instance_state

from faceplate.models import Conversation, User

_REFERENCED = {User.__table__, Conversation.__table__}
# The steps of a flush for all rows of a table. Before SQLAlchemy 2.1 they had no underscore.
_names = vars(unitofwork)
_Save: Any = _names.get("_SaveUpdateAll") or _names["SaveUpdateAll"]
_Delete: Any = _names.get("_DeleteAll") or _names["DeleteAll"]


class OrderedSession(Session):
    """A session to which rows can be added in any order."""

    def prepare_flush(
        self, context: UOWTransaction, new: list[Any], changed: list[Any], deleted: list[Any]
    ) -> None:
        """Have referenced rows written first, and deleted last."""
        for child, parent in _references(map(_mapper, (*new, *changed))):
            context.dependencies.add((_Save(context, parent), _Save(context, child)))
        for child, parent in _references(map(_mapper, deleted)):
            context.dependencies.add((_Delete(context, child), _Delete(context, parent)))


@event.listens_for(OrderedSession, "before_flush")
def _prepare_flush(session: OrderedSession, context: UOWTransaction, _instances: Any) -> None:
    session.prepare_flush(context, list(session.new), list(session.dirty), list(session.deleted))


def _mapper(row: Any) -> Mapper[Any]:
    mapper: Mapper[Any] = instance_state(row).mapper
    return mapper


def _references(mappers: Iterable[Mapper[Any]]) -> Iterable[tuple[Mapper[Any], Mapper[Any]]]:
    """Return the two mappers of each foreign key from one of their tables to ours."""
    found = frozenset(mappers)
    return _references_among(found) if len(found) > 1 else ()


@lru_cache(maxsize=256)
def _references_among(mappers: frozenset[Mapper[Any]]) -> list[tuple[Mapper[Any], Mapper[Any]]]:
    by_table: dict[Any, Mapper[Any]] = {
        table: mapper.base_mapper for mapper in mappers for table in mapper.tables
    }
    return [
        (child, by_table[parent])
        for table, child in by_table.items()
        for parent in _REFERENCED & {key.referred_table for key in table.foreign_key_constraints}
        if parent in by_table
    ]
