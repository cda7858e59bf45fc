"""What faceplate relies on in SQLAlchemy's instances: docs/private-parts.md, S20."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm.attributes import instance_state
from tests.contracts.recorded import Author, Connection, given, on_connection


def made(**values: Any) -> Author:
    """Return an instance as a Statement makes it."""
    mapper: Any = sa.inspect(Author)
    author: Author = mapper.class_manager.new_instance()
    vars(author).update(values)
    instance_state(author).key = (*mapper.identity_key_from_primary_key(())[:1], (1,), None)
    return author


async def test_an_instance_of_values_and_a_key_is_detached(engine: AsyncEngine) -> None:
    """Else an entity of a Statement is inserted once more, or loses a change of it."""
    public = Author(id=1, name="in")
    orm.make_transient_to_detached(public)
    instance = made(id=1, name="in")
    ours, theirs = sa.inspect(instance), sa.inspect(public)
    assert (ours.key, ours.detached, ours.modified) == (theirs.key, True, False)
    assert ours.dict.keys() - {"_sa_instance_state"} == {"id", "name"}

    def use(connection: Connection) -> None:
        connection.execute(sa.insert(Author).values(id=1, name=given))
        with orm.Session(connection) as session:
            author = made(id=1, name="in")
            author.name = "changed"
            session.add(author)
            assert session.dirty
            session.flush()
            session.expire(author)
            assert author.name == "changed"

    await on_connection(engine, use)


def test_a_select_tells_its_entity_and_its_options() -> None:
    """Else a part of a model is taken for a whole one."""
    named = orm.aliased(Author)
    assert sa.select(Author).column_descriptions[0]["expr"] is Author
    assert sa.select(named).column_descriptions[0]["expr"] is named
    assert sa.select(Author.id).column_descriptions[0]["expr"] is not Author
    part: Any = sa.select(Author).options(orm.load_only(Author.id))
    assert isinstance(part._with_options[0], orm.interfaces.LoaderOption)
    limit: Any = sa.select(Author).options(orm.with_loader_criteria(Author, sa.true()))
    assert not isinstance(limit._with_options[0], orm.interfaces.LoaderOption)
