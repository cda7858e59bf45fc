"""A program that works through a pooler and looks at every row that it gets: see test_pgbouncer.

``python -m tests.faults.bouncer_client SEED WORKERS ROUNDS`` finds the pooled database in
FACEPLATE_DATABASE_URL, and in FACEPLATE_MIGRATION_URL the same one without a pooler, from which it
learns what comes of each unit. It prints what came out otherwise, and how much it did, as JSON.
"""

import asyncio
import json
import random
import sys
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from tests.faults.plans import Plan, plans
from tests.faults.trials import PASSING
from tests.units import (
    DOCUMENT_KIND,
    LONG_AGO,
    SOURCE,
    Belongings,
    everything_of,
    nobodys,
    settle_in,
    units,
)

from faceplate import Database, Scope, Settings
from faceplate.models import Conversation, Message, Task
from faceplate.services import archives, messages

EVERYBODYS = {
    "messages.sweep_drafts",
    "mcp_configs.count_secrets",
    "retention.idle_rows",
    "retention.idle_since",
    "retention.idle_users",
}
"""What comes of these depends on what the other workers do."""
NAMES = sorted(plans(nobodys()).keys() - EVERYBODYS)


def reads(own: Belongings) -> dict[str, Plan]:
    """Each unit that reads, with arguments that make it read what ``own`` says."""
    conversation = (own.conversation_id,)
    calls: dict[str, tuple[Any, ...]] = {
        "conversations.get": conversation,
        "conversations.lock": conversation,
        "conversations.page": (),
        "conversations.search": (own.subject_id,),  # their title
        "messages.search": ("hi",),
        "messages.get": (*conversation, own.message_id),
        "messages.history": conversation,
        "messages.before": (*conversation, 3),
        "messages.after": (*conversation, 1),
        "messages.before, an id": (*conversation, own.draft_id),
        "messages.after, an id": (*conversation, own.message_id),
        "messages.page": conversation,
        "messages.everything": conversation,
        "messages.bodies": conversation,
        "messages.branches": (*conversation, 2),
        "messages.branches_at": (*conversation, [1, 2, 3]),
        "messages.pending_tool_calls": conversation,
        "tasks.get": (own.task_id,),
        "tasks.page": (),
        "mcp_configs.get": (own.config_id,),
        "mcp_configs.by_name": (own.config_name,),
        "mcp_configs.get_secrets": (own.config_id,),
        "mcp_configs.page": (),
        "documents.get": (DOCUMENT_KIND, own.document_key),
        "documents.lock": (DOCUMENT_KIND, own.document_key),
        "documents.page": (DOCUMENT_KIND,),
        "archives.holdings": (),
        "archives.tables": (),
        "users.get": (own.user_id,),
        "users.by_subject": (own.subject_id,),
        "users.by_email": (own.email,),
    }
    found = units()
    since = {"since": LONG_AGO}
    of_source = {"source": SOURCE}
    own_page = {"limit": 1, "before": UUID(int=own.user_id.int + 1)}
    return {name: Plan(found[name.partition(",")[0]], args, {}) for name, args in calls.items()} | {
        "conversations.page, of a source": Plan(found["conversations.page"], (), of_source),
        "users.page": Plan(found["users.page"], (), own_page),
        "usage.by_day": Plan(found["usage.by_day"], (), since),
        "usage.by_conversation": Plan(found["usage.by_conversation"], (), since),
        "messages.walk": Plan(_walk, conversation, {}),
        "archives.walk": Plan(_walk_all, (), {}),
    }


async def _walk(scope: Scope, conversation_id: Any) -> list[Any]:
    return [message async for message in messages.walk(scope, conversation_id)]


async def _walk_all(scope: Scope) -> list[Any]:
    return [item async for item in archives.walk(scope)]


async def _run(db: Database, own: Belongings, plan: Plan) -> Any:
    if plan.is_across_users:
        return await db.run_system(plan.unit, *plan.args, **plan.kwargs)
    return await db.run(own.user_id, plan.unit, *plan.args, **plan.kwargs)


async def _use_a_session(db: Database, own: Belongings) -> list[Any]:
    """Plain SQLAlchemy, in two transactions."""
    mine = Task.user_id == own.user_id
    async with db.sessions() as session:
        task = (await session.scalars(select(Task).where(mine))).one()
        task.description = f"of {own.subject_id}"
        await session.commit()
        await session.execute(update(Task).where(mine).values(completed=True))
        await session.commit()
        texts = select(Message.content, Conversation.title).join(Message.conversation)
        found = await session.execute(texts.where(Message.user_id == own.user_id))
        return [task.title, task.description, *sorted(map(tuple, found))]


def _likeness(own: Belongings, found: Any) -> str:
    """``found`` as it reads for every user."""
    text = json.dumps(found, default=str, sort_keys=True)
    for field, value in own._asdict().items():
        text = text.replace(str(value), f"<{field}>")
    for pattern, word in PASSING:
        text = pattern.sub(word, text)
    return text


async def portray(db: Database, name: str) -> str:
    """What a new user gets to see of a plan, and before and after it."""
    own = await settle_in(db)
    found = [await _run(db, own, plan) for plan in reads(own).values()]
    found.append(await _use_a_session(db, own))
    found.append(await _run(db, own, plans(own)[name]))
    stored = await everything_of(db, own.user_id)
    # Not by their ids, which follow from the user's where a conversation has a name elsewhere.
    found.append(
        {table: sorted(_likeness(own, row) for row in rows) for table, rows in stored.items()}
    )
    return _likeness(own, found)


async def work(db: Database, known: dict[str, str], names: list[str]) -> list[str]:
    wrong = []
    for name in names:
        try:
            seen = await portray(db, name)
        except Exception as error:  # noqa: BLE001 - it is counted and shown
            seen = repr(error)
        if seen != known[name]:
            wrong.append(f"{name}: {seen}")
    return wrong


async def main(seed: int, workers: int, rounds: int) -> None:
    dice = random.Random(seed)
    plan = [dice.choices(NAMES, k=rounds) for _ in range(workers)]
    settings = Settings()
    assert settings.migration_url is not None
    direct = settings.model_copy(
        update={"database_url": settings.migration_url, "pgbouncer": False}
    )
    async with Database(direct) as straight:
        known = {name: await portray(straight, name) for name in {*chain(*plan)}}
    async with Database(settings) as db:
        print("ready", flush=True)  # noqa: T201 - both begin when the other has got so far
        await asyncio.to_thread(sys.stdin.readline)
        wrong = await asyncio.gather(*(work(db, known, names) for names in plan))
    report = {"done": workers * rounds, "wrong": list(chain(*wrong))}
    print(json.dumps(report))  # noqa: T201 - for the test


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
