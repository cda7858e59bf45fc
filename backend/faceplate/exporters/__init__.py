"""The export of chats for other programs, and for people to read.

::

    with path.open("wb") as file:
        await exporters.write(db, user_id, file.write, format="chatgpt")

`faceplate.export` writes everything of a user instead, to be read back as it was.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from faceplate import records
from faceplate.database import Database
from faceplate.errors import InvalidInput
from faceplate.export import new_file, snapshot
from faceplate.exporters import chatgpt, html, markdown, openai
from faceplate.models import Conversation
from faceplate.scope import Scope
from faceplate.services import _row_statements, _trees, conversations, messages, users

__all__ = ["FORMATS", "Format", "Written", "get_format", "write", "write_file"]

PROGRESS_EVERY: Final = 200

_CONVERSATIONS: Final = _row_statements.read(Conversation)

Pieces = Callable[[records.Conversation, AsyncIterator[Any]], AsyncIterator[bytes]]


class Format(NamedTuple):
    """A format: its title, what it is made of, and what is around the conversations."""

    title: str
    pieces: Pieces
    """Makes a conversation of its messages."""
    loses: Callable[[records.Message], bool]
    """Returns whether a message has something that the format has no place for."""
    has_branches: bool = False
    """Whether ``pieces`` takes all messages, each a `_trees.TreeMessage`, and not the path's."""
    is_page: bool = False
    """Whether a file has one conversation, which must be named."""
    opening: bytes = b""
    separator: bytes = b""
    closing: bytes = b""


FORMATS: Final = {
    "openai": Format("OpenAI chat messages", openai.pieces, openai.loses),
    "chatgpt": Format(
        "ChatGPT export",
        chatgpt.pieces,
        chatgpt.loses,
        has_branches=True,
        opening=b"[\n",
        separator=b",\n",
        closing=b"\n]\n",
    ),
    "markdown": Format("Markdown", markdown.pieces, markdown.loses, is_page=True),
    "html": Format("a page of HTML", html.pieces, html.loses, is_page=True),
}


class Written(NamedTuple):
    """What an export holds."""

    conversations: int = 0
    messages: int = 0
    incomplete: int = 0
    """Of how many messages the format has no place for a part: see docs/exporting.md."""


def get_format(key: str) -> Format:
    """Return the format called ``key``. Raises InvalidInput if there is none."""
    if key not in FORMATS:
        raise InvalidInput("format", f"must be one of {', '.join(FORMATS)}")
    return FORMATS[key]


async def write(
    db: Database,
    user_id: UUID,
    put: Callable[[bytes], object],
    *,
    format: str,  # noqa: A002 - what it is called everywhere
    conversation_id: UUID | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Hand a user's conversations, or one of them, to ``put`` piece by piece in a format.

    All of it is from one snapshot, in one transaction that only reads and is open meanwhile.
    Memory is bounded however many messages there are. ``put`` must not rest for longer than
    ``idle_in_transaction_timeout_s``. ``on_progress`` is told how many messages were written.

    Raises InvalidInput for an unknown format, and for a format of one conversation where none is
    named; NotFound if the conversation or the user does not exist. A broken connection is not
    retried, since what was put cannot be taken back: raises ConnectionLost.
    """
    form = get_format(format)
    if form.is_page and conversation_id is None:
        raise InvalidInput("conversation_id", f"is needed: {format} has one conversation in a file")
    writing = _Writing(form, put, on_progress)
    async with snapshot(db, user_id) as scope:
        if conversation_id is not None:
            await writing.write(scope, await conversations.get(scope, conversation_id))
        else:
            await scope.one(users.GET, id=user_id)
            async for conversation in scope.stream(_CONVERSATIONS):
                await writing.write(scope, conversation)
    writing.end()
    return writing.written


async def write_file(
    db: Database,
    user_id: UUID,
    path: Path,
    *,
    format: str,  # noqa: A002 - what it is called everywhere
    conversation_id: UUID | None = None,
    replace: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Write a user's conversations, or one of them, to a new file, see `write`.

    The file appears under its name once it is whole, see `faceplate.export.write_file`. Raises
    FileExistsError, any other OSError, and as `write` does.
    """
    with new_file(path, replace=replace) as file:
        return await write(
            db,
            user_id,
            file.write,
            format=format,
            conversation_id=conversation_id,
            on_progress=on_progress,
        )


class _Writing:
    """The state of `write` between two conversations."""

    def __init__(
        self,
        form: Format,
        put: Callable[[bytes], object],
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._form = form
        self._put = put
        self._on_progress = on_progress
        self.written = Written()

    async def write(self, scope: Scope, conversation: records.Conversation) -> None:
        """Put a conversation, and what stands before it."""
        form = self._form
        self._put(form.separator if self.written.conversations else form.opening)
        walk = self._tree if form.has_branches else self._messages
        async for piece in form.pieces(conversation, walk(scope, conversation.id)):
            self._put(piece)
        self.written = self.written._replace(conversations=self.written.conversations + 1)

    def end(self) -> None:
        """Put what stands behind the last conversation."""
        form = self._form
        self._put(form.closing if self.written.conversations else form.opening + form.closing)

    async def _messages(
        self, scope: Scope, conversation_id: UUID
    ) -> AsyncIterator[records.Message]:
        async for message in messages.walk(scope, conversation_id):
            self._count(message)
            yield message

    async def _tree(self, scope: Scope, conversation_id: UUID) -> AsyncIterator[_trees.TreeMessage]:
        async for each in _trees.walk(scope, conversation_id):
            self._count(each.message)
            yield each

    def _count(self, message: records.Message) -> None:
        _, count, incomplete = self.written
        self.written = self.written._replace(
            messages=count + 1, incomplete=incomplete + self._form.loses(message)
        )
        if self._on_progress and self.written.messages % PROGRESS_EVERY == 0:
            self._on_progress(self.written.messages)
