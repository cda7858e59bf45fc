"""The tools of the MCP server: what each takes and returns, without the SDK.

An answer is bounded: a list by its limit, a message in a list by `SHOWN_CHARS`, and one message by
`PART_CHARS`. No tool takes a user: each runs for that of its `UserRunner`.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from faceplate.column_types import JsonObject
from faceplate.errors import FaceplateError
from faceplate.exporters.messages import calls_of, results_of, text_beside_results
from faceplate.integrations._problems import INTERNAL, problem_of
from faceplate.integrations.web import UserRunner
from faceplate.pagination import Page
from faceplate.records import Conversation, Message
from faceplate.scope import Scope, read_only
from faceplate.services import conversations, messages

logger = logging.getLogger("faceplate")

SHOWN_CHARS: Final = 4_000
PART_CHARS: Final = 20_000

Cursor = Annotated[str | None, Field(description="The next_cursor of the answer before.")]
ConversationId = Annotated[UUID, Field(description="The id of the conversation.")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListArguments(_Arguments):
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor = None


class SearchArguments(ListArguments):
    text: Annotated[str, Field(description="A part of the title, in any case.")]


class SearchMessagesArguments(ListArguments):
    text: Annotated[str, Field(description="A part of a message's content, in any case.")]


class ReadArguments(_Arguments):
    conversation_id: ConversationId
    limit: Annotated[int, Field(ge=1, le=50)] = 20
    before: Annotated[
        int | None, Field(ge=1, description="Only messages before this position.")
    ] = None
    leaf: Annotated[
        int | None,
        Field(ge=1, description="The position of the last message, by default the newest one."),
    ] = None


class ReadMessageArguments(_Arguments):
    conversation_id: ConversationId
    message_id: Annotated[UUID, Field(description="The id of the message.")]
    offset: Annotated[int, Field(ge=0, description="The next_offset of the answer before.")] = 0


class CreateArguments(_Arguments):
    title: Annotated[str, Field(description="1 to 255 characters.")]


class AppendArguments(_Arguments):
    conversation_id: ConversationId
    content: Annotated[str, Field(description="Up to 1,000,000 characters.")]
    role: Annotated[Literal["user", "assistant"], Field(description="Who says it.")] = "assistant"


class Tool(NamedTuple):
    """A tool: its description is written for the model that calls it."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[UserRunner, Any], Awaitable[JsonObject]]
    writes: bool = False


class Refused(Exception):  # noqa: N818 - named for what it says
    """The tool failed. The message is for the model, and shows no content."""


async def call(runner: UserRunner, tools: dict[str, Tool], name: str, given: Any) -> JsonObject:
    """Run the tool called ``name`` for the user of ``runner``. Raises Refused."""
    tool = tools.get(name)
    if tool is None:
        raise Refused("there is no such tool")
    try:
        return await tool.run(runner, tool.arguments.model_validate(given or {}))
    except ValidationError as error:
        raise Refused("; ".join(_rules(error))) from None
    except FaceplateError as error:
        raise Refused(problem_of(error).body["detail"]) from None
    except Exception as error:  # noqa: BLE001 - its message may show content
        logger.error("the MCP tool %s failed: %s", name, type(error).__name__)  # noqa: TRY400 - the traceback too
        raise Refused(str(INTERNAL.detail)) from None


def _rules(error: ValidationError) -> Iterator[str]:
    for found in error.errors(include_input=False, include_context=False, include_url=False):
        yield f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


async def list_conversations(runner: UserRunner, given: ListArguments) -> JsonObject:
    return _listed(await runner.run(conversations.page, limit=given.limit, cursor=given.cursor))


async def search_conversations(runner: UserRunner, given: SearchArguments) -> JsonObject:
    return _listed(
        await runner.run(conversations.search, given.text, limit=given.limit, cursor=given.cursor)
    )


async def search_messages(runner: UserRunner, given: SearchMessagesArguments) -> JsonObject:
    page = await runner.run(messages.search, given.text, limit=given.limit, cursor=given.cursor)
    return {
        "messages": [
            {
                "conversation_id": str(found.conversation_id),
                "title": found.title,
                "id": str(found.id),
                "position": found.position,
                "role": found.role,
                "excerpt": found.excerpt,
                "created_at": found.created_at.isoformat(),
            }
            for found in page.items
        ],
        "next_cursor": page.next_cursor,
    }


