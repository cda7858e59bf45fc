"""In which order a flush writes: our rows before those that refer to them.

SQLAlchemy goes by relationships, and asks each of every row what has changed in it: a fourteenth of
all that a unit costs that adds one message. The models' relationships are for reading, and the
foreign keys say the order too. In which order a project's own tables are written among themselves,
their own relationships say: they may refer to each other in a circle.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Mapper, Session, UOWTransaction, unitofwork

from faceplate.models import Conversation, User

_REFERRED = {User.__table__, Conversation.__table__}
# What a flush does for all rows of a table. Before SQLAlchemy 2.1 the names had no underscore.
_names = vars(unitofwork)
_Save: Any = _names.get("_SaveUpdateAll") or _names["SaveUpdateAll"]
_Delete: Any = _names.get("_DeleteAll") or _names["DeleteAll"]


class OrderedSession(Session):
    """A session to which rows that refer to each other may be added in any order."""


@event.listens_for(OrderedSession, "before_flush")
def _order_tables(session: Session, context: UOWTransaction, _instances: Any) -> None:
    """Have rows written after those that they refer to, and deleted before them."""
    for child, parent in _references(session.new):
        context.dependencies.add((_Save(context, parent), _Save(context, child)))
    for child, parent in _references(session.deleted):
        context.dependencies.add((_Delete(context, child), _Delete(context, parent)))


def _references(rows: Iterable[Any]) -> Iterator[tuple[Mapper[Any], Mapper[Any]]]:
    """Yield two mappers of ``rows`` for each foreign key of the first's table to one of ours."""
    mappers = {inspect(row).mapper for row in rows}
    if len(mappers) > 1:
        by_table = {table: mapper.base_mapper for mapper in mappers for table in mapper.tables}
        for table, child in by_table.items():
            for parent in _REFERRED & {key.referred_table for key in table.foreign_key_constraints}:
                if parent in by_table:
                    yield child, by_table[parent]
