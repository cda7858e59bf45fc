"""Documents: kept to the letter, by kind and key, and no write of another one is lost."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import opened

from faceplate import (
    Conflict,
    Database,
    Document,
    InvalidInput,
    NotFound,
    Scope,
    Settings,
    User,
    models,
)
from faceplate.services import documents

HOSTILE = {
    "an escaped NUL": r'{"text": "a\u0000b", "\u0000": 1}',
    "lone surrogates": r'["\ud800", "\udfff\ud800", {"\udc00": "\uD83D"}]',
    "an escaped pair": r'"\ud83d\ude00 \/ \u00e9"',
    "integers of any size": f"[{2**63}, {2**64}, -{2**70}, {'9' * 5_000}]",
    "floats": "[1e22, 1E22, 1.0, 1.10, -0, -0.0, 0e0, 1e400, 2.2250738585072014e-308, 1E-7]",
    "the order of keys": '{"b": 1, "a": 2, "10": 3, "9": 4, "": 5}',
    "double keys": '{"a": 1, "a": {"a": 2}, "a": [3]}',
    "whitespace": ' \t\r\n{ "a" :\n[ 1 ,\t2 ] }\r\n ',
    "beyond ASCII": '"\u00e9 e\u0301 \u8a9e \U0001f701 \u2028\u2029 \ufeff \uffff \x7f\x80"',
    "one string": '"a"',
    "one number": "7",
    "null": "null",
    "true": "true",
    "an empty object": "{}",
    "an empty list": " [ ] ",
    "deep nesting": "[" * 1_000 + "]" * 1_000,
    "many values": f"[{','.join(map(str, range(50_000)))}]",
    "a megabyte": json.dumps({"image": "x" * 1_000_000}),
    "SQL": """{"a": "'; DROP TABLE faceplate.documents; --", "$1": ":body %s {}"}""",
}
WRITERS = 16


@pytest.fixture(
    params=[
        "direct",
        pytest.param(
            "as behind a pooler", marks=pytest.mark.not_on_citus("no pooler passes the user on")
        ),
    ]
)
async def place(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """A Database, also one that prepares no statements."""
    async with opened(settings, pgbouncer=request.param != "direct") as db:
        yield db


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_body_comes_back_to_the_letter(place: Database, user: User, name: str) -> None:
    """Else the program that wrote it reads something else, or can no longer verify it."""
    body = HOSTILE[name]
    await place.run(user.id, documents.put, "state", "new", body)
    await place.run(user.id, documents.put, "state", "old", "1")
    await place.run(user.id, documents.put, "state", "old", body)
    await place.run(user.id, documents.put, "state", "swapped", "1")
    await place.run(user.id, documents.update, "state", "swapped", body, version=1)
    for key in ("new", "old", "swapped"):
        assert (await place.run(user.id, documents.get, "state", key)).body == body
    page = await place.run(user.id, documents.page, "state")
    assert [document.body for document in page.items] == [body] * 3


async def test_a_body_is_the_same_by_the_orm(db: Database, user: User) -> None:
    """Else a unit over the ORM changes what a program wrote."""

    async def add(scope: Scope) -> None:
        for name, body in HOSTILE.items():
            scope.session.add(models.Document(kind="state", key=name, body=body))

    async def read(scope: Scope) -> dict[str, str]:
        found = await scope.session.scalars(sa.select(models.Document))
        return {document.key: document.body for document in found}

    await db.run(user.id, add)
    assert await db.run(user.id, read) == HOSTILE
    for name, body in HOSTILE.items():
        assert (await db.run(user.id, documents.get, "state", name)).body == body


async def test_each_write_counts_up(db: Database, user: User) -> None:
    assert await db.run(user.id, documents.put, "state", "a", "1") == 1
    first = await db.run(user.id, documents.get, "state", "a")
    assert await db.run(user.id, documents.put, "state", "a", "1") == 2
    assert await db.run(user.id, documents.update, "state", "a", "2", version=2) == 3
    last = await db.run(user.id, documents.get, "state", "a")
    assert last == Document(
        id=first.id,
        kind="state",
        key="a",
        version=3,
        body="2",
        created_at=first.created_at,
        updated_at=last.updated_at,
    )
    assert last.updated_at > first.updated_at


async def test_kind_and_key_together_name_a_document(db: Database, user: User) -> None:
    names = [("a", "b"), ("a", "c"), ("b", "b"), ("a b", ""), ("a", " b"), ("A", "b")]
    for number, (kind, key) in enumerate(names):
        assert await db.run(user.id, documents.put, kind, key, str(number)) == 1
    for number, (kind, key) in enumerate(names):
        assert (await db.run(user.id, documents.get, kind, key)).body == str(number)


async def test_a_removed_document_is_gone_and_no_other_is(db: Database, user: User) -> None:
    for key in ("a", "b"):
        await db.run(user.id, documents.put, "state", key, "1")
    await db.run(user.id, documents.remove, "state", "a")
    for unit in (documents.get, documents.remove):
        with pytest.raises(NotFound, match=r"document not found$") as missing:
            await db.run(user.id, unit, "state", "a")
        assert missing.value.record is Document
    assert [row.key for row in (await db.run(user.id, documents.page, "state")).items] == ["b"]
    assert await db.run(user.id, documents.put, "state", "a", "1") == 1


async def test_an_update_of_another_version_changes_nothing(db: Database, user: User) -> None:
    await db.run(user.id, documents.put, "state", "a", "1")
    await db.run(user.id, documents.put, "state", "a", "2")
    for version in (1, 3, 2**31 - 1):
        with pytest.raises(Conflict, match=f"another version than {version}$"):
            await db.run(user.id, documents.update, "state", "a", "3", version=version)
    stored = await db.run(user.id, documents.get, "state", "a")
    assert (stored.version, stored.body) == (2, "2")


async def test_an_update_of_version_0_creates_what_is_not_there(db: Database, user: User) -> None:
    with pytest.raises(NotFound, match=r"document not found$"):
        await db.run(user.id, documents.update, "state", "a", "1", version=1)
    assert await db.run(user.id, documents.update, "state", "a", "1", version=0) == 1
    with pytest.raises(Conflict, match="with this kind and key exists already"):
        await db.run(user.id, documents.update, "state", "a", "2", version=0)
    assert (await db.run(user.id, documents.get, "state", "a")).body == "1"


async def count_up(db: Database, user_id: Any, writer: int, times: int) -> None:
    """Add to the list of writers, as often as it takes."""
    for _ in range(times):
        while True:
            try:
                stored = await db.run(user_id, documents.get, "state", "shared")
                version, body = stored.version, stored.body
            except NotFound:
                version, body = 0, "[]"
            wanted = json.dumps([*json.loads(body), writer])
            try:
                await db.run(user_id, documents.update, "state", "shared", wanted, version=version)
            except Conflict:
                continue
            break


async def test_no_update_is_lost_among_concurrent_writers(settings: Settings, user: User) -> None:
    """Else two agents that share a state overwrite each other, and neither notices."""
    times = 5
    async with opened(settings, pool_size=WRITERS) as db:
        await asyncio.gather(*(count_up(db, user.id, one, times) for one in range(WRITERS)))
        stored = await db.run(user.id, documents.get, "state", "shared")
    written = json.loads(stored.body)
    assert sorted(written) == sorted(list(range(WRITERS)) * times)
    assert stored.version == WRITERS * times


async def test_who_locks_a_document_changes_it_in_turn(settings: Settings, user: User) -> None:
    """Else each of many writers of one state has to try again until it is the fastest."""

    async def add(scope: Scope, writer: int) -> int:
        stored = await documents.lock(scope, "state", "shared")
        body = json.dumps([*stored.parsed_body(), writer])
        return await documents.update(scope, "state", "shared", body, version=stored.version)

    async with opened(settings, pool_size=WRITERS) as db:
        with pytest.raises(NotFound, match=r"document not found$"):
            await db.run(user.id, documents.lock, "state", "shared")
        await db.run(user.id, documents.put, "state", "shared", "[]")
        versions = await asyncio.gather(*(db.run(user.id, add, n) for n in range(WRITERS)))
        stored = await db.run(user.id, documents.get, "state", "shared")
    assert sorted(versions) == list(range(2, WRITERS + 2))
    assert sorted(stored.parsed_body()) == list(range(WRITERS))


async def test_of_concurrent_updates_of_a_version_one_succeeds(
    settings: Settings, user: User
) -> None:
    async with opened(settings, pool_size=WRITERS) as db:
        for version in (0, 1):
            results = await asyncio.gather(
                *(
                    db.run(user.id, documents.update, "state", "a", str(one), version=version)
                    for one in range(WRITERS)
                ),
                return_exceptions=True,
            )
            assert results.count(version + 1) == 1
            assert sum(isinstance(result, Conflict) for result in results) == WRITERS - 1
            winner = results.index(version + 1)
            stored = await db.run(user.id, documents.get, "state", "a")
            assert (stored.version, stored.body) == (version + 1, str(winner))


async def test_concurrent_puts_are_all_counted(settings: Settings, user: User) -> None:
    async with opened(settings, pool_size=WRITERS) as db:
        puts = (db.run(user.id, documents.put, "state", "a", str(one)) for one in range(WRITERS))
        versions = await asyncio.gather(*puts)
        stored = await db.run(user.id, documents.get, "state", "a")
    assert sorted(versions) == list(range(1, WRITERS + 1))
    assert stored.body == str(versions.index(WRITERS))


KEYS = [
    *("", " ", "\x01", "\n", "%", "/", "A", "Z", "_", "a", "a\x01", "a/", "a/1", "a/10", "a/2"),
    *("a0", "ab", "b", "\x7f", "é", "é/1", "\ud7ff", "\ue000", "語", "\uffff", "🜁", "\U0010ffff"),
    *("\U0010ffff" * 500, "a/" + "\U0010ffff" * 499, "a" * 2_000, "a/" + "x" * 1_998, "語" * 666),
]


async def pages_of(db: Database, user: User, prefix: str, limit: int) -> list[str]:
    seen: list[str] = []
    cursor = None
    while True:
        page = await db.run(
            user.id, documents.page, "state", prefix=prefix, limit=limit, cursor=cursor
        )
        assert len(page.items) <= limit
        seen += [document.key for document in page.items]
        if (cursor := page.next_cursor) is None:
            return seen


async def test_pages_are_in_the_order_of_code_points(db: Database, user: User) -> None:
    """Else a key is on two pages or on none, as the collation of the database decides."""
    for key in KEYS:
        await db.run(user.id, documents.put, "state", key, "1")
        await db.run(user.id, documents.put, "other", key, "1")
    for limit in (1, 4, 200):
        assert await pages_of(db, user, "", limit) == sorted(KEYS)
    for prefix in ("a", "a/", "a/1", "é", "\U0010ffff", "%", "_", "x", "a" * 2_000):
        expected = sorted(key for key in KEYS if key.startswith(prefix))
        for limit in (1, 3, 200):
            assert await pages_of(db, user, prefix, limit) == expected


async def test_a_cursor_serves_only_its_kind_and_prefix(
    db: Database, user: User, other_user: User
) -> None:
    for kind in ("state", "other"):
        for key in ("a1", "a2", "b"):
            await db.run(user.id, documents.put, kind, key, "1")
    page = await db.run(user.id, documents.page, "state", prefix="a", limit=1)
    for user_id, kind, prefix in (
        (user.id, "other", "a"),
        (user.id, "state", ""),
        (user.id, "state", "b"),
        (other_user.id, "state", "a"),
    ):
        with pytest.raises(InvalidInput, match="is not a cursor of this list") as refusal:
            await db.run(user_id, documents.page, kind, prefix=prefix, cursor=page.next_cursor)
        assert refusal.value.field == "cursor"


MB = 1_048_576
UNITS: dict[str, Callable[..., Any]] = {
    "put": lambda kind, key, body: (documents.put, (kind, key, body), {}),
    "update": lambda kind, key, body: (documents.update, (kind, key, body), {"version": 1}),
    "create": lambda kind, key, body: (documents.update, (kind, key, body), {"version": 0}),
    "get": lambda kind, key, _: (documents.get, (kind, key), {}),
    "remove": lambda kind, key, _: (documents.remove, (kind, key), {}),
    "page": lambda kind, key, _: (documents.page, (kind,), {"prefix": key}),
}
WRITES = ("put", "update", "create")
BROKEN: list[tuple[tuple[str, ...], tuple[Any, Any, Any], tuple[str, str]]] = [
    ((*UNITS,), ("", "a", "1"), ("kind", "must not be blank")),
    ((*UNITS,), (" \t", "a", "1"), ("kind", "must not be blank")),
    ((*UNITS,), ("k" * 101, "a", "1"), ("kind", "at most 100 characters; 101 were given")),
    ((*UNITS,), (None, "a", "1"), ("kind", "is required")),
    ((*UNITS,), (7, "a", "1"), ("kind", "must be text, not int")),
    ((*UNITS,), ("a\x00", "a", "1"), ("kind", "NUL")),
    ((*UNITS,), ("a\ud800", "a", "1"), ("kind", "lone surrogate")),
    ((*UNITS,), ("a", "k" * 2_001, "1"), ("key", "at most 2,000 characters; 2,001 were given")),
    ((*UNITS,), ("a", "é" * 1_001, "1"), ("key", "at most 2,000 bytes; 2,002 were given")),
    ((*UNITS,), ("a", None, "1"), ("key", "is required")),
    ((*UNITS,), ("a", b"a", "1"), ("key", "must be text, not bytes")),
    ((*UNITS,), ("a", "\x00", "1"), ("key", "NUL")),
    ((*UNITS,), ("a", "\udfff", "1"), ("key", "lone surrogate")),
    (WRITES, ("a", "a", None), ("body", "is required")),
    (WRITES, ("a", "a", {}), ("body", "must be JSON as text, not dict")),
    (WRITES, ("a", "a", b"{}"), ("body", "must be JSON as text, not bytes")),
    (WRITES, ("a", "a", "{'a': 1}"), ("body", "must be JSON")),
    (WRITES, ("a", "a", ""), ("body", "must be JSON")),
    (WRITES, ("a", "a", "1\x00"), ("body", "NUL")),
    (WRITES, ("a", "a", '"\ud800"'), ("body", "lone surrogate")),
    (WRITES, ("a", "a", "[" * 500_000 + "]" * 500_000), ("body", "max_stack_depth")),
    (WRITES, ("a", "a", " " * 16 * MB + "1"), ("body", "at most 16 MB; 16,777,217 bytes")),
]


@pytest.mark.parametrize(("units", "given", "told"), BROKEN)
async def test_a_broken_rule_names_the_field_and_the_rule(
    db: Database, user: User, units: tuple[str, ...], given: Any, told: tuple[str, str]
) -> None:
    field, rule = told
    for name in units:
        unit, args, kwargs = UNITS[name](*given)
        with pytest.raises(InvalidInput, match=re.escape(rule)) as refusal:
            await db.run(user.id, unit, *args, **kwargs)
        assert refusal.value.field == f"documents.{field}"


@pytest.mark.parametrize("version", [-1, True, 1.0, "1", None])
async def test_a_version_that_is_none_is_refused(db: Database, user: User, version: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await db.run(user.id, documents.update, "state", "a", "1", version=version)
    assert (refusal.value.field, refusal.value.rule) == (
        "version",
        "must be a whole number, 0 or more",
    )


async def test_what_fits_exactly_is_stored(db: Database, user: User) -> None:
    """Else a rule promises what the index or the protocol has no room for."""
    body = '"' + "語" * ((16 * MB - 2) // 3) + '"'
    for kind, key in (("語" * 100, "🜁" * 500), ("k" * 100, "k" * 2_000)):
        assert await db.run(user.id, documents.put, kind, key, body) == 1
        assert (await db.run(user.id, documents.get, kind, key)).body == body
        assert [row.key for row in (await db.run(user.id, documents.page, kind)).items] == [key]


async def test_another_users_documents_are_out_of_reach(
    db: Database, user: User, other_user: User
) -> None:
    await db.run(other_user.id, documents.put, "state", "a", '"theirs"')
    for unit in (documents.get, documents.remove):
        with pytest.raises(NotFound):
            await db.run(user.id, unit, "state", "a")
    with pytest.raises(NotFound):
        await db.run(user.id, documents.update, "state", "a", '"mine"', version=1)
    assert (await db.run(user.id, documents.page, "state")).items == []
    assert await db.run(user.id, documents.put, "state", "a", '"mine"') == 1
    stored = await db.run(other_user.id, documents.get, "state", "a")
    assert (stored.version, stored.body) == (1, '"theirs"')


async def test_a_unit_may_write_several_or_none(db: Database, user: User) -> None:
    """Else a chat and the state beside it are stored in part."""

    async def both(scope: Scope, second: str) -> None:
        await documents.put(scope, "state", "a", "1")
        await documents.put(scope, "state", "b", second)

    with pytest.raises(InvalidInput):
        await db.run(user.id, both, "no JSON")
    assert (await db.run(user.id, documents.page, "state")).items == []
    await db.run(user.id, both, "2")
    assert len((await db.run(user.id, documents.page, "state")).items) == 2
