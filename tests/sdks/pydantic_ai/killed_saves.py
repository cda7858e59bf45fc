"""An agent whose conversation is saved in the store, until its process is killed."""

from collections.abc import Callable
from itertools import count
from uuid import UUID

from pydantic_ai import Conversation
from pydantic_ai.agent import AgentRunResult
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.usage import UsageLimits
from tests.sdks.pydantic_ai.scripted import agent, unit

from faceplate import Database
from faceplate.integrations.pydantic_ai import FaceplateConversationStore

NAME = "killed"


async def run(store: FaceplateConversationStore, label: str, number: int) -> AgentRunResult[str]:
    """Go on with the stored conversation, without saving."""
    conversation = await store.load(NAME) or Conversation(conversation_id=NAME)
    limits = UsageLimits(request_limit=None)  # the usage of a conversation counts all of its runs
    question = unit(label, number)[0]
    return await agent.run(question, conversation=conversation, usage_limits=limits)


async def write(db: Database, owner: str, label: str, acknowledge: Callable[[], None]) -> None:
    store = FaceplateConversationStore(db, UUID(owner))
    for number in count():
        while True:
            try:
                await store.save(await run(store, label, number))
            except ConversationConflict:
                continue  # another process was faster
            break
        acknowledge()
