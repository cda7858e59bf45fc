"""Writers on shared conversations with branches whose connections break: nothing is lost."""

from collections.abc import AsyncIterator

import pytest
from tests.campaigns import Campaign
from tests.conversation_crowd import share, write_at_once
from tests.faults.proxy import Action, Fault
from tests.faults.servers import OwnServer
from tests.faults.trials import Bench, bench

WRITERS, STEPS = 16, 25
DROPS = (Action.DROP_BEFORE, Action.DROP_AFTER, Action.CUT)


@pytest.fixture
async def wire(steady_server: OwnServer) -> AsyncIterator[Bench]:
    async with bench(steady_server, pool_size=WRITERS) as wire:
        yield wire
        await wire.check_leaks()


async def test_broken_connections_lose_and_double_no_message_of_a_tree(
    wire: Bench, campaign: Campaign
) -> None:
    """Else a retry begins a branch twice, or a removal takes what came after it."""
    own, dice = await wire.settle(), campaign.dice
    for _ in range(campaign.size(1, 20)):
        shared = await share(wire.db, own.user_id, replays=True)
        faults = [Fault(dice.choice(DROPS), dice.randint(1, 150)) for _ in range(100)]
        wire.proxy.plan(*faults)
        await write_at_once(shared, dice, writers=WRITERS, steps=STEPS)
        struck = len(wire.proxy.struck)
        wire.proxy.plan()
        assert struck
        for chat in shared:
            print(  # noqa: T201 - that it had strength
                f"{struck} broken, {len(chat.told)} appended, {chat.removed} removed,"
                f" {chat.refused} refused, {chat.lost} lost, {chat.doubts} in doubt"
            )
            await chat.check()
