"""What a unit is told when a constraint of a real server refuses a row."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.databases import outside
from uuid6 import uuid7

from faceplate import Conflict, Database, NotFound, Settings, Statement, User
from faceplate.models import Conversation, Message, Task
from faceplate.records import Conversation as ConversationRecord
from faceplate.records import User as UserRecord

SECRET = 4_711_004_711
"""A value that no error may quote."""

TABLES = """
    CREATE SCHEMA guides;
    CREATE TABLE guides.places (id bigint PRIMARY KEY);
    CREATE TABLE guides.ratings (
        id bigint PRIMARY KEY,
        place_id bigint CONSTRAINT fk_ratings_places REFERENCES guides.places
    );
    CREATE TABLE guides.visits (
        place_id bigint CONSTRAINT fk_visits_places REFERENCES guides.places DEFERRABLE
            INITIALLY DEFERRED
    );
    CREATE TABLE guides.photos (
        place_id bigint CONSTRAINT fk_photos_places REFERENCES guides.places ON DELETE RESTRICT
    );
    CREATE TABLE guides.stays (
        during int8range, CONSTRAINT ex_stays EXCLUDE USING gist (during WITH &&)
    );
    INSERT INTO guides.places SELECT generate_series(1, 3);
    INSERT INTO guides.places VALUES (4711004711);
    INSERT INTO guides.ratings VALUES (4711004711, 1);
    INSERT INTO guides.photos VALUES (2);
    INSERT INTO guides.stays VALUES ('[4711004711,4711004712]');
    GRANT USAGE ON SCHEMA guides TO faceplate_app;
    GRANT ALL ON ALL TABLES IN SCHEMA guides TO faceplate_app;
"""


class Guides(DeclarativeBase):
    metadata = sa.MetaData(schema="guides")


class Place(Guides):
    __tablename__ = "places"
    id: Mapped[int] = mapped_column(sa.BigInteger(), primary_key=True)


class Rating(Guides):
    __tablename__ = "ratings"
    id: Mapped[int] = mapped_column(sa.BigInteger(), primary_key=True)
    place_id: Mapped[int] = mapped_column(sa.BigInteger())


@pytest.fixture
async def guides(settings: Settings) -> AsyncIterator[None]:
    """Tables of the application's own."""
    async with outside(settings) as operator:
        await operator.execute(TABLES)
        try:
            yield
        finally:
            await operator.execute("DROP SCHEMA guides CASCADE")


def of_ours(user_id: UUID) -> list[tuple[Any, type, str]]:
    """Rows that refer to what is not there."""
    conversation = {"user_id": user_id, "conversation_id": uuid7(), "id": uuid7()}
    message = {**conversation, "position": 1, "role": "user", "content": "a"}
    return [
        (sa.insert(Message).values(message), ConversationRecord, "the conversation does not exist"),
        (
            sa.update(Message).values(conversation_id=uuid7()),
            ConversationRecord,
            "the conversation does not exist",
        ),
    ]


@pytest.mark.parametrize("number", range(2))
async def test_a_row_of_ours_says_what_it_misses(db: Database, user: User, number: int) -> None:
    """Else a handler answers that something is in the way, where a chat was deleted meanwhile."""
    statement, record, words = of_ours(user.id)[number]

    async def unit(scope: Any) -> None:
        conversation = Conversation(user_id=scope.user_id)
        scope.session.add(conversation)
        await scope.session.flush()
        scope.session.add(
            Message(
                user_id=scope.user_id,
                conversation_id=conversation.id,
                position=1,
                role="user",
                content="a",
            )
        )
        await scope.session.flush()
        await scope.session.execute(statement)

    with pytest.raises(NotFound, match=words) as told:
        await db.run(user.id, unit)
    assert told.value.record is record
    assert told.value.constraint == "fk_messages_conversations"
    assert told.value.sqlstate == "23503"


async def test_a_user_who_is_gone_is_not_found(db: Database) -> None:
    """Else what a user does whose account was erased is a conflict with nobody."""

    async def unit(scope: Any) -> None:
        scope.session.add(Task(user_id=scope.user_id, title="a"))

    with pytest.raises(NotFound, match="the user does not exist") as told:
        await db.run(uuid7(), unit)
    assert told.value.record is UserRecord


MISSING = "the row that this one refers to does not exist"
REFERRED_TO = "another row still refers to this one"
EITHER = "a row refers to one that does not exist, or is still referred to"
EXCLUDED = "a row that excludes this one exists already"
THERE = "a row with the same values exists already"


@pytest.mark.parametrize(
    ("sql", "kind", "message"),
    [
        (
            f"INSERT INTO guides.ratings VALUES (1, {SECRET + 1})",
            *(NotFound, f"{MISSING} (constraint fk_ratings_places of table guides.ratings)"),
        ),
        (
            "DELETE FROM guides.places WHERE id = 1",
            *(Conflict, f"{REFERRED_TO} (constraint fk_ratings_places of table guides.ratings)"),
        ),
        (
            "DELETE FROM guides.places WHERE id = 2",
            *(Conflict, f"{REFERRED_TO} (constraint fk_photos_places of table guides.photos)"),
        ),
        (
            f"UPDATE guides.ratings SET place_id = {SECRET + 1}",
            *(Conflict, f"{EITHER} (constraint fk_ratings_places of table guides.ratings)"),
        ),
        (
            f"UPDATE guides.places SET id = {SECRET + 1} WHERE id = 1",
            *(Conflict, f"{EITHER} (constraint fk_ratings_places of table guides.ratings)"),
        ),
        (  # is refused at COMMIT
            f"INSERT INTO guides.visits VALUES ({SECRET + 1})",
            *(Conflict, f"{EITHER} (constraint fk_visits_places of table guides.visits)"),
        ),
        (
            f"INSERT INTO guides.places VALUES ({SECRET})",
            *(Conflict, f"{THERE} (constraint places_pkey of table guides.places)"),
        ),
        (
            f"INSERT INTO guides.stays VALUES ('[{SECRET},{SECRET + 5}]')",
            *(Conflict, f"{EXCLUDED} (constraint ex_stays of table guides.stays)"),
        ),
    ],
)
@pytest.mark.usefixtures("guides")
async def test_a_row_of_the_applications_own_says_what_is_wrong(
    db: Database, user: User, sql: str, kind: type[Conflict | NotFound], message: str
) -> None:
    """Else a programmer learns that another row rules this one out, and neither which nor why."""

    async def unit(scope: Any) -> None:
        await scope.session.execute(sa.text(sql))

    with pytest.raises(kind) as told:
        await db.run(user.id, unit)
    assert type(told.value) is kind
    assert told.value.message == message
    assert told.value.constraint
    assert told.value.constraint in message
    assert str(SECRET)[:9] not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("way", ["statement", "orm"])
@pytest.mark.usefixtures("guides")
async def test_it_is_the_same_whoever_writes_the_sql(db: Database, user: User, way: str) -> None:
    """Else the error depends on how a unit was written."""
    add = Statement(int, sa.insert(Rating).values(id=1, place_id=9).returning(Rating.id))

    async def unit(scope: Any) -> None:
        if way == "statement":
            await scope.one(add)
        else:
            scope.session.add(Rating(id=1, place_id=9))

    with pytest.raises(NotFound, match=MISSING):
        await db.run(user.id, unit)

    async def remove(scope: Any) -> None:
        if way == "statement":
            await scope.execute(Statement(int, sa.delete(Place).where(Place.id == 1)))
        else:
            await scope.session.delete(await scope.session.get_one(Place, 1))

    with pytest.raises(Conflict, match=REFERRED_TO):
        await db.run(user.id, remove)
