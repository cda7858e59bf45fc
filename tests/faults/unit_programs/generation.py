"""Random programs: what a careless, unlucky or hasty author may write in a unit."""

import random
from collections.abc import Callable

from tests.faults.unit_programs.program import Cut, Entry, Level, Mark, Program, Step

MODELS = ("Message.content", "Task.title", "Conversation.title")
READS = (
    "select content from faceplate.messages",
    "select title from faceplate.tasks where true",
    "select title from faceplate.conversations for update",
    "select to_jsonb(u)::text from faceplate.users u",
    "with t as (select * from faceplate.mcp_configs) select name from t",
)
BROKEN = (
    "select * from an_optional_table",
    "select nope from faceplate.messages",
    "selec 1",
    "select (1/0)::text",
    "select 'x'::int::text",
    "select version_num from faceplate.alembic_version",
)
CONTROL = (
    "COMMIT",
    "commit;",
    "/* done */ COMMIT",
    "-- done\nEND",
    "ROLLBACK",
    "ABORT WORK",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "BEGIN",
    "START TRANSACTION",
    "PREPARE TRANSACTION 'program'",
    "ROLLBACK TO SAVEPOINT nowhere",
    "DO $$ BEGIN COMMIT; END $$",
)
STATE = (
    "SET search_path = pg_temp, public",
    "SET statement_timeout = 1234",
    "SET lock_timeout = 1234",
    "SET timezone = 'Asia/Tokyo'",
    "SET default_transaction_read_only = on",
    "SET default_transaction_isolation = 'serializable'",
    "SET row_security = off",
    "SET ROLE faceplate_app",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET faceplate.user_id = '{user}'",
    "select set_config('faceplate.user_id', '{user}', false)",
    "select set_config('program.word', 'left', false)",
    "LISTEN program",
    "select pg_advisory_lock({lock})::text",
    "select pg_advisory_lock_shared({lock})::text",
    "CREATE TEMP TABLE program_rows AS SELECT content FROM faceplate.messages",
    "CREATE TEMP VIEW program_view AS SELECT content FROM faceplate.messages",
    "DECLARE program_held CURSOR WITH HOLD FOR SELECT content FROM faceplate.messages",
    "PREPARE program_mine AS SELECT content FROM faceplate.messages",
    "DEALLOCATE ALL",
    "DISCARD PLANS",
    "DISCARD ALL",
    "RESET ALL",
    "select lo_open(lo_create(0), 131072)::text",
)
TABLES = ("tasks", "messages", "conversations")
GATES = ("at once", "as the unit ends", "after the unit", "during the other user's unit")
FATAL = ("XX000", "XX000", "58000", "57P05", "57P01", "08P01", "EOF")
REFUSALS = ("XX000", "58000", "53300", "53400", "EOF")
AT_CONNECT = "at the next connect"
PAUSES_S = (0.0, 0.0005, 0.002, 0.01)
INSERTS = ("append", "append_twice", "create_task", "create_chat", "insert", "insert_many")
PLAIN_READS = ("get_chat", "history", "page_chats", "page_tasks", "stream", "who", "session_get")

LEVELS: tuple[Level, ...] = ("read committed", "repeatable read", "serializable")

Make = Callable[[random.Random, int], Step]


def _leaf(*names: str) -> Make:
    return lambda dice, _: Step(dice.choice(names))


def _detailed(verb: str, details: tuple[str, ...]) -> Make:
    return lambda dice, _: Step(verb, dice.choice(details))


def _sql(details: tuple[str, ...]) -> Make:
    ways: tuple[str, ...] = ("text",) * 5 + ("session_text",) * 3 + ("text_stream", "text_many")
    if details is not CONTROL:  # what the driver is told by itself, it does
        ways += ("raw",)
    return lambda dice, _: Step(dice.choice(ways), dice.choice(details))


def _body(dice: random.Random, depth: int, most: int = 3) -> tuple[Step, ...]:
    return tuple(_step(dice, depth - 1) for _ in range(dice.randint(1, most)))


def _attempt(dice: random.Random, depth: int) -> Step:
    if dice.random() < 0.5:
        return Step("attempt", body=(_sql(BROKEN)(dice, depth),))
    return Step("attempt", body=_body(dice, depth))


def _gather(dice: random.Random, depth: int) -> Step:
    body = tuple(_step(dice, min(depth - 1, 1)) for _ in range(dice.randint(2, 4)))
    return Step("gather", dice.choice(("return_exceptions", "raises")), body=body)


def _timeout(dice: random.Random, depth: int) -> Step:
    return Step("timeout", number=dice.choice(PAUSES_S) + 0.0002, body=_body(dice, depth))


def _savepoint(dice: random.Random, depth: int) -> Step:
    return Step("attempt", body=(Step("savepoint", body=_body(dice, depth)),))


def _spawn(dice: random.Random, depth: int) -> Step:
    return Step("spawn", dice.choice(GATES), body=_body(dice, min(depth, 1)))


def _keep(dice: random.Random, _: int) -> Step:
    gate = dice.choice(GATES[1:])
    if dice.random() < 0.5:
        return Step("keep_session", gate)
    return Step("keep_stream", gate, number=dice.randint(0, 1))


