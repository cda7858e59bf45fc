"""Made-up data for development: the same for the same seed, and doubled by no second run.

Everything about a conversation follows from the seed, the number of its user and its own number,
so that more of each can be asked for later. Only what the units decide differs between databases:
the ids of users and of MCP configurations, and the times.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from random import Random
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from faceplate.database import Database
from faceplate.errors import NotFound
from faceplate.scope import Scope, replayable
from faceplate.services import conversations, mcp_configs, messages, tasks, users
from faceplate.services.messages import NewMessage

SEEDS = UUID("0b6f7c1e-5a0d-5a52-9a2f-6d6f1c2f8f11")
"""The namespace of the ids."""

AT_ONCE = 4
"""Users that are worked on at the same time."""

THINGS = (
    *("the invoice export", "the sign-up form", "the nightly backup", "the search index"),
    *("the mobile app", "the payment webhook", "the orders page", "the newsletter"),
    *("the staging server", "the customer report", "the image upload", "the password reset"),
    *("the audit log", "the price list", "the calendar sync", "the onboarding guide"),
)
TITLES = (
    *("Why is {} slow?", "Plan for {}", "Tests for {}", "Moving {}", "Questions about {}"),
    *("Documenting {}", "A better name for {}", "What broke {}", "Costs of {}"),
)
QUESTIONS = (
    "How would you start with {thing}?",
    "Since {day}, {thing} takes {number} seconds. Where should I look first?",
    "Can you write a short note to the team about {thing}?",
    "What could go wrong if we change {thing} on {day}?",
    "We have {number} open reports about {thing}. How do I sort them?",
    "Is there a simpler way to do {thing}? It grew over {number} months, and nobody likes it.",
    "Summarise the last answer in two sentences, please.",
    "That did not help: {thing} still fails, about {number} times a day.",
    "Grüße aus Zürich 🙂 Was heißt das für {thing} am {day}?",
)
SENTENCES = (
    "Start with what changed: most faults in {thing} are younger than {number} days.",
    "Measure before you change anything, and keep the numbers beside the code.",
    "I would split it in two: what has to be done by {day}, and what can wait.",
    "The part that is hard to undo comes last.",
    "If {number} people depend on {thing}, tell them first.",
    "Write one test that fails today; it will tell you when you are done.",
    "An index would help only if fewer than {number} rows in a hundred match.",
    "Roll it out to a few users on {day} and watch the error rate.",
    "Ask whoever wrote {thing}; the reason is often not in the code.",
)
LISTS = (
    "\n\n1. Reproduce it.\n2. Read the log around the first failure.\n3. Change one thing.",
    "\n\n- **Today**: stop the damage\n- **By {day}**: find the cause\n- **Later**: a test for it",
    "\n\n```sql\nSELECT count(*) FROM orders WHERE created_at > now() - interval '{number} days';\n```",
    "\n\n| step | who | until |\n|---|---|---|\n| draft | you | {day} |\n| review | the team | later |",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
TOOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "search_documents": (
        {"query": "{thing}", "limit": 3},
        {"found": ["Notes on {thing}", "Report of {day}", "Checklist"]},
    ),
    "run_query": (
        {"sql": "SELECT count(*) FROM events WHERE day = '{day}'"},
        {"rows": [["{number}"]], "took_ms": "{number}"},
    ),
    "read_file": (
        {"path": "notes/{day}.md"},
        {"text": "{thing}: {number} open points, the first is due on {day}."},
    ),
}
TASKS = (
    *("Write a test for {thing}", "Ask about {thing} on {day}", "Clean up {thing}"),
    *("Tell {number} customers about {thing}", "Review the plan for {thing}", "Archive {thing}"),
)
MCP_CONFIGS = {
    "filesystem": {
        "transport": "stdio",
        "command": "npx",
        "args": ["-y", "@modelcontextprotocol/server-filesystem", "."],
    },
    "documents": {"transport": "streamable_http", "url": "https://mcp.example.com/documents"},
    "old-search": {"transport": "sse", "url": "https://mcp.example.com/search/sse"},
}
DISABLED = {"old-search"}


class Seeded(NamedTuple):
    """What became of a seed: users it is for; conversations and messages made; found there."""

    users: int
    conversations: int
    messages: int
    skipped: int


class _Chat(NamedTuple):
    id: UUID
    title: str
    messages: list[NewMessage]


async def seed(
    db: Database,
    *,
    user_count: int,
    conversations_each: int,
    messages_each: int,
    seed: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> Seeded:
    """Make users, each with conversations of so many messages, tasks and MCP configurations.

    What is there from an earlier run, even changed or continued since, is left as it is.
    ``on_progress`` is told how many conversations are done.

    Raises Conflict where somebody else has the e-mail address of one of the users, and whatever
    `Database.run` raises; what was made until then stays, and seeding again goes on from there.
    """
    slots = asyncio.Semaphore(AT_ONCE)
    made = skipped = 0

    async def fill(number: int) -> None:
        nonlocal made, skipped
        async with slots:
            user = await db.run_system(
                users.ensure, f"seed-{seed}-user-{number}", email=email_of(seed, number)
            )
            await db.run(user.id, _equip, seed, number)
            for chat_number in range(1, conversations_each + 1):
                chat = _chat(seed, number, chat_number, messages_each)
                if await db.run(user.id, _store, chat):
                    made += 1
                else:
                    skipped += 1
                if on_progress:
                    on_progress(made + skipped)

    async with asyncio.TaskGroup() as group:
        for number in range(1, user_count + 1):
            group.create_task(fill(number))
    return Seeded(user_count, made, made * messages_each, skipped)


def email_of(seed: int, number: int) -> str:
    """The address of a seed's user; they are numbered from 1."""
    return f"user{number}@seed{seed}.example.com"


@replayable
async def _store(scope: Scope, chat: _Chat) -> bool:
    """Store a conversation with its messages; False if it was there already."""
    try:
        await conversations.get(scope, chat.id)
    except NotFound:
        pass
    else:
        return False
    await conversations.create(scope, id=chat.id, title=chat.title, metadata={"made_up": True})
    for start in range(0, len(chat.messages), messages.MAX_BATCH):
        batch = chat.messages[start : start + messages.MAX_BATCH]
        await messages.append_many(scope, chat.id, batch)
    return True


async def _equip(scope: Scope, seed: int, number: int) -> None:
    """Give a user tasks and MCP configurations, unless they are there already."""
    random = _random(seed, number)
    for index, pattern in enumerate(TASKS, start=1):
        title = _fill(random, pattern)
        task_id = uuid5(SEEDS, f"{seed}/{number}/task/{index}")
        try:
            await tasks.get(scope, task_id)
        except NotFound:
            await tasks.create(scope, id=task_id, title=title)
            if index % 3 == 0:
                await tasks.complete(scope, task_id)
    for name, config in MCP_CONFIGS.items():
        try:
            await mcp_configs.by_name(scope, name)
        except NotFound:
            await mcp_configs.put(scope, name, config, enabled=name not in DISABLED)


def _chat(seed: int, user_number: int, number: int, length: int) -> _Chat:
    random = _random(seed, user_number, number)
    chat_id = uuid5(SEEDS, f"{seed}/{user_number}/{number}")
    thing = random.choice(THINGS)
    title = random.choice(TITLES).format(thing)
    numbered = enumerate(islice(_turns(random, thing, length), length))
    return _Chat(
        chat_id, title, [message._replace(id=uuid5(chat_id, str(i))) for i, message in numbered]
    )
