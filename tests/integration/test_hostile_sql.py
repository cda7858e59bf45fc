"""The challenge: a unit runs any SQL as Ada; it reaches no row of Bob's, and leaves no trace.

Each attack of `tests.hostile_sql` is run as two units: through the session of one that returns, and
through statements of one that raises. Both catch every error, and end with an attempt to read and
change everything. Then Bob is served on the same connection.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import text
from tests.databases import Operator, login_of_units, outside, settings_of
from tests.hostile_sql import ATTACKS, HARVEST, OWNER, USER_ID, Attack
from tests.units import Belongings, everything_of, settle_in

from faceplate import Database, Message, Scope, Statement, TimedOut, encryption, migrate
from faceplate.errors import FaceplateError
from faceplate.services import conversations, messages

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE_LOGIN, TWO_LOGINS, SEALED = "one login", "two logins", "two logins and a sealed id"
REACHED: dict[str, set[str]] = {ONE_LOGIN: {USER_ID, OWNER}, TWO_LOGINS: {USER_ID}, SEALED: set()}
"""By what an attack reaches Bob in each arrangement, as docs/security.md says."""

STATE = """
SELECT ((SELECT jsonb_object_agg(name, setting) FROM pg_settings
        WHERE name NOT IN ('in_hot_standby', 'transaction_isolation')
            AND name NOT LIKE 'plpgsql.%')
    || jsonb_build_object(
        'user', current_setting('faceplate.user_id', true),
        'role', current_user, 'login', session_user,
        'prepared', (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
        'cursors', (SELECT count(*) FROM pg_cursors WHERE is_holdable),
        'listens', (SELECT count(*) FROM pg_listening_channels()),
        'locks', (SELECT count(*) FROM pg_locks
            WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
        'temporary', (SELECT count(*) FROM pg_class WHERE relpersistence = 't'
            AND relnamespace = pg_my_temp_schema())))::text
"""


class House(NamedTuple):
    arrangement: str
    db: Database
    owner: Operator
    names: dict[str, str]
    """What stands for the logins in an attack."""


class Stopped(Exception):  # noqa: N818 - it is no error but the end of an attack
    """Ends a unit of Ada's by rolling it back."""


class Row(tuple[Any, ...]):
    """What a statement becomes whose columns nobody knows."""

    __slots__ = ()
    _make = tuple


NO_SEAL = pytest.mark.not_on_citus("the workers have neither the seal's function nor its key")


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[pytest.param(name, marks=[NO_SEAL] * (name == SEALED)) for name in REACHED],
)
async def house(
    request: pytest.FixtureRequest, server_url: str, module_database_url: str
) -> AsyncIterator[House]:
    """One connection for units, in each arrangement of logins."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        owner_url, url = None, module_database_url
        if request.param != ONE_LOGIN:
            owner_url = module_database_url
            url = await enter(login_of_units(server_url, module_database_url, "a role of its own"))
        settings = settings_of(
            url,
            owner_url=owner_url,
            pool_size=1,
            max_overflow=0,
            encryption_keys=encryption.generate_key(),
            seal_key=encryption.generate_key() if request.param == SEALED else None,
        )
        await migrate.upgrade(settings)
        stack.push_async_callback(migrate.unseal_user_ids, settings)
        owner = await enter(outside(settings.of_owner))
        names = {"owner": str(settings.of_owner.login), "login": str(settings.login)}
        yield House(request.param, await enter(Database(settings)), owner, names)


Execute = Callable[[str], Awaitable[Any]]


def through_session(scope: Scope) -> Execute:
    async def execute(sql: str) -> Any:
        result: Any = await scope.session.execute(text(sql.replace(":", r"\:")))
        return result.all() if result.returns_rows else result.rowcount

    return execute


def through_statements(scope: Scope) -> Execute:
    async def execute(sql: str) -> Any:
        return await scope.all(Statement(Row, text(sql.replace(":", r"\:"))))

    return execute


async def attempt(execute: Execute, sql: str) -> str:
    """Run ``sql`` and return all that is learned from it, as hostile SQL does: on and on."""
    try:
        await execute("SAVEPOINT attempt")
        learned = repr(await execute(sql))
        await execute("RELEASE attempt")
    except FaceplateError as error:
        try:
            await execute("ROLLBACK TO attempt")
        except FaceplateError as refused:
            return f"{error} {refused}"
        return str(error)
    return learned


async def attack_by(
    house: House, ada: UUID, sql: Iterable[str], through: Callable[[Scope], Execute], *, stops: bool
) -> str:
    """Run the unit of an attack, once, and return everything that came out of it."""
    learned: list[str] = []

    async def unit(scope: Scope) -> None:
        execute = through(scope)
        learned.extend([await attempt(execute, statement) for statement in sql])
        if stops:
            raise Stopped

    try:
        await house.db.run(ada, unit)
    except (FaceplateError, Stopped) as error:
        learned.append(repr(error))
    return "\n".join(learned)


async def state_of(house: House, user_id: UUID) -> dict[str, Any]:
    """How the connection of units stands, seen by the next unit on it."""
    state: dict[str, Any] = json.loads(
        await house.db.run(user_id, lambda scope: scope.one(Statement(str, text(STATE))))
    )
    return state


async def is_reached(house: House, attack: Attack, ada: Belongings, bob: Belongings) -> bool:
    """Run an attack in both ways; return whether it saw or changed what is Bob's."""
    before, names = await everything_of(house.db, bob.user_id), house.names
    names = names | {"ada": str(ada.user_id), "bob": str(bob.user_id)}
    sql = [statement.format(**names) for statement in (*attack.statements, *HARVEST)]
    learned = await attack_by(house, ada.user_id, sql, through_session, stops=False)
    learned += await attack_by(house, ada.user_id, sql, through_statements, stops=True)
    changed = before != await everything_of(house.db, bob.user_id)
    return changed or bob.subject_id in learned


UNLIKE_ON_CITUS = {
    "EXPLAIN ANALYZE EXECUTE faceplate_enter('{bob}')": "no worker is told of that user",
    "COPY faceplate.messages FROM STDIN": "it waits for rows before it is refused",
}


def _marked(attack: Attack) -> Any:
    reason = UNLIKE_ON_CITUS.get(attack.statements[0])
    marks = [] if reason is None else [pytest.mark.not_on_citus(reason)]
    return pytest.param(attack, id="; ".join(attack.statements)[:90], marks=marks)


@pytest.mark.parametrize("attack", [_marked(attack) for attack in ATTACKS])
async def test_hostile_sql_reaches_what_the_page_says_and_leaves_no_trace(
    house: House, attack: Attack
) -> None:
    """Else an injection that security.md calls harmless reads or changes another user's chats."""
    bob, ada = await settle_in(house.db), await settle_in(house.db)
    state = await state_of(house, bob.user_id)
    said = await house.db.run(bob.user_id, messages.history, bob.conversation_id)
    reached = await is_reached(house, attack, ada, bob)
    assert reached is (attack.by in REACHED[house.arrangement])

    # Bob's next units, on the same connection: a read by itself, a write, and a look around.
    found = await house.db.run(bob.user_id, messages.history, bob.conversation_id)
    assert reached or found == said
    added = await house.db.run(
        bob.user_id, messages.append, bob.conversation_id, role="user", content="on we go"
    )
    assert added.position == len(said) + 1
    assert await state_of(house, bob.user_id) == state
    theirs = await house.db.run(ada.user_id, conversations.page)
    assert {conversation.id for conversation in theirs.items} <= {ada.conversation_id}


async def test_a_lock_of_hostile_sql_is_waited_for_no_longer_than_lock_timeout(
    house: House,
) -> None:
    """Else one user's unit stops every other user's for as long as it likes."""
    bob, ada = await settle_in(house.db), await settle_in(house.db)
    hasty = house.db.settings.model_copy(update={"lock_timeout_s": 0.1})
    lock = text("LOCK TABLE faceplate.messages IN ACCESS EXCLUSIVE MODE")
    async with Database(hasty) as others:

        async def say(content: str) -> Message:
            return await others.run(
                bob.user_id, messages.append, bob.conversation_id, role="user", content=content
            )

        async with house.db.begin(ada.user_id) as scope:
            await scope.session.execute(text("SET LOCAL lock_timeout = 0"))
            await scope.session.execute(lock)
            with pytest.raises(TimedOut, match="lock_timeout_s"):
                await say("in vain")
        assert (await say("at last")).content == "at last"


OTHERS = "SELECT a::text FROM pg_stat_activity a WHERE pid <> pg_backend_pid()"


@pytest.mark.parametrize("before", ["SELECT 1", "SET ROLE NONE"])
async def test_hostile_sql_sees_no_values_of_what_others_are_doing(
    house: House, before: str
) -> None:
    """Else pg_stat_activity shows Ada what Bob is writing, as it does to everybody of one login."""
    bob, ada = await settle_in(house.db), await settle_in(house.db)
    async with Database(house.db.settings) as others, others.begin(bob.user_id) as scope:
        await messages.append(
            scope, bob.conversation_id, role="user", content=f"of {bob.subject_id}"
        )
        for through in (through_session, through_statements):
            learned = await attack_by(house, ada.user_id, [before, OTHERS], through, stops=False)
            assert bob.subject_id not in learned


END = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE query LIKE '%{}%' AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize(("before", "ends"), [("SELECT 1", False), ("SET ROLE NONE", True)])
async def test_hostile_sql_ends_other_connections_of_its_login_alone(
    house: House, before: str, *, ends: bool
) -> None:
    """Else security.md promises too much: the login may end its own, and no role of units may.

    Bob's unit is then run again, as after any lost connection.
    """
    bob, ada = await settle_in(house.db), await settle_in(house.db)
    tries = 0

    async def unit(scope: Scope) -> int:
        nonlocal tries
        tries += 1
        await scope.session.execute(text(f"SELECT 'of {bob.task_id}'"))
        if tries == 1:
            end = END.format(bob.task_id)
            await attack_by(house, ada.user_id, [before, end], through_session, stops=False)
        return len(await messages.history(scope, bob.conversation_id))

    async with Database(house.db.settings.model_copy(update={"retry_delay_s": 0.0})) as others:
        assert await others.run(bob.user_id, unit)
    assert tries == (2 if ends else 1)


DEFAULTS = """
SELECT array_to_string(setconfig, ',') FROM pg_db_role_setting WHERE setrole = $1::text::regrole
"""


@pytest.mark.not_on_citus("the role of units has a default there, its lock_timeout")
async def test_hostile_sql_spoils_the_defaults_of_its_own_login_alone(house: House) -> None:
    """Else security.md promises too much: PostgreSQL lets every login change its own.

    It takes stepping out of the role of units, and meets new connections only.
    """
    ada, login = await settle_in(house.db), house.names["login"]
    slow = "ALTER ROLE CURRENT_USER SET work_mem = '64kB'"
    for before, role in {"SELECT 1": "faceplate_app", "SET ROLE NONE": login}.items():
        undo = "ALTER ROLE CURRENT_USER RESET work_mem"
        await attack_by(house, ada.user_id, [before, slow], through_session, stops=False)
        assert await house.owner.fetchval(DEFAULTS, role) == "work_mem=64kB"
        await attack_by(house, ada.user_id, [before, undo], through_session, stops=False)
        assert await house.owner.fetchval(DEFAULTS, role) is None
