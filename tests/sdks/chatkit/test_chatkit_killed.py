"""What ChatKit servers that are killed or cancelled in the middle of a turn have stored."""

from uuid import UUID

from chatkit.types import AssistantMessageItem, ThreadItem, UserMessageItem
from tests.campaigns import Campaign
from tests.sdks.chatkit.killed import THREAD, open_thread, take_turn, turn, units, write
from tests.sdks.killing import Canceller, check_units, kill_writers

from faceplate import Database, User
from faceplate.integrations.chatkit import FaceplateStore


class Noting(FaceplateStore[UUID]):
    """Knows the items that it was given."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, lambda context: context)
        self.given: list[ThreadItem] = []

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: UUID) -> None:
        self.given.append(item)
        await super().add_thread_item(thread_id, item, context)


async def items_of(store: FaceplateStore[UUID], user: User) -> list[ThreadItem]:
    items: list[ThreadItem] = []
    after = None
    while True:
        page = await store.load_thread_items(THREAD, after, 1_000, "asc", user.id)
        items, after = items + page.data, page.after
        if after is None:
            return items


def names_of(items: list[ThreadItem]) -> list[str]:
    said = (UserMessageItem, AssistantMessageItem)
    return [item.content[0].text for item in items if isinstance(item, said)]


async def test_killed_servers_lose_and_double_nothing(
    db: Database, user: User, other_user: User, database_url: str, campaign: Campaign
) -> None:
    """Two of a user at once in one thread, and one of another user in theirs."""
    owners = [str(user.id), str(user.id), str(other_user.id)]
    killed = await kill_writers(write, database_url, owners, campaign)
    store: FaceplateStore[UUID] = FaceplateStore(db, lambda context: context)
    for one in (user, other_user):
        check_units(names_of(await items_of(store, one)), str(one.id), killed, units)
        [thread] = (await store.load_threads(9, None, "asc", one.id)).data
        assert thread.id == THREAD


async def test_a_cancelled_turn_that_is_repeated_doubles_nothing(
    db: Database, user: User, campaign: Campaign
) -> None:
    """An item that was added is added once, and what the server says is stored is there."""
    store, canceller = Noting(db), Canceller(campaign)
    await open_thread(store, user.id)
    told: list[str] = []
    numbers = range(campaign.size(30, 200))
    for number in numbers:
        await canceller.call(take_turn(store, user.id, "0", number, told.append))
    names = names_of(await items_of(store, user))
    assert set(told) <= set(names)
    for number in numbers:
        own = [name for name in names if name in turn("0", number)]
        assert own in (turn("0", number)[:size] for size in range(3))
    for item in store.given:
        await FaceplateStore.add_thread_item(store, THREAD, item, user.id)
    assert [item.id for item in await items_of(store, user)] == [item.id for item in store.given]
