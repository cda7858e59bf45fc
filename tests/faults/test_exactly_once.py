"""Whatever message a connection breaks at, a unit has taken effect once, or says that it has not.

A unit that writes is run over a proxy; what it returns and what it leaves behind are compared
with a run in which nothing broke.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import product

import pytest
from tests.campaigns import Campaign
from tests.faults.conftest import QUICK
from tests.faults.judging import AROUND_COMMIT, OWN, PLANS, Book, learn
from tests.faults.plans import READS, TABLES, insert_a_note_as_text, plans
from tests.faults.proxy import Action, Fault, is_commit, is_committed
from tests.faults.servers import OwnServer, own_server
from tests.faults.trials import Bench, Use, bench
from tests.units import nobodys, settle_in, units

from faceplate import CommitOutcomeUnknown, ConnectionLost, TimedOut, Unauthorized, Unavailable
from faceplate.services import tasks

DROPS = (Action.DROP_BEFORE, Action.DROP_AFTER)


@pytest.fixture
async def wire(steady_server: OwnServer) -> AsyncIterator[Bench]:
    async with bench(steady_server) as wire:
        yield wire
        await wire.check_leaks()


@pytest.fixture
async def impatient(steady_server: OwnServer) -> AsyncIterator[Bench]:
    """Whose limits are so short that a hang does not take long."""
    limits = {"command_timeout_s": 0.4, "statement_timeout_s": 0.3, "lock_timeout_s": 0.2}
    async with bench(steady_server, **limits, idle_in_transaction_timeout_s=1.0) as wire:
        yield wire
        await wire.check_leaks()


@pytest.fixture
async def resigned(steady_server: OwnServer) -> AsyncIterator[Bench]:
    """A bench that does not wait long for a server that is gone."""
    async with bench(steady_server, reconnect_timeout_s=0.05) as wire:
        yield wire
        await wire.check_leaks()


REFUSALS = [
    "pg_current_wal_lsn()",
    "pg_current_xact_id_if_assigned()",
    "pg_current_xact_id()",
]


@pytest.fixture(params=REFUSALS)
def discreet_server(request: pytest.FixtureRequest) -> Iterator[OwnServer]:
    """A server that keeps from its users where it stands, or what their transactions are."""
    refuse = f"REVOKE EXECUTE ON FUNCTION pg_catalog.{request.param} FROM PUBLIC"
    with own_server(script=f"{TABLES}; {refuse}", **QUICK) as server:
        yield server


def test_every_unit_that_writes_has_a_plan() -> None:
    """Else the campaigns say nothing about a unit that was added later."""
    planned = {name.partition(",")[0] for name in PLANS if name not in OWN}
    assert planned | READS == units().keys()
    assert not planned & READS


@pytest.mark.parametrize("used_for", ["writing", "reading"])
async def test_a_drop_at_any_message_is_ridden_out(
    wire: Bench, campaign: Campaign, used_for: Use
) -> None:
    """Else a message is lost or stored twice, or a delete that took effect says NotFound.

    A connection that has been written on asks for the mark of a transaction in another way.
    """
    book = Book()
    everywhere = [
        (name, Fault(action, at))
        for name in PLANS
        for at, action in product(
            range(1, (await learn(wire, name, used_for=used_for)).messages + 1), DROPS
        )
    ]
    around_commit = list(product(PLANS, AROUND_COMMIT))
    for name, fault in [
        *campaign.dice.sample(around_commit, campaign.size(40, len(around_commit))),
        *campaign.dice.sample(everywhere, campaign.size(20, len(everywhere))),
    ]:
        trial = await wire.try_out(name, fault, used_for=used_for)
        assert trial.struck, (name, fault)
        book.judge(name, await learn(wire, name, used_for=used_for), trial)
    book.check()


async def test_a_drop_while_connecting_is_ridden_out(wire: Bench, campaign: Campaign) -> None:
    """Else the first unit after a restart fails, or a unit is run that has no connection."""
    book, name = Book(), "messages.append"
    known = await learn(wire, name, used_for="nothing")
    actions = (*DROPS, Action.CUT)
    everywhere = [Fault(*fault) for fault in product(actions, range(1, known.messages + 1))]
    for fault in campaign.dice.sample(everywhere, campaign.size(20, len(everywhere))):
        book.judge(name, known, await wire.try_out(name, fault, used_for="nothing"))
    book.check()


async def test_a_message_that_is_cut_is_as_good_as_lost(wire: Bench, campaign: Campaign) -> None:
    """Else half a message is taken for a whole one, or its loss for another error."""
    book, dice = Book(), campaign.dice
    for _ in range(campaign.size(20, 300)):
        name = dice.choice(PLANS)
        known = await learn(wire, name)
        anywhere = Fault(Action.CUT, dice.randint(1, known.messages))
        at_commit = [Fault(Action.CUT, is_commit), Fault(Action.CUT, is_committed)]
        book.judge(name, known, await wire.try_out(name, dice.choice([anywhere, *at_commit])))
    book.check()


async def test_a_block_takes_effect_or_says_that_it_has_not(
    wire: Bench, campaign: Campaign
) -> None:
    """Else `begin`, which cannot retry, reports a COMMIT that took effect as a failure."""
    book = Book()
    owned = [name for name, plan in plans(nobodys()).items() if not plan.is_across_users]
    everywhere = list(product(owned, AROUND_COMMIT))
    for name, fault in campaign.dice.sample(everywhere, campaign.size(30, len(everywhere))):
        known = await learn(wire, name)
        trial = await wire.try_out(name, fault, in_block=True)
        took_effect = fault.action is Action.DROP_AFTER or fault.at is is_committed
        book.judge(name, known, trial, *([] if took_effect else [ConnectionLost]))
    book.check()


async def test_a_connection_that_goes_silent_is_given_up(
    impatient: Bench, campaign: Campaign
) -> None:
    """Else a unit hangs, or a timeout of a COMMIT that took effect is taken for a failure.

    What hangs before COMMIT is TimedOut, with nothing written. A silent COMMIT is found out, or
    said to be unknown: the server may hold the transaction open, and its locks, for a while.
    """
    book, dice = Book(), campaign.dice
    for _ in range(campaign.size(10, 120)):
        name = dice.choice(PLANS)
        known = await learn(impatient, name)
        anywhere = Fault(Action.HANG, dice.randint(1, known.messages))
        at_commit = [Fault(Action.HANG, is_commit), Fault(Action.HANG, is_committed)]
        trial = await impatient.try_out(name, dice.choice([anywhere, *at_commit]))
        book.judge(name, known, trial, TimedOut, CommitOutcomeUnknown)
        impatient.proxy.drop_all()
    book.check()


async def test_two_drops_double_nothing_and_hide_nothing(wire: Bench, campaign: Campaign) -> None:
    """Else a message whose retry fails too is reported as not written, and is written again.

    The second drop falls into the retry, into finding out, or into connecting for either.
    """
    book, dice = Book(), campaign.dice
    for _ in range(campaign.size(40, 600)):
        name = dice.choice(PLANS)
        known = await learn(wire, name)
        anywhere = Fault(dice.choice(DROPS), dice.randint(1, known.messages))
        later = Fault(dice.choice(DROPS), dice.randint(1, 60))
        faults = dice.choice([anywhere, *AROUND_COMMIT]), dice.choice([later, *AROUND_COMMIT])
        trial = await wire.try_out(name, *faults)
        book.judge(name, known, trial, ConnectionLost, CommitOutcomeUnknown)
    book.check()


async def test_a_commit_that_nobody_can_ask_about_is_unknown(
    resigned: Bench, campaign: Campaign
) -> None:
    """Else a caller is told that nothing was written, tries again, and has it twice."""
    book = Book()
    for_ever = [Fault(Action.DROP_BEFORE, 1)] * 100
    for name in campaign.dice.sample(PLANS, campaign.size(6, len(PLANS))):
        known = await learn(resigned, name)
        for first in AROUND_COMMIT:
            trial = await resigned.try_out(name, first, *for_ever)
            assert isinstance(trial.error, CommitOutcomeUnknown), (name, first, trial.error)
            book.judge(name, known, trial, CommitOutcomeUnknown)
        book.judge(name, known, await resigned.try_out(name, *for_ever), Unavailable)
    book.check()


async def test_a_server_that_has_become_discreet_costs_a_unit_for_each_connection(
    steady_server: OwnServer,
) -> None:
    """Else a right that is taken away stops every write until somebody restarts the program."""
    function = f"EXECUTE ON FUNCTION pg_catalog.{REFUSALS[0]}"
    async with bench(steady_server, pool_size=1, max_overflow=0) as wire:
        own = await wire.settle()
        edit = plans(own)["tasks.edit"]
        await wire.run(own, edit)
        await wire.admin.execute(f"REVOKE {function} FROM PUBLIC")
        try:
            with pytest.raises(Unauthorized):
                await wire.run(own, edit)
            await wire.run(own, edit)
        finally:
            await wire.admin.execute(f"GRANT {function} TO PUBLIC")


@pytest.mark.pipelined
async def test_a_server_that_says_nothing_of_its_transactions_still_takes_them(
    discreet_server: OwnServer, campaign: Campaign
) -> None:
    """Else each write fails at a provider that refuses a function which only a fault needs.

    A lost COMMIT is unknown then, unless the unit may simply be run again.
    """
    book = Book()
    async with bench(discreet_server) as wire:
        for name in campaign.dice.sample(PLANS, campaign.size(10, len(PLANS))):
            known = await learn(wire, name)
            book.judge(name, known, await wire.try_out(name))
            for fault in AROUND_COMMIT:
                book.judge(name, known, await wire.try_out(name, fault), CommitOutcomeUnknown)
        trial = await wire.try_out("own, a sum", AROUND_COMMIT[1])
        assert isinstance(trial.error, CommitOutcomeUnknown)
        await wire.check_leaks()
    book.check()


async def test_an_earlier_transaction_on_the_connection_is_not_asked_about(
    steady_server: OwnServer,
) -> None:
    """Else a COMMIT that was lost is taken for kept, as the transaction before it was."""
    async with bench(steady_server, pool_size=1, max_overflow=0) as wire:
        own = await settle_in(wire.db)
        for _ in range(2):  # the second time its mark comes ahead of the UPDATE
            await wire.db.run(own.user_id, tasks.complete, own.task_id)
        wire.proxy.plan(Fault(Action.DROP_BEFORE, is_commit))
        await wire.db.run(own.user_id, insert_a_note_as_text, "a")
        assert wire.proxy.struck
        written = "SELECT count(*) FROM public.notes WHERE user_id = $1"
        assert await wire.admin.fetchval(written, own.user_id) == 1
