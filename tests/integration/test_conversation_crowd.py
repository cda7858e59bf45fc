"""Many writers on a few conversations with branches: each message is kept once, in its place."""

from tests.campaigns import Campaign
from tests.conversation_crowd import share, write_at_once

from faceplate import Database, User

WRITERS = 16


async def test_writers_at_once_lose_nothing_and_leave_no_orphan(
    db: Database, user: User, campaign: Campaign
) -> None:
    """Else two tabs that edit, regenerate and switch at once tear a chat apart."""
    for _ in range(campaign.size(1, 30)):
        shared = await share(db, user.id)
        await write_at_once(shared, campaign.dice, writers=WRITERS, steps=40)
        for chat in shared:
            print(  # noqa: T201 - that it had strength
                f"{len(chat.told)} appended, {chat.removed} removed, {chat.refused} refused"
            )
            assert chat.told
            assert not chat.lost + chat.doubts
            await chat.check()
