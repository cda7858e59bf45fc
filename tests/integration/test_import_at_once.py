"""Two processes that import one user's chats at the same time."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.chat_files import chatgpt, node
from tests.commands import COMMAND
from tests.imported_chats import stored

from faceplate import Database
from faceplate.importers import Report, import_file
from faceplate.records import User
from faceplate.services import messages

CHATS = 60


def export(tmp_path: Path, name: str, *more: str) -> Path:
    """Write chats with a question and two answers, and further words of the user."""
    chats: list[Any] = []
    for number in range(CHATS):
        nodes = [
            node("q", None, "user", f"Question {number}"),
            node("a", "q", "assistant", f"Answer {number}"),
            node("b", "q", "assistant", f"Other answer {number}"),
            *(node(f"m{text}", "a", "user", text) for text in more),
        ]
        about = {"id": f"c-{number}", "title": f"Chat {number}"}
        chats.append(chatgpt(nodes, **about, conversation_id=about["id"]))
    path = tmp_path / name
    path.write_text(json.dumps(chats), encoding="utf-8")
    return path


async def test_nothing_is_doubled_or_lost(
    db: Database, user: User, environment: dict[str, str], tmp_path: Path
) -> None:
    """As when somebody uploads an export, and uploads a newer one before the first is done."""
    paths = [export(tmp_path, "old.json"), export(tmp_path, "new.json", "Thanks", "Why?")]
    processes = [
        subprocess.Popen(  # noqa: ASYNC220 - both have to run at once
            [*COMMAND, "import", str(path), "--user", str(user.email)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for path in (*paths, paths[1])
    ]  # fmt: skip
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    found = await stored(db, user)
    assert len(found) == CHATS
    for number in range(CHATS):
        conversation, _ = found[f"Chat {number}"]
        assert conversation.message_count == 5
        paths_to = [
            await db.run(user.id, messages.everything, conversation.id, leaf=leaf)
            for leaf in range(1, 6)
        ]
        said = {tuple(message.content for message in path) for path in paths_to}
        opening, answer = f"Question {number}", f"Answer {number}"
        assert said == {
            (opening,),
            (opening, answer),
            (opening, f"Other answer {number}"),
            (opening, answer, "Thanks"),
            (opening, answer, "Why?"),
        }
    for path in paths:
        assert await import_file(db, user.id, path) == Report(skipped=CHATS)
