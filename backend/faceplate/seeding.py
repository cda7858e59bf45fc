"""Made-up data for development: the same for the same seed, and doubled by no second run.

Everything about a conversation follows from the seed, the number of its user and its own number,
so that more of each can be asked for later. Only what the units decide differs between databases:
the ids of users and of MCP configurations, and the times.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import NamedTuple
from uuid import UUID, uuid5

from faceplate.column_types import JsonObject
from faceplate.database import Database
from faceplate.errors import NotFound
from faceplate.scope import Scope
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
    *("Why is {thing} slow?", "A plan for {thing}", "Tests for {thing}", "Moving {thing}"),
    *("Documenting {thing}", "What broke {thing} on {day}", "{number} reports about {thing}"),
)
QUESTIONS = (
    "How would you start with {thing}?",
    "Since {day}, {thing} takes {number} seconds. Where should I look first?",
    "Can you write a short note to the team about {thing}?",
    "What could go wrong if we change {thing} on {day}?",
    "We have {number} open reports about {thing}. How do I sort them?",
    "Is there a simpler form of {thing}? It grew over {number} months, and nobody likes it.",
    "Summarise the last answer in two sentences, please.",
    "That did not help: {thing} still fails, about {number} times a day.",
    "Grüße aus Zürich 🙂 Was heißt das für {thing}?",
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
    "\n\n```sql\nSELECT count(*)\nFROM orders\nWHERE age(created_at) < '{number} days';\n```",
    "\n\n| step | who | until |\n|---|---|---|\n| draft | you | {day} |\n| review | all | later |",
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
TOOLS = {
    "search_documents": (
        {"query": "{thing}", "language": "en"},
        {"first": "Notes on {thing}", "second": "Report of {day}", "found": "{number}"},
    ),
    "run_query": (
        {"sql": "SELECT count(*) FROM events WHERE day = '{day}'"},
        {"count": "{number}"},
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
MCP_CONFIGS: dict[str, JsonObject] = {
    "filesystem": {
        "transport": "stdio",
        "command": "python",
        "args": ["-m", "example_server", "--root", "."],
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
    seed: int,
    *,
    user_count: int,
    conversations_each: int,
    messages_each: int,
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

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(1, user_count + 1):
                group.create_task(fill(number))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return Seeded(user_count, made, made * messages_each, skipped)


def email_of(seed: int, number: int) -> str:
    """The address of a seed's user; they are numbered from 1."""
    return f"user{number}@seed{seed}.example.com"


async def _store(scope: Scope, chat: _Chat) -> bool:
    """Store a conversation with its messages; False if it was there already."""
    if await _is_there(conversations.get(scope, chat.id)):
        return False
    conversation = await conversations.create(scope, id=chat.id, title=chat.title)
    if conversation.message_count:
        return False  # another run has stored it since we looked
    for start in range(0, len(chat.messages), messages.MAX_BATCH):
        batch = chat.messages[start : start + messages.MAX_BATCH]
        await messages.append_many(scope, chat.id, batch)
    return True


async def _equip(scope: Scope, seed: int, number: int) -> None:
    """Give a user tasks and MCP configurations, unless they are there already."""
    text = _Text(f"{seed}/{number}")
    for index, pattern in enumerate(TASKS):
        task_id, title = uuid5(SEEDS, f"{seed}/{number}/task/{index}"), text.fill(pattern)
        if not await _is_there(tasks.get(scope, task_id)):
            await tasks.create(scope, id=task_id, title=title, description=text.answer())
            if index % 3 == 0:
                await tasks.complete(scope, task_id)
    for name, config in MCP_CONFIGS.items():
        if not await _is_there(mcp_configs.by_name(scope, name)):
            await mcp_configs.put(scope, name, config, enabled=name not in DISABLED)


async def _is_there(lookup: Awaitable[object]) -> bool:
    try:
        await lookup
    except NotFound:
        return False
    return True


def _chat(seed: int, user_number: int, number: int, length: int) -> _Chat:
    """The same chat for the same numbers: one thing that is asked about, turn by turn."""
    text = _Text(f"{seed}/{user_number}/{number}")
    chat_id = uuid5(SEEDS, f"{seed}/{user_number}/{number}")
    said: list[NewMessage] = []
    while len(said) < length:
        said.append(NewMessage("user", text.fill(text.choice(QUESTIONS))))
        if length - len(said) >= 4 and text.random() < 0.2:
            said += text.tool_turn()
        said.append(NewMessage("assistant", text.answer()))
    numbered = enumerate(said[:length])
    return _Chat(
        chat_id,
        title=text.fill(text.choice(TITLES)),
        messages=[message._replace(id=uuid5(chat_id, str(index))) for index, message in numbered],
    )


class _Text(Random):
    """Sentences about one thing."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.thing = self.choice(THINGS)

    def fill(self, pattern: str) -> str:
        day, number = self.choice(DAYS), self.randint(2, 40)
        return pattern.format(thing=self.thing, day=day, number=number)

    def answer(self) -> str:
        sentences = self.sample(SENTENCES, self.randint(1, 4))
        text = " ".join(map(self.fill, sentences))
        return text + self.fill(self.choice(LISTS)) if self.random() < 0.3 else text

    def tool_turn(self) -> list[NewMessage]:
        """An assistant's one or two calls at once, and the result of each."""
        calls, results = [], []
        for name in self.sample(sorted(TOOLS), self.randint(1, 2)):
            arguments, result = TOOLS[name]
            call_id = f"call_{self.getrandbits(96):024x}"
            function = {"name": name, "arguments": self._fill_json(arguments)}
            calls.append({"id": call_id, "type": "function", "function": function})
            results.append({"tool_call_id": call_id, "content": self._fill_json(result)})
        return [
            NewMessage("assistant", tool_calls=calls),
            *(NewMessage("tool", tool_results=[result]) for result in results),
        ]

    def _fill_json(self, patterns: Mapping[str, str]) -> str:
        return json.dumps({name: self.fill(pattern) for name, pattern in patterns.items()})
