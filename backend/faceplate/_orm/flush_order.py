"""The order of a flush: our rows come before the rows that refer to them.

SQLAlchemy orders a flush by relationships, and examines each relationship of each row: a fourteenth
of the cost of a unit that adds one message. So our models' relationships are for reading only, and
this module orders a flush by foreign keys. A project's own tables may refer to each other in a
circle, so their relationships give the order among themselves.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Mapper, Session, UOWTransaction, unitofwork

from faceplate.models import Conversation, User

_REFERENCED = {User.__table__, Conversation.__table__}
# The steps of a flush for all rows of a table. Before SQLAlchemy 2.1 they had no underscore.
_names = vars(unitofwork)
_Save: Any = _names.get("_SaveUpdateAll") or _names["SaveUpdateAll"]
_Delete: Any = _names.get("_DeleteAll") or _names["DeleteAll"]


class OrderedSession(Session):
    """A session to which rows can be added in any order."""


@event.listens_for(OrderedSession, "before_flush")
def _order_tables(session: Session, context: UOWTransaction, _instances: Any) -> None:
    """Insert referenced rows first, and delete them last."""
    for child, parent in _references(session.new):
        context.dependencies.add((_Save(context, parent), _Save(context, child)))
    for child, parent in _references(session.deleted):
        context.dependencies.add((_Delete(context, child), _Delete(context, parent)))


def _references(rows: Iterable[Any]) -> Iterator[tuple[Mapper[Any], Mapper[Any]]]:
    """Yield the two mappers of each foreign key from a table of ``rows`` to ours."""
    mappers = {inspect(row).mapper for row in rows}
    if len(mappers) > 1:
        by_table = {table: mapper.base_mapper for mapper in mappers for table in mapper.tables}
        for table, child in by_table.items():
            for parent in _REFERENCED & {
                key.referred_table for key in table.foreign_key_constraints
            }:
                if parent in by_table:
                    yield child, by_table[parent]
