"""A server or a pooler ends a connection with FATAL and a code of its own, at any message.

PostgreSQL does so with 57P01 and 57P05; poolers that lose their server do with XX000, 58000, 08P01,
53300, 53400, whether a statement or a COMMIT had reached the server or not. It must make no
difference to a connection that breaks without a word.
"""

import traceback
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from tests.campaigns import Campaign
from tests.faults.judging import PLANS, Book, learn
from tests.faults.plans import plans
from tests.faults.proxy import Action, Direction, Fault, Message, is_commit, is_committed
from tests.faults.servers import OwnServer
from tests.faults.trials import Bench, bench
from tests.units import nobodys
from uuid6 import uuid7

from faceplate import CommitOutcomeUnknown, ConnectionLost, SystemScope, TimedOut
from faceplate.models import User

STATES = ("57P01", "57P05", "XX000", "58000", "08P01", "53300", "53400")
"""They may also come in answer to a new connection, and pass by themselves."""
SEVERITIES = ("FATAL", "ERROR", "PANIC")
"""PostgreSQL ends a connection with the first or the last; poolers say any."""
ODD_STATES = ("40001", "22021")
"""They mean something else where they are no FATAL."""
TIME_LIMITS = ("25P03", "25P04")
ANSWERS = (Action.ANSWER_BEFORE, Action.ANSWER_AFTER)
AROUND_COMMIT = (
    (Action.ANSWER_BEFORE, is_commit),  # which does not take effect
    (Action.ANSWER_AFTER, is_commit),  # which does
    (Action.ANSWER_BEFORE, is_committed),
)


@pytest.fixture(params=["direct", "pgbouncer"])
async def wire(request: pytest.FixtureRequest, steady_server: OwnServer) -> AsyncIterator[Bench]:
    async with bench(steady_server, pgbouncer=request.param == "pgbouncer") as wire:
        yield wire
        await wire.check_leaks()


@pytest.fixture
async def resigned(steady_server: OwnServer) -> AsyncIterator[Bench]:
    """A bench that does not wait long for a server that is gone."""
    async with bench(steady_server, reconnect_timeout_s=0.05) as wire:
        yield wire
        await wire.check_leaks()


def answers(at: Any, campaign: Campaign) -> Fault:
    """Return a last word at a message, with a code and a severity that the dice choose.

    Some poolers leave the client's connection open after one that answers a COMMIT.
    """
    action, place = at
    stays_open = not isinstance(place, int) and campaign.dice.random() < 0.3
    state, severity = campaign.dice.choice(STATES), campaign.dice.choice(SEVERITIES)
    return Fault(action, place, state=state, stays_open=stays_open, severity=severity)


async def test_a_last_word_at_any_message_is_ridden_out(wire: Bench, campaign: Campaign) -> None:
    """Else a message is stored and its user told that it failed, because of a pooler's code."""
    book = Book()
    everywhere = [
        (name, (action, at))
        for name in PLANS
        for at, action in product(range(1, (await learn(wire, name)).messages + 1), ANSWERS)
    ]
    around_commit = list(product(PLANS, AROUND_COMMIT))
    for name, at in [
        *campaign.dice.sample(around_commit, campaign.size(30, len(around_commit))),
        *campaign.dice.sample(everywhere, campaign.size(15, len(everywhere))),
    ]:
        fault = answers(at, campaign)
        trial = await wire.try_out(name, fault)
        assert trial.struck, (name, fault)
        book.judge(name, await learn(wire, name), trial)
    book.check()


@pytest.mark.parametrize("state", STATES + ODD_STATES)
async def test_each_code_at_a_commit_is_ridden_out(
    wire: Bench, campaign: Campaign, state: str
) -> None:
    """Else one pooler's code is forgotten, and the dice show it once in a hundred runs.

    Of units that may be replayed and others, of one statement and of several.
    """
    book = Book()
    kinds = ["messages.append", "tasks.create", "tasks.edit", "own, a sum", "own, text"]
    for name, (action, place) in product(kinds, AROUND_COMMIT):
        for stays_open in campaign.dice.sample([False, True], campaign.size(1, 2)):
            said = campaign.dice.choice(SEVERITIES if state in STATES else ("FATAL", "PANIC"))
            fault = Fault(action, place, state=state, stays_open=stays_open, severity=said)
            trial = await wire.try_out(name, fault)
            assert trial.struck, (name, fault)
            book.judge(name, await learn(wire, name), trial)
    book.check()


