"""Uploaded files: one of a user at a time, each in a temporary file until its request has ended.

A process that is killed leaves its files to whatever cleans the system's temporary folder.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from fastapi.requests import HTTPConnection

from examples.chat.people import Chat
from faceplate import Conflict
from faceplate.integrations.web import Problem, problem

T = TypeVar("T")

_SUFFIX = re.compile(r"(\.(json|jsonl|ndjson|zip))?(\.gz)?$", re.IGNORECASE)


class TooLarge(Exception):  # noqa: N818 - named for what it says
    """The file has more bytes than an upload may have."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"A file may have {max_bytes // 2**20:,} MB here.")

    def problem(self) -> Problem:
        return problem(HTTPStatus(413), "content_too_large", str(self))


class Uploads:
    """The uploads of this process."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.by_user: dict[UUID, Upload] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, max_bytes: int) -> AsyncIterator["Uploads"]:
        """Yield the uploads, and end those in flight: a server does not wait for its requests."""
        uploads = cls(max_bytes)
        yield uploads
        for upload in [*uploads.by_user.values()]:
            await upload.end()


class Upload:
    """One file of a user, and the task that works on it."""

    def __init__(self, uploads: Uploads, user_id: UUID) -> None:
        self._uploads = uploads
        self._user_id = user_id
        self._folder = TemporaryDirectory(prefix="faceplate-chat-")
        self._task: asyncio.Task[Any] | None = None
        uploads.by_user[user_id] = self

    async def receive(self, request: Request, name: str) -> Path:
        """Write the body of a request to a file and return its path.

        The path has the suffix of ``name``, by which the importer recognises JSON lines. Raises
        TooLarge, and Starlette's ClientDisconnect.
        """
        max_bytes = self._uploads.max_bytes
        given = request.headers.get("Content-Length", "")
        if given.isdecimal() and int(given) > max_bytes:
            raise TooLarge(max_bytes)
        suffix = _SUFFIX.search(name)
        path = Path(self._folder.name, f"chats{suffix[0].lower() if suffix else ''}")
        received_bytes = 0
        with await asyncio.to_thread(path.open, "wb") as file:
            async for block in request.stream():
                received_bytes += len(block)
                if received_bytes > max_bytes:
                    raise TooLarge(max_bytes)
                await asyncio.to_thread(file.write, block)
        return path

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``work`` in a task that ends with the request at the latest."""
        task = self._task = asyncio.create_task(work)
        return task

    def release(self) -> None:
        """Let the user send the next file."""
        if self._uploads.by_user.get(self._user_id) is self:
            del self._uploads.by_user[self._user_id]

    async def end(self) -> None:
        """Cancel the task if it still runs, and remove the file when it has ended."""
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)
        finally:
            self._folder.cleanup()
            self.release()


async def _upload(connection: HTTPConnection, chat: Chat) -> AsyncIterator[Upload]:
    """Yield the place for a user's file, from before the body is read until the answer is sent.

    Raises Conflict while another file of the user is imported in this process.
    """
    uploads: Uploads = connection.state.uploads
    if chat.user_id in uploads.by_user:
        raise Conflict("another file is being imported: wait until it has ended")
    upload = Upload(uploads, chat.user_id)
    try:
        yield upload
    finally:
        await upload.end()


Uploaded = Annotated[Upload, Depends(_upload)]
"""The parameter of a handler that takes a file."""