async def read_conversation(runner: UserRunner, given: ReadArguments) -> JsonObject:
    found, said = await runner.run(_read, given)
    is_more = len(said) > given.limit
    shown = said[-given.limit :]
    return {
        "conversation": _conversation(found),
        "messages": [_shown(message) for message in shown],
        "before": shown[0].position if is_more else None,
    }


@read_only
async def _read(scope: Scope, given: ReadArguments) -> tuple[Conversation, list[Message]]:
    """Return a conversation, and one message more than was asked for if there is one (a unit)."""
    found = await conversations.get(scope, given.conversation_id)
    limit, leaf = given.limit + 1, given.leaf
    if given.before is None:
        return found, await messages.history(scope, found.id, limit=limit, leaf=leaf)
    return found, await messages.before(scope, found.id, given.before, limit=limit, leaf=leaf)


async def read_message(runner: UserRunner, given: ReadMessageArguments) -> JsonObject:
    message = await runner.run(messages.get, given.conversation_id, given.message_id)
    text = _text(message)
    end = given.offset + PART_CHARS
    return {
        **_message(message),
        "text": text[given.offset : end],
        "next_offset": end if end < len(text) else None,
    }


async def create_conversation(runner: UserRunner, given: CreateArguments) -> JsonObject:
    return {
        "conversation": _conversation(await runner.run(conversations.create, title=given.title))
    }


async def append_message(runner: UserRunner, given: AppendArguments) -> JsonObject:
    message = await runner.run(
        messages.append, given.conversation_id, role=given.role, content=given.content
    )
    return {"message": _message(message)}


def _listed(page: Page[Conversation]) -> JsonObject:
    return {
        "conversations": [_conversation(found) for found in page.items],
        "next_cursor": page.next_cursor,
    }


def _conversation(found: Conversation) -> JsonObject:
    return {
        "id": str(found.id),
        "title": found.title,
        "message_count": found.message_count,
        "updated_at": found.updated_at.isoformat(),
    }


def _shown(message: Message) -> JsonObject:
    text = _text(message)
    is_whole = len(text) <= SHOWN_CHARS
    return {
        **_message(message),
        "text": text[:SHOWN_CHARS],
        "next_offset": None if is_whole else SHOWN_CHARS,
    }


def _message(message: Message) -> JsonObject:
    return {
        "id": str(message.id),
        "position": message.position,
        "role": message.role,
        "status": message.status,
        "created_at": message.created_at.isoformat(),
    }


def _text(message: Message) -> str:
    """Return all that a message says: its content, its tool calls and its results."""
    parts = [text_beside_results(message)]
    parts += (f"[calls {call.name}: {call.text}]" for call in calls_of(message))
    parts += (f"[result: {result.text}]" for result in results_of(message))
    return "\n".join(filter(None, parts))


ALL: Final = (
    Tool(
        "list_conversations",
        "List the user's conversations, the one with the newest activity first.",
        ListArguments,
        list_conversations,
    ),
    Tool(
        "search_conversations",
        "List the user's conversations whose title has a text, the newest activity first.",
        SearchArguments,
        search_conversations,
    ),
    Tool(
        "search_messages",
        "List the messages whose content has a text, those of the conversation with the newest"
        " activity first. What tools were asked and answered is not searched. To read what led to a"
        " message, call read_conversation with its `position` as `leaf`.",
        SearchMessagesArguments,
        search_messages,
    ),
    Tool(
        "read_conversation",
        "Read the newest messages of a conversation, in order. For earlier ones, pass the `before`"
        f" of the answer. A message longer than {SHOWN_CHARS:,} characters is cut: read the rest"
        " with read_message from its `next_offset`.",
        ReadArguments,
        read_conversation,
    ),
    Tool(
        "read_message",
        f"Read one message, {PART_CHARS:,} characters at a time. For more, pass `next_offset`.",
        ReadMessageArguments,
        read_message,
    ),
    Tool(
        "create_conversation",
        "Create an empty conversation, to write notes into.",
        CreateArguments,
        create_conversation,
        writes=True,
    ),
    Tool(
        "append_message",
        "Append a message or a note to the end of a conversation.",
        AppendArguments,
        append_message,
        writes=True,
    ),
)
