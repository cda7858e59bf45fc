"""The import of a file of chats, as ``faceplate import`` does it, with its progress as events.

- The file is received first, and then read: a client that goes away while it sends has stored
  nothing.
- Each batch of chats is stored in a transaction of its own. A client that goes away, or a server
  that is stopped, ends the import. What is stored by then stays, and the same file again goes on
  from there.
- The importer reads the file in a thread, so that replies stream on meanwhile.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.requests import HTTPConnection
from starlette.requests import ClientDisconnect

from examples.chat.people import Chat
from examples.chat.replies import Event, EventStream
from examples.chat.schemas import ImportOptions, ImportRules
from examples.chat.uploads import TooLarge, Upload, Uploaded
from faceplate import FaceplateError
from faceplate.importers import FORMATS, Refusal, Report, import_file, preview_file
from faceplate.integrations.fastapi import UserRunner, problem_response
from faceplate.integrations.web import MEDIA_TYPE, problem_of

logger = logging.getLogger("examples.chat")

TELL_EVERY_S = 0.25
MAX_TOLD = 1_000
"""Refusals that are sent one by one; of the others there is only their number."""

EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "refused", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: progress, refused, and at the end done or error",
        "content": {"text/event-stream": {"schema": EVENT}},
    },
    413: {
        "description": "Content Too Large: the file has more than `max_bytes`",
        "content": {MEDIA_TYPE: {}},
    },
}
BODY = {
    "description": "The file: JSON or JSON lines, also packed by zip or gzip.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}

router = APIRouter(prefix="/api")


@router.get("/imports", response_model=ImportRules, tags=["imports"])
async def get_rules(connection: HTTPConnection, _chat: Chat) -> ImportRules:
    """What can be imported."""
    titles = [each.title for each in FORMATS.values()]
    return ImportRules(max_bytes=connection.state.uploads.max_bytes, formats=titles)


@router.post(
    "/imports",
    response_class=EventStream,
    responses=RESPONSES,
    openapi_extra={"requestBody": BODY},
    tags=["imports"],
)
async def import_chats(
    request: Request, chat: Chat, upload: Uploaded, options: Annotated[ImportOptions, Query()]
) -> Response:
    """Import the chats of a file. The same file again stores only what is not there yet."""
    try:
        path = await upload.receive(request, options.name)
    except TooLarge as error:
        return problem_response(error.problem())
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
    progress = _Progress(total_bytes=path.stat().st_size)
    work = _preview(path, progress) if options.preview else _store(chat, path, progress)
    return EventStream.of(_tell(upload, upload.start(work), progress))


class _Progress:
    """What an import has done, and what of it the client has not been told yet."""

    def __init__(self, total_bytes: int) -> None:
        self.report = Report()
        self._total_bytes = total_bytes
        self._read_bytes = 0
        self._refused = 0
        self._untold: list[Refusal] = []

    def note_bytes(self, count: int) -> None:
        self._read_bytes = count

    def note_refusal(self, refusal: Refusal) -> None:
        self._refused += 1
        if self._refused <= MAX_TOLD:
            self._untold.append(refusal)

    def note_report(self, report: Report) -> None:
        self.report = report

    def take(self) -> list[Event]:
        """Return the events for what has happened since the last call."""
        refusals, self._untold = self._untold, []
        stored = self.report._replace(refused=self._refused)
        counts = {"read_bytes": self._read_bytes, "total_bytes": self._total_bytes}
        return [
            *(Event("refused", {"place": str(at), "reason": reason}) for at, reason in refusals),
            Event("progress", counts | _plain(stored._asdict())),
        ]


async def _tell(
    upload: Upload, importing: "asyncio.Task[dict[str, Any]]", progress: _Progress
) -> AsyncGenerator[Event, None]:
    """Yield what an import does, several times a second, and its end.

    The next file may come before the last event is sent, since a client sends it right after.
    """
    while not importing.done():
        await asyncio.wait({importing}, timeout=TELL_EVERY_S)
        for event in progress.take():
            yield event
    upload.release()
    try:
        yield Event("done", importing.result())
    except Exception as error:
        if not isinstance(error, FaceplateError):
            logger.exception("an import failed")
        yield Event("error", problem_of(error).body)


async def _store(chat: UserRunner, path: Path, progress: _Progress) -> dict[str, Any]:
    report = await import_file(
        chat.db,
        chat.user_id,
        path,
        on_progress=progress.note_bytes,
        on_refusal=progress.note_refusal,
        on_stored=progress.note_report,
    )
    return _plain(report._asdict())


async def _preview(path: Path, progress: _Progress) -> dict[str, Any]:
    found = await preview_file(
        path, on_progress=progress.note_bytes, on_refusal=progress.note_refusal
    )
    chats = {FORMATS[key].title: count for key, count in found.chats.items()}
    return _plain(found._replace(chats=chats)._asdict())


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with dicts in place of read-only mappings, which are no JSON."""
    return {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in fields.items()
    }
