"""pydantic-ai's messages and its ``ConversationStore`` over faceplate.

The extra ``pydantic-ai`` brings the SDK. A store keeps whole conversations::

    store = FaceplateConversationStore(db, user_id)
    conversation = await store.load("trip") or Conversation(conversation_id="trip")
    result = await agent.run("Where to?", conversation=conversation)
    await store.save(result)

The converters are for a chat that faceplate opened, and for a version without the store::

    history = await db.run(user_id, messages.history, chat_id, limit=100)
    result = await agent.run("Where to?", message_history=to_pydantic_ai(history))
    await db.run(user_id, messages.append_many, chat_id, from_pydantic_ai(result.new_messages()))
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from faceplate.errors import ConfigurationError
from faceplate.records import Message
from faceplate.services.messages import NewMessage

try:
    from pydantic_ai.messages import ModelMessage
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "the integration with pydantic-ai needs a package: pip install 'faceplate[pydantic-ai]'"
    ) from missing

from faceplate.integrations.pydantic_ai import _codec, _shown

if TYPE_CHECKING:
    from faceplate.integrations.pydantic_ai._store import SOURCE, FaceplateConversationStore

__all__ = ["SOURCE", "FaceplateConversationStore", "from_pydantic_ai", "to_pydantic_ai"]


def from_pydantic_ai(messages: Iterable[ModelMessage]) -> list[NewMessage]:
    """Return messages, such as ``result.new_messages()``, ready for `messages.append_many`.

    Each request and each response is one message, with its JSON as the body. A request that has
    text of the user and results of tools shows the text alone.
    """
    return [_shown.new_message(_codec.dump(message)) for message in messages]


def to_pydantic_ai(history: Iterable[Message | NewMessage]) -> list[ModelMessage]:
    """Return a history for ``message_history=``.

    A message with a request or a response as its body is that; another one is made from its text,
    tool calls and results. Left out are messages without a role, and drafts that are still being
    written.

    Raises InvalidInput for a request or response that this version of pydantic-ai cannot read.
    """
    return [message for _, message in _codec.load(history)]


def __getattr__(name: str) -> Any:
    """Import the store when it is asked for: older versions of pydantic-ai have none."""
    if name not in {"SOURCE", "FaceplateConversationStore"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from faceplate.integrations.pydantic_ai import _store  # noqa: PLC0415 - see above
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            "this version of pydantic-ai has no conversation store: use the converters, or update"
        ) from missing
    return getattr(_store, name)
