"""``faceplate export --format``: the chats of a user for other programs, or one for people."""

import sys
from pathlib import Path
from uuid import UUID

from faceplate.cli.output import emit, note
from faceplate.cli.progress import progress_bar
from faceplate.cli.rendering import count
from faceplate.cli.session import find_user, interruptible, run
from faceplate.database import Database
from faceplate.errors import UsageError
from faceplate.exporters import FORMATS, Written, write, write_file
from faceplate.services import archives, conversations

CUT_OFF = "nothing was changed; what was written is not whole"


def check_format(key: str | None, conversation_id: UUID | None) -> None:
    """Raise UsageError unless the format exists and has a conversation where one is needed."""
    if key is None:
        if conversation_id is not None:
            raise UsageError("--conversation needs --format: an archive has all conversations")
        return
    if key not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}")
    if FORMATS[key].is_page and conversation_id is None:
        raise UsageError(
            f"--format {key} needs --conversation ID: `faceplate conversations` lists the ids"
        )


def export_chats(
    who: str, key: str, conversation_id: UUID | None, output: Path | None, *, as_json: bool
) -> None:
    """Write a user's chats, or one of them, to a file or stdout, and report it."""

    async def work(db: Database) -> Written:
        user = await db.run_system(find_user, who)
        if output is None:
            put = sys.stdout.buffer.write
            written = await write(db, user.id, put, format=key, conversation_id=conversation_id)
            sys.stdout.buffer.flush()
            return written
        if conversation_id is None:
            total = (await db.run(user.id, archives.holdings))["messages"]
        else:
            conversation = await db.run(user.id, conversations.get, conversation_id)
            total = conversation.message_count
        with progress_bar("exporting", "message", total) as update:
            return await write_file(
                db,
                user.id,
                output,
                format=key,
                conversation_id=conversation_id,
                replace=True,
                on_progress=lambda messages: update(completed=messages),
            )

    with interruptible(CUT_OFF):
        written = run(work)
    if written.incomplete:
        note(
            f"{count(written.incomplete, 'message')} had more than the format has a place for:"
            " an archive, without --format, has it.",
            style="yellow",
        )
    if output is None:
        return
    if as_json:
        emit({"exported": written._asdict()})
    else:
        chats = count(written.conversations, "conversation")
        note(f"{chats} with {count(written.messages, 'message')} written to {output}")
