"""What agents that are killed or cancelled in the middle of a run have in the store."""

from contextlib import suppress

import pytest
from tests.campaigns import Campaign
from tests.sdks.killing import Canceller, check_units, kill_writers
from tests.sdks.pydantic_ai.scripted import names_of, unit, units

from faceplate import Database, User, was_committed
from faceplate.services import messages

pytest.importorskip("pydantic_ai.conversation_store")

from pydantic_ai.conversation_store import ConversationConflict
from tests.sdks.pydantic_ai.killed_saves import NAME, run, write

from faceplate.integrations.pydantic_ai import FaceplateConversationStore


async def saved(store: FaceplateConversationStore) -> list[str]:
    conversation = await store.load(NAME)
    return [] if conversation is None else names_of(conversation.messages)


async def test_killed_agents_that_save_lose_and_double_nothing(
    db: Database, user: User, other_user: User, database_url: str, campaign: Campaign
) -> None:
    """Two of a user at once in one conversation, and one of another user in theirs."""
    owners = [str(user.id), str(user.id), str(other_user.id)]
    killed = await kill_writers(write, database_url, owners, campaign)
    for one in (user, other_user):
        store = FaceplateConversationStore(db, one.id)
        check_units(await saved(store), str(one.id), killed, units)
        [record] = await store.list_conversations()
        assert record.branches == []  # none undid what another has saved
        place = store.conversation_id(NAME)
        assert await db.run(one.id, messages.pending_tool_calls, place) == []


async def test_a_cancelled_save_that_is_repeated_doubles_nothing(
    db: Database, user: User, campaign: Campaign
) -> None:
    """The store refuses a run that it has."""
    store = FaceplateConversationStore(db, user.id)
    canceller = Canceller(campaign)
    wanted: list[str] = []
    for number in range(campaign.size(30, 200)):
        result = await run(store, "0", number)
        outcome = await canceller.call(store.save(result))
        is_stored = not isinstance(outcome, BaseException) or was_committed(outcome)
        assert await saved(store) == wanted + (unit("0", number) if is_stored else [])
        with suppress(ConversationConflict):
            await store.save(result)
        wanted += unit("0", number)
        assert await saved(store) == wanted