async def test_a_last_word_while_connecting_is_ridden_out(wire: Bench, campaign: Campaign) -> None:
    """Else a pooler that is full for a second fails every unit that needs a connection."""
    book, name = Book(), "messages.append"
    known = await learn(wire, name, used_for="nothing")
    everywhere = list(product(ANSWERS, range(1, known.messages + 1)))
    for at in campaign.dice.sample(everywhere, campaign.size(15, len(everywhere))):
        trial = await wire.try_out(name, answers(at, campaign), used_for="nothing")
        book.judge(name, known, trial)
    book.check()


async def test_a_block_is_told_whether_it_took_effect(wire: Bench, campaign: Campaign) -> None:
    """Else `begin`, which cannot retry, reports a COMMIT that took effect as a failure."""
    book = Book()
    owned = [name for name, plan in plans(nobodys()).items() if not plan.is_across_users]
    everywhere = list(product(owned, AROUND_COMMIT))
    for name, at in campaign.dice.sample(everywhere, campaign.size(20, len(everywhere))):
        trial = await wire.try_out(name, answers(at, campaign), in_block=True)
        took_effect = at != AROUND_COMMIT[0]
        book.judge(name, await learn(wire, name), trial, *([] if took_effect else [ConnectionLost]))
    book.check()


async def test_two_last_words_double_nothing_and_hide_nothing(
    wire: Bench, campaign: Campaign
) -> None:
    """Else a unit whose retry fails too is reported as not written, and is written again."""
    book, dice = Book(), campaign.dice
    for _ in range(campaign.size(20, 400)):
        name = dice.choice(PLANS)
        known = await learn(wire, name)
        first = dice.choice(
            [(dice.choice(ANSWERS), dice.randint(1, known.messages)), *AROUND_COMMIT]
        )
        second = dice.choice([(dice.choice(ANSWERS), dice.randint(1, 60)), *AROUND_COMMIT])
        trial = await wire.try_out(name, answers(first, campaign), answers(second, campaign))
        book.judge(name, known, trial, ConnectionLost, CommitOutcomeUnknown)
    book.check()


async def test_a_commit_that_nobody_can_ask_about_is_unknown(
    resigned: Bench, campaign: Campaign
) -> None:
    """Else a caller is told that nothing was written, tries again, and has it twice."""
    book = Book()
    for name in campaign.dice.sample(PLANS, campaign.size(4, len(PLANS))):
        known = await learn(resigned, name)
        for at in AROUND_COMMIT:
            for_ever = [answers((Action.ANSWER_BEFORE, 1), campaign)] * 100
            trial = await resigned.try_out(name, answers(at, campaign), *for_ever)
            assert isinstance(trial.error, CommitOutcomeUnknown), (name, at, trial.error)
            book.judge(name, known, trial, CommitOutcomeUnknown)
    book.check()


SECRET = "what a user typed"


async def say_it_twice(scope: SystemScope) -> None:
    for _ in range(2):
        await scope.session.execute(sa.insert(User).values(id=uuid7(), subject_id=SECRET))


async def test_what_a_statement_was_refused_for_shows_nowhere(wire: Bench) -> None:
    """Else a user's words are in a log, where the connection breaks right after a refusal.

    The server's DETAIL quotes the key that is there already.
    """

    def is_refusal(message: Message) -> bool:
        return message.direction is Direction.TO_CLIENT and message.type == "E"

    wire.proxy.plan(*[Fault(Action.DROP_AFTER, is_refusal)] * 2)
    with pytest.raises(ConnectionLost) as told:
        await wire.db.run_system(say_it_twice)
    assert len(wire.proxy.struck) == 2
    assert any(SECRET.encode() in message.payload for message in wire.proxy.struck)
    assert SECRET not in "".join(traceback.format_exception(told.value))


async def test_a_time_limit_of_the_server_is_no_lost_connection(
    wire: Bench, campaign: Campaign
) -> None:
    """Else a unit that takes too long is run a second time, for as long again."""
    book, dice = Book(), campaign.dice

    def asks(message: Message) -> bool:
        return message.direction is Direction.TO_SERVER

    for _ in range(campaign.size(10, 100)):
        name = dice.choice(PLANS)
        fault = Fault(
            Action.ANSWER_BEFORE,
            dice.choice([asks, is_commit]),
            state=dice.choice(TIME_LIMITS),
        )
        book.judge(name, await learn(wire, name), await wire.try_out(name, fault), TimedOut)
    book.check()
