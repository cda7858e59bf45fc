"""The checks that all bodies share: their size, and whether they are JSON."""

from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import opened

from faceplate import Conflict, Database, InvalidInput, Scope, Settings, Statement, User
from faceplate.models import Message
from faceplate.services._bodies import body_errors

FIELD = "messages.body"
BODY: Any = sa.bindparam("body", type_=Message.body.type)
READ = Statement(str, sa.select(sa.cast(BODY, sa.Text)))

MB = 1_048_576


async def read(scope: Scope, body: Any) -> str:
    """Have PostgreSQL read a body, as a unit that stores one does."""
    with body_errors(scope, FIELD, body):
        return await scope.one(READ, body=body)


@pytest.mark.parametrize("character", ["a", "é", "語", "🜁"])
async def test_the_limit_counts_bytes(settings: Settings, user: User, character: str) -> None:
    """Else text outside ASCII takes up to four times the room that the setting gives."""
    width = len(character.encode())
    fits = f'"{character * ((MB - 2) // width)}"'
    too_long = f'"{character * (MB // width)}"'
    async with opened(settings, max_body_mb=1) as db:
        assert await db.run(user.id, read, fits) == fits
        with pytest.raises(InvalidInput) as refusal:
            await db.run(user.id, read, too_long)
    assert refusal.value.field == FIELD
    assert refusal.value.rule == f"at most 1 MB; {len(too_long.encode()):,} bytes were given"


async def test_the_limit_is_sixteen_megabytes_unless_it_is_set(db: Database, user: User) -> None:
    fits = f'"{"a" * (16 * MB - 2)}"'
    assert await db.run(user.id, read, fits) == fits
    with pytest.raises(InvalidInput, match="at most 16 MB"):
        await db.run(user.id, read, fits + " ")


NO_JSON = ["", " ", "{", "nul", "NaN", "{'a': 1}", '{"a": 1,}', '"\t"', "1 2", '"\\x"', "\ufeff1"]


@pytest.mark.parametrize("body", NO_JSON)
async def test_what_is_no_json_is_refused_by_the_name_of_its_field(
    db: Database, user: User, body: str
) -> None:
    """PostgreSQL does not say which value it could not read."""
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, read, body)
    assert refusal.value.message == "messages.body: must be JSON"


async def test_what_nests_too_deep_for_the_server_is_refused(db: Database, user: User) -> None:
    deep = "[" * 1_000 + "]" * 1_000
    assert await db.run(user.id, read, deep) == deep
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, read, "[" * 1_000_000 + "]" * 1_000_000)
    assert (refusal.value.field, refusal.value.sqlstate) == (FIELD, "54001")
    assert "max_stack_depth" in refusal.value.rule
    assert await db.run(user.id, read, "1") == "1"


@pytest.mark.parametrize("body", [7, b"{}", {}, "\x00", '"\ud800"', '"\ud800"' + " " * 8 * MB])
async def test_what_is_no_text_is_refused_by_the_rule_of_the_column(
    db: Database, user: User, body: Any
) -> None:
    with pytest.raises(InvalidInput, match="must ") as refusal:
        await db.run(user.id, read, body)
    assert refusal.value.field == FIELD


async def test_other_errors_keep_their_words(db: Database, user: User) -> None:
    """Else a unit that stores a body blames the body for all that it refuses."""

    async def unit(scope: Scope) -> None:
        with body_errors(scope, FIELD):
            raise Conflict("taken", sqlstate="23505")

    with pytest.raises(Conflict, match="taken"):
        await db.run(user.id, unit)
