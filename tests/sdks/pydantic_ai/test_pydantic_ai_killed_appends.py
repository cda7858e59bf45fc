"""What agents that are killed in the middle of a run have in faceplate's chats."""

from tests.campaigns import Campaign
from tests.sdks.killing import check_units, kill_writers
from tests.sdks.pydantic_ai.killed_appends import open_chat, write
from tests.sdks.pydantic_ai.scripted import names_of, units

from faceplate import Database, User
from faceplate.integrations.pydantic_ai import to_pydantic_ai
from faceplate.services import messages


async def test_killed_agents_that_append_lose_and_double_nothing(
    db: Database, user: User, other_user: User, database_url: str, campaign: Campaign
) -> None:
    """Two of a user at once in one chat, and one of another user in theirs."""
    owners = [str(user.id), str(user.id), str(other_user.id)]
    killed = await kill_writers(write, database_url, owners, campaign)
    for one in (user, other_user):
        chat_id = await open_chat(db, one.id)
        said = to_pydantic_ai(await db.run(one.id, messages.everything, chat_id))
        check_units(names_of(said), str(one.id), killed, units)
        assert await db.run(one.id, messages.pending_tool_calls, chat_id) == []
