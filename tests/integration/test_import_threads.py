"""Threads whose titles are in one file and their messages in another."""

import json
from pathlib import Path

from tests.chat_files import write
from tests.formats.jan import MESSAGES, THREAD
from tests.imported_chats import stored

from faceplate import Database
from faceplate.importers import import_file, preview_file
from faceplate.records import User


async def test_a_thread_of_jan_is_one_conversation_with_its_title(
    db: Database, user: User, tmp_path: Path
) -> None:
    folder = tmp_path / "threads" / "thread-1"
    folder.mkdir(parents=True)
    write(folder / "thread.json", THREAD)
    lines = "\n".join(json.dumps(message) for message in MESSAGES)
    (folder / "messages.jsonl").write_text(lines, encoding="utf-8")
    preview = await preview_file(tmp_path / "threads")
    assert (preview.chats, preview.messages) == ({"jan": 1}, 4)
    await import_file(db, user.id, tmp_path / "threads")
    [(conversation, _)] = (await stored(db, user)).values()
    assert (conversation.title, conversation.message_count) == ("Two beds", 4)
    again = await import_file(db, user.id, tmp_path / "threads")
    assert (again.imported, again.messages, again.refused) == (0, 0, 0)
