"""What agents that are killed or cancelled in the middle of a run have stored."""

from tests.campaigns import Campaign
from tests.sdks.agent_framework.killed import SESSION, name_of, run, unit, units, write
from tests.sdks.killing import Canceller, check_units, kill_writers

from faceplate import Database, User, was_committed
from faceplate.integrations.agent_framework import FaceplateHistoryProvider
from faceplate.services import messages


async def names_of(history: FaceplateHistoryProvider) -> list[str]:
    return [name_of(message) for message in await history.get_messages(SESSION)]


async def test_killed_agents_lose_and_double_nothing(
    db: Database, user: User, other_user: User, database_url: str, campaign: Campaign
) -> None:
    """Two of a user at once in one session, and one of another user in theirs."""
    owners = [str(user.id), str(user.id), str(other_user.id)]
    killed = await kill_writers(write, database_url, owners, campaign)
    for one in (user, other_user):
        history = FaceplateHistoryProvider(db, one.id)
        check_units(await names_of(history), str(one.id), killed, units)
        place = history.conversation_id(SESSION)
        assert await db.run(one.id, messages.pending_tool_calls, place) == []


async def test_a_cancelled_run_is_whole_or_nothing(
    db: Database, user: User, campaign: Campaign
) -> None:
    """And who runs again what is not there has each run once."""
    history, canceller = FaceplateHistoryProvider(db, user.id), Canceller(campaign)
    wanted: list[str] = []
    for number in range(campaign.size(30, 200)):
        outcome = await canceller.call(run(history, "0", number))
        before, wanted = wanted, wanted + unit("0", number)
        if await names_of(history) == before:
            assert isinstance(outcome, BaseException)
            assert not was_committed(outcome)
            await run(history, "0", number)
        assert await names_of(history) == wanted
