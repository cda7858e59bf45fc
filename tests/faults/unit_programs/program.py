"""A program of units as data: what one unit does, what is done with its scope later, what strikes.

::

    Program("run", (Step("attempt", body=(Step("text", "select 1/0"),)), Step("append")))

`script` renders a program as the Python that a user would have written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Entry = Literal["run", "begin", "run_system"]
Mark = Literal["", "replayable", "one_statement"]
Cut = Literal["", "cancel", "timeout"]
Level = Literal["read committed", "repeatable read", "serializable"]


@dataclass(frozen=True)
class Step:
    """``verb`` names what is done; ``detail`` is its SQL, table, gate or user."""

    verb: str
    detail: str = ""
    number: float = 0
    """Seconds, or a count."""
    body: tuple["Step", ...] = ()


@dataclass(frozen=True)
class Program:
    """One unit, for the first of two users. The second user's next unit is served afterwards."""

    entry: Entry
    body: tuple[Step, ...]
    mark: Mark = ""
    isolation: Level = "read committed"
    fails: bool = False
    """Whether the unit raises an error of its own at the end."""
    cut: Cut = ""
    """What ends the call from outside, ``cut_after_s`` after its start."""
    cut_after_s: float = field(default=0.0)
    beside: bool = False
    """Whether a unit of the other user runs at the same time."""


CODE = {
    "append": 'await messages.append(scope, chat, role="user", content=TOKEN)',
    "append_twice": "await messages.append_many(scope, chat, [TOKEN, TOKEN])",
    "create_task": "await tasks.create(scope, title=TOKEN)",
    "create_chat": "await conversations.create(scope, title=TOKEN)",
    "complete_task": "await tasks.complete(scope, task)",
    "rename": "await conversations.rename(scope, chat, TOKEN)",
    "get_chat": "await conversations.get(scope, chat)",
    "history": "await messages.history(scope, chat)",
    "page_chats": "await conversations.page(scope)",
    "page_tasks": "await tasks.page(scope)",
    "who": "await scope.all(CURRENT_USER)",
    "read": "await scope.all(Statement(str, select({detail})))",
    "read_locked": "await scope.all(Statement(str, select(Task.title).with_for_update()))",
    "insert": "await scope.execute(Statement(int, insert(Task)), title=TOKEN, ...)",
    "insert_many": "await scope.execute_many(Statement(int, insert(Task)), [TOKEN, TOKEN])",
    "update": "await scope.execute(Statement(int, update(Task)), description=TOKEN)",
    "delete": "await scope.execute(Statement(int, delete(McpConfig)))",
    "text": "await scope.all(Statement(str, text({detail!r})))",
    "text_many": "await scope.execute_many(Statement(int, text({detail!r})), [{{}}])",
    "text_stream": "[row async for row in scope.stream(Statement(str, text({detail!r})))]",
    "text_update": 'await scope.execute(text("update faceplate.tasks set description = TOKEN"))',
    "text_delete": 'await scope.execute(text("delete from faceplate.mcp_configs"))',
    "bad_value": 'await scope.all(BY_POSITION, position="not a number")',
    "bad_input": 'await messages.append(scope, chat, role="user", content="\\0")',
    "missing_chat": 'await messages.append(scope, uuid4(), role="user", content=TOKEN)',
    "stream": "[row async for row in scope.stream(CONTENTS)]",
    "stream_first": "await anext(scope.stream(CONTENTS))  # and goes on",
    "open": "await scope.open()",
    "new_id": "scope.new_id()",
    "session_text": "await scope.session.execute(text({detail!r}))",
    "session_read": "(await scope.session.scalars(select({detail}))).all()",
    "session_get": "await scope.session.get(Task, (user, task))",
    "session_stream": "[r async for r in await scope.session.stream_scalars(select({detail}))]",
    "session_add": "scope.session.add(Task(title=TOKEN))",
    "session_flush": "scope.session.add(Task(title=TOKEN)); await scope.session.flush()",
    "session_insert_many": (
        "await scope.session.execute(insert(Task), [{'title': TOKEN}, {'title': TOKEN}])"
    ),
    "session_append": (
        "chat = await scope.session.get_one(Conversation, key, with_for_update=True);"
        " chat.message_count += 1; scope.session.add(Message(content=TOKEN));"
        " await scope.session.flush()"
    ),
    "session_update": "await scope.session.execute(update(Task).values(description=TOKEN))",
    "raw": "await (await raw_connection(scope)).driver_connection.execute({detail!r})",
    "session_commit": "await scope.session.commit()",
    "session_rollback": "await scope.session.rollback()",
    "keep_stream": "stream = scope.stream(CONTENTS)  # {number:.0f} rows read, rest {detail}",
    "keep_session": "session = scope.session  # used {detail}",
    "pause": "await asyncio.sleep({number:.4f})",
    "kill": "# the server ends the connection (pg_terminate_backend)",
    "block": "# another connection: LOCK TABLE faceplate.{detail} IN ACCESS EXCLUSIVE MODE",
    "fatal": "# a pooler says FATAL, {detail} (round trip {number:.0f} from here)",
    "attempt": "try:",
    "gather": "await asyncio.gather(  # {detail}",
    "timeout": "async with asyncio.timeout({number:.4f}):  # handled here",
    "savepoint": "async with scope.session.begin_nested():",
    "spawn": "async def task():  # started here, goes on {detail}",
    "outer": "# by the scope of the unit around this one:",
    "nested_run": "await db.run({detail}, unit):  # with a scope of its own",
    "nested_begin": "async with db.begin({detail}) as scope:",
}


def script(program: Program) -> str:
    """Return the program as readable Python."""
    is_marked = program.isolation != "read committed"
    if program.entry == "begin":
        level = f', isolation="{program.isolation}"' if is_marked else ""
        head = [f"async with db.begin(user{level}) as scope:"]
    else:
        mark = f"@{program.mark}\n" if program.mark else ""
        mark += f'@isolation_level("{program.isolation}")\n' if is_marked else ""
        head = [f"{mark}async def unit(scope):"]
    lines = [*head, *_lines(program.body, "    ")]
    if program.fails:
        lines.append("    raise ProgramError")
    if not program.body and not program.fails:
        lines.append("    pass")
    call = {
        "run": "await db.run(user, unit)",
        "run_system": "await db.run_system(unit)",
        "begin": "# the block",
    }[program.entry]
    match program.cut:
        case "timeout":
            call = f"async with asyncio.timeout({program.cut_after_s:.4f}): {call}"
        case "cancel":
            call += f"  # its task is cancelled after {program.cut_after_s:.4f} s"
    if program.beside:
        call += "  # beside a unit of other_user"
    return "\n".join([*lines, call])


def _lines(steps: tuple[Step, ...], indent: str) -> Iterator[str]:
    for step in steps:
        yield indent + CODE[step.verb].format(detail=step.detail, number=step.number)
        if step.body:
            yield from _lines(step.body, indent + "    ")
            match step.verb:
                case "attempt":
                    yield f"{indent}except Exception: pass"
                case "gather":
                    yield f"{indent})"


def verbs(program: Program) -> set[str]:
    """Return the verb of every step, however deep it is."""
    found: set[str] = set()
    steps = list(program.body)
    while steps:
        step = steps.pop()
        found.add(step.verb)
        steps += step.body
    return found
