"""The project's own tables."""

from uuid import UUID

from sqlalchemy import MetaData, bindparam, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from faceplate import Scope, Statement
from faceplate.column_types import Text
from faceplate.models import Base, Owned


class AppBase(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Note(Owned, AppBase):
    __tablename__ = "notes"

    body: Mapped[str] = mapped_column(Text(10_000))


ADD = Statement(
    UUID, insert(Note).values(id=bindparam("id"), body=bindparam("body")).returning(Note.id)
)
BODIES = Statement(str, select(Note.body).order_by(Note.id))


async def add(scope: Scope, body: str) -> UUID:
    return await scope.one(ADD, id=scope.new_id(), body=body)


async def bodies(scope: Scope) -> list[str]:
    return await scope.all(BODIES)
