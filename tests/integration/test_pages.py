"""Pages: a reader sees every row once, and a cursor opens nothing else."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from sqlalchemy import text

from faceplate import Database, InvalidInput, SystemScope, User
from faceplate.pagination import Page
from faceplate.services import conversations, mcp_configs, messages, tasks

Made = Callable[[Database, UUID, str], Awaitable[UUID]]


async def make_conversation(db: Database, user_id: UUID, name: str) -> UUID:
    return (await db.run(user_id, conversations.create, title=name)).id


async def make_task(db: Database, user_id: UUID, name: str) -> UUID:
    return (await db.run(user_id, tasks.create, title=name)).id


async def make_done(db: Database, user_id: UUID, name: str) -> UUID:
    return (await db.run(user_id, tasks.complete, await make_task(db, user_id, name))).id


async def make_config(db: Database, user_id: UUID, name: str) -> UUID:
    return (await db.run(user_id, mcp_configs.put, name, {"command": "uvx"})).id


class Listing(NamedTuple):
    page: Any
    given: dict[str, Any]
    make: Made
    delete: Any
    newest_first: bool


LISTINGS = {
    "conversations": Listing(
        conversations.page, {}, make_conversation, conversations.delete, newest_first=True
    ),
    "tasks": Listing(tasks.page, {}, make_task, tasks.delete, newest_first=True),
    "open tasks": Listing(
        tasks.page, {"state": "open"}, make_task, tasks.delete, newest_first=True
    ),
    "done tasks": Listing(
        tasks.page, {"state": "done"}, make_done, tasks.delete, newest_first=True
    ),
    "configurations": Listing(
        mcp_configs.page, {}, make_config, mcp_configs.delete, newest_first=False
    ),
    "enabled configurations": Listing(
        mcp_configs.page,
        {"enabled_only": True},
        make_config,
        mcp_configs.delete,
        newest_first=False,
    ),
}


@pytest.fixture(params=LISTINGS.values(), ids=list(LISTINGS))
def listing(request: pytest.FixtureRequest) -> Listing:
    listing: Listing = request.param
    return listing


class Reader:
    """Somebody who turns the pages of a list."""

    def __init__(self, db: Database, user: User, listing: Listing, limit: int) -> None:
        self.db, self.user_id, self.listing, self.limit = db, user.id, listing, limit
        self.seen: list[UUID] = []
        self.cursor: str | None = None

    async def turn(self) -> Page[Any]:
        page: Page[Any] = await self.db.run(
            self.user_id,
            self.listing.page,
            **self.listing.given,
            limit=self.limit,
            cursor=self.cursor,
        )
        self.seen += [row.id for row in page.items]
        self.cursor = page.next_cursor
        return page

    async def rest(self) -> list[UUID]:
        while (await self.turn()).next_cursor is not None:
            assert len(self.seen) < 100
        return self.seen


async def fill(db: Database, user: User, listing: Listing, names: str) -> list[UUID]:
    """Make a row for each character; return the ids in the order of the list."""
    made = [await listing.make(db, user.id, name) for name in names]
    return made[::-1] if listing.newest_first else made


@pytest.mark.parametrize("limit", [1, 3, 7, 200])
async def test_every_row_is_on_one_page(
    db: Database, user: User, listing: Listing, limit: int
) -> None:
    expected = await fill(db, user, listing, "abcdefg")
    reader = Reader(db, user, listing, limit)
    assert await reader.rest() == expected


async def test_a_list_without_rows_is_one_empty_page(
    db: Database, user: User, listing: Listing
) -> None:
    assert await db.run(user.id, listing.page, **listing.given) == Page([], None)


async def test_no_row_is_lost_or_repeated_while_others_write(
    db: Database, user: User, listing: Listing
) -> None:
    expected = await fill(db, user, listing, "bcdefgh")
    reader = Reader(db, user, listing, 2)
    await reader.turn()
    await listing.make(db, user.id, "aa")  # stands before what was read
    await reader.turn()
    await db.run(user.id, listing.delete, expected[3])  # the very row that the cursor names
    await db.run(user.id, listing.delete, expected[0])
    assert await reader.rest() == expected


async def test_rows_of_one_moment_stand_in_one_stable_order(
    db: Database, user: User, listing: Listing
) -> None:
    """Whatever is written in one microsecond would otherwise vanish between two pages."""
    made = await fill(db, user, listing, "abcdefg")

    async def stop_the_clock(scope: SystemScope) -> None:
        for table in ("conversations", "tasks", "mcp_configs"):
            await scope.session.execute(
                text(
                    f"UPDATE faceplate.{table} SET created_at = '2026-01-01T00:00:00.000001Z',"
                    " updated_at = '2026-01-01T00:00:00.000001Z' WHERE user_id = :user"
                ),
                {"user": user.id},
            )
        await scope.session.execute(  # the trigger's work, which Citus does not have
            text(
                "UPDATE faceplate.conversations SET active_hour = '2026-01-01T00:00Z'"
                " WHERE user_id = :user"
            ),
            {"user": user.id},
        )

    await db.run_system(stop_the_clock)
    seen = [await Reader(db, user, listing, limit).rest() for limit in (1, 2, 3, 200)]
    assert seen == [sorted(made, reverse=True) if listing.newest_first else made] * 4


async def test_a_conversation_that_wakes_up_meanwhile_is_not_shown_twice(
    db: Database, user: User
) -> None:
    listing = LISTINGS["conversations"]
    expected = await fill(db, user, listing, "abcdef")
    reader = Reader(db, user, listing, 2)
    await reader.turn()
    await db.run(user.id, messages.append, expected[1], role="user", content="hello")
    assert await reader.rest() == expected
    again = Reader(db, user, listing, 2)
    assert (await again.turn()).items[0].id == expected[1]


@pytest.mark.parametrize("limit", [0, 201, -1, True, 1.0, "10", None])
async def test_a_limit_out_of_bounds_is_refused(
    db: Database, user: User, listing: Listing, limit: Any
) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 200") as refusal:
        await db.run(user.id, listing.page, limit=limit)
    assert refusal.value.field == "limit"


async def test_a_page_has_50_rows_unless_asked(db: Database, user: User) -> None:
    made = await fill(db, user, LISTINGS["tasks"], "x" * 51)
    page = await db.run(user.id, tasks.page)
    assert [task.id for task in page.items] == made[:50]


async def test_a_cursor_serves_only_its_user_and_its_list(
    db: Database, user: User, other_user: User, listing: Listing
) -> None:
    for owner in (user, other_user):
        await fill(db, owner, listing, "ab")
    reader = Reader(db, user, listing, 1)
    await reader.turn()
    assert reader.cursor is not None
    for other in LISTINGS.values():
        if (other.page, other.given) == (listing.page, listing.given):
            continue
        with pytest.raises(InvalidInput) as refusal:
            await db.run(user.id, other.page, **other.given, cursor=reader.cursor)
        assert refusal.value.field == "cursor"
    with pytest.raises(InvalidInput, match="cursor"):
        await db.run(other_user.id, listing.page, **listing.given, cursor=reader.cursor)


async def test_a_cursor_that_was_tampered_with_is_refused(
    db: Database, user: User, listing: Listing
) -> None:
    await fill(db, user, listing, "abc")
    reader = Reader(db, user, listing, 1)
    await reader.turn()
    cursor = reader.cursor
    assert cursor is not None
    middle = len(cursor) // 2
    flipped = "A" if cursor[middle] != "A" else "B"
    forged: list[Any] = [
        "",
        "nonsense",
        "ä" * 40,
        cursor[:-4],
        cursor + "AAAA",
        cursor[:middle] + flipped + cursor[middle + 1 :],
        cursor.encode(),
        7,
        "A" * 1_000_000,
    ]
    for cursor in forged:
        with pytest.raises(InvalidInput) as refusal:
            await db.run(user.id, listing.page, **listing.given, cursor=cursor)
        assert refusal.value.field == "cursor"


async def test_a_part_of_a_name_is_not_taken_for_a_key(db: Database, user: User) -> None:
    """Else a client makes a cursor out of two, and its request is an error of the program."""
    begin = "2026-01-01T00:00:00+00:00"
    source = f"a {user.id} {begin}"
    for key in ("1", "2"):
        await db.run(user.id, conversations.open, source=source, key=key)
    page = await db.run(user.id, conversations.page, source=source, limit=1)
    sealed = urlsafe_b64decode(f"{page.next_cursor}==")
    mac, key_of_row = sealed[:16], sealed[16:]
    made = urlsafe_b64encode(mac + f"{begin} {user.id} ".encode() + key_of_row).decode()
    with pytest.raises(InvalidInput, match="is not a cursor of this list"):
        await db.run(user.id, conversations.page, source="a", cursor=made.rstrip("="))


async def test_a_cursor_of_a_list_without_a_valid_name_is_refused(db: Database, user: User) -> None:
    """Else a lone surrogate in a request is an error of the program, and not of the client."""
    for source in ("\ud800", "\0"):
        with pytest.raises(InvalidInput):
            await db.run(user.id, conversations.page, source=source, cursor="AAAA")
