"""An uploaded file: one of a user at a time, in a temporary folder until the answer is sent."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
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


class Upload:
    """A place for one file of a user, and the task that works on it."""

    def __init__(self, uploading: set[UUID], user_id: UUID, folder: Path) -> None:
        self.folder = folder
        self._uploading = uploading
        self._user_id = user_id
        self._is_taken = True
        self._task: asyncio.Task[Any] | None = None
        uploading.add(user_id)

    async def receive(self, request: Request, name: str, *, max_bytes: int) -> Path:
        """Write the body of a request to a file and return its path.

        The path has the suffix of ``name``, by which the importer recognises JSON lines. Raises
        TooLarge, and Starlette's ClientDisconnect.
        """
        given = request.headers.get("Content-Length", "")
        if given.isdecimal() and int(given) > max_bytes:
            raise TooLarge(max_bytes)
        suffix = _SUFFIX.search(name)
        path = self.folder / f"chats{suffix[0].lower() if suffix else ''}"
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
        if self._is_taken:
            self._is_taken = False
            self._uploading.discard(self._user_id)

    async def end(self) -> None:
        """Cancel the task if it still runs, and return when it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def _upload(connection: HTTPConnection, chat: Chat) -> AsyncIterator[Upload]:
    """Yield the place for a user's file, from before the body is read until the answer is sent.

    Raises Conflict while another file of the user is imported in this process.
    """
    uploading: set[UUID] = connection.state.uploading
    if chat.user_id in uploading:
        raise Conflict("another file is being imported: wait until it has ended")
    with TemporaryDirectory(prefix="faceplate-chat-") as folder:
        upload = Upload(uploading, chat.user_id, Path(folder))
        try:
            yield upload
        finally:
            try:
                await upload.end()
            finally:
                upload.release()


Uploaded = Annotated[Upload, Depends(_upload)]
"""The parameter of a handler that takes a file."""