def _nested(dice: random.Random, depth: int) -> Step:
    verb = dice.choice(("nested_run", "nested_begin"))
    names = INSERTS + PLAIN_READS
    body = tuple(_leaf(*names)(dice, 0) for _ in range(dice.randint(1, 3)))
    person = "other_user"
    if dice.random() < 0.5:
        person, body = "user", _body(dice, min(depth, 1))
    if dice.random() < 0.3:
        body = (Step("outer", body=_body(dice, 0, 2)), *body)
    return Step(verb, person, body=body)


def _fatal(dice: random.Random, _: int) -> Step:
    if dice.random() < 0.2:
        return Step("fatal", f"{dice.choice(REFUSALS)} {AT_CONNECT}", 1)
    moment = dice.choice(("which was run", "which was not run"))
    return Step("fatal", f"{dice.choice(FATAL)} {moment}", dice.randint(1, 4))


def _pause(dice: random.Random, _: int) -> Step:
    return Step("pause", number=dice.choice(PAUSES_S))


LEAVES: list[tuple[int, Make]] = [
    (10, _leaf(*INSERTS)),
    (6, _leaf(*PLAIN_READS)),
    (4, _detailed("read", MODELS)),
    (2, _leaf("complete_task", "rename", "update", "delete", "text_update", "text_delete")),
    (6, _detailed("text", READS)),
    (2, _detailed("session_text", READS)),
    (2, _detailed("text_stream", READS)),
    (3, _detailed("session_read", MODELS)),
    (2, _detailed("session_stream", MODELS)),
    (4, _leaf("session_add", "session_flush", "session_append", "session_update")),
    (1, _leaf("session_insert_many")),
    (3, _leaf("stream_first", "open", "new_id", "read_locked")),
    (1, _leaf("session_commit", "session_rollback")),
    (2, _pause),
]
ROUGH: list[tuple[int, Make]] = [
    (3, _sql(BROKEN)),
    (2, _leaf("bad_value", "bad_input", "missing_chat")),
    (3, _sql(CONTROL)),
    (5, _sql(STATE)),
    (1, lambda _, __: Step("kill")),
    (1, _detailed("block", TABLES)),
    (1, _fatal),
]
COMPOUNDS: list[tuple[int, Make]] = [
    (7, _attempt),
    (4, _gather),
    (3, _timeout),
    (2, _savepoint),
    (5, _spawn),
    (3, _keep),
    (2, _nested),
]


def _step(dice: random.Random, depth: int) -> Step:
    choices = [*LEAVES, *ROUGH] if depth <= 0 else [*LEAVES, *ROUGH, *COMPOUNDS]
    weights = [weight for weight, _ in choices]
    make = dice.choices([make for _, make in choices], weights)[0]
    return make(dice, depth)


def _replayable(dice: random.Random) -> tuple[Mark, tuple[Step, ...]]:
    """A unit that keeps to what its mark promises."""
    first = Step(dice.choice(PLAIN_READS[:4]))
    write = Step(dice.choice(("append", "create_task", "create_chat")))
    if dice.random() < 0.3:
        write = Step("timeout", number=dice.choice(PAUSES_S) + 0.0002, body=(write,))
    body: tuple[Step, ...] = (first, write) if dice.random() < 0.3 else (write,)
    if dice.random() < 0.4:
        body = (_fatal(dice, 0) if dice.random() < 0.7 else Step("kill"), *body)
    return dice.choice(("replayable", "one_statement")), body


def _system_step(dice: random.Random) -> Step:
    """A step that does without a user."""
    reads = [_detailed("text", READS), _detailed("session_text", READS)]
    makes = [*reads, _sql(STATE), _sql(BROKEN), _sql(CONTROL)]
    step = dice.choice(makes)(dice, 0)
    if dice.random() < 0.3:
        return Step("spawn", dice.choice(GATES), body=(step,))
    return step


def generate(seed: str) -> Program:
    """Return the program of this seed."""
    dice = random.Random(seed)
    cut: Cut = dice.choices(("", "cancel", "timeout"), (6, 1, 1))[0]
    cut_after_s = dice.uniform(0, 0.012) if cut else 0.0
    beside = dice.random() < 0.15
    if dice.random() < 0.15:
        mark, body = _replayable(dice)
        return Program("run", body, mark=mark, cut=cut, cut_after_s=cut_after_s, beside=beside)
    entry: Entry = dice.choices(("run", "begin", "run_system"), (12, 4, 1))[0]
    if entry == "run_system":
        body = tuple(_system_step(dice) for _ in range(dice.randint(1, 4)))
    else:
        body = tuple(_step(dice, 2) for _ in range(dice.randint(1, 6)))
    fails = dice.random() < 0.15
    level: Level = "read committed" if entry == "run_system" else dice.choices(LEVELS, (8, 1, 1))[0]
    return Program(
        *(entry, body, "", level),
        fails=fails,
        cut=cut,
        cut_after_s=cut_after_s,
        beside=beside,
    )
