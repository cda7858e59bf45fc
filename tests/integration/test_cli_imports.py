"""The command that imports: several files, folders, archives, and what comes through a pipe."""

import gzip
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from tests.chat_files import chatgpt, node
from tests.commands import COMMAND, TRIP, Run, lines, write

from faceplate.records import User

OTHER = {**TRIP, "id": "other", "title": "To Graz"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ChatGPT export beside OpenAI chat messages, packed and not."""
    folder = tmp_path / "chats"
    (folder / "deep").mkdir(parents=True)
    write(folder / "trip.jsonl", TRIP)
    (folder / "deep" / "other.jsonl.gz").write_bytes(gzip.compress(json.dumps(OTHER).encode()))
    return folder


def test_a_folder_is_imported_with_all_its_files(faceplate: Run, user: User, folder: Path) -> None:
    result = faceplate("import", folder, "--user", user.email)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "chats: OpenAI chat messages",
        "2 new chats with 8 messages",
    ]
    again = faceplate("import", folder, folder / "trip.jsonl", "--user", user.email)
    assert again.returncode == 0
    assert again.stderr.splitlines() == [
        f"{folder}: OpenAI chat messages",
        f"{folder / 'trip.jsonl'}: OpenAI chat messages",
        "0 new chats with 0 messages, 3 already there",
    ]


def test_several_files_are_summed_up_and_each_is_named(
    faceplate: Run, user: User, folder: Path
) -> None:
    """Else nobody knows in which of forty files the chat is that was refused."""
    export = folder / "export.zip"
    with zipfile.ZipFile(export, "w") as archive:
        chats = [chatgpt([node("q", None, "user", "Hi")]), {"mapping": 1}]
        archive.writestr("conversations.json", json.dumps(chats))
        archive.writestr("user.json", "{}")
    (folder / "empty.json").touch()
    files = [folder / "trip.jsonl", folder / "empty.json", export]
    result = faceplate("import", *files, "--user", user.email)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"{folder / 'trip.jsonl'}: OpenAI chat messages",
        f"error: {folder / 'empty.json'}: the file is empty",
        f"{export}: ChatGPT export",
        f"{export}: not read, beside the chats: user.json",
        f"{export}: chat 2: of no format that can be read; its keys are mapping",
        "2 new chats with 5 messages, 1 refused",
    ]
    result = faceplate("import", *files, "--user", user.email, "--json")
    assert result.returncode == 1
    refused, first, second, total = lines(result.stdout)
    assert refused["refused"]["file"] == str(export)
    assert (first["report"]["file"], second["report"]["file"]) == (str(files[0]), str(export))
    assert (first["report"]["skipped"], second["report"]["skipped"]) == (1, 1)
    assert total["total"] == {
        "imported": 0, "messages": 0, "skipped": 2, "refused": 1, "continued": 0,
        "asides": {}, "empty": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_pipe_is_imported(environment: dict[str, str], user: User, name: str) -> None:
    """`zstd -dc chats.zst | faceplate import -`, without a copy to be deleted afterwards."""
    result = subprocess.run(
        [*COMMAND, "import", name, "--user", str(user.email)],
        env=environment, input=f"{json.dumps(TRIP)}\n{json.dumps(OTHER)}\n".encode(),
        capture_output=True, check=False,
    )  # fmt: skip
    shown = "standard input" if name == "-" else name
    assert result.stderr.decode().splitlines() == [
        f"{shown}: OpenAI chat messages",
        "2 new chats with 8 messages",
    ]
    assert result.returncode == 0


def test_archives_of_ours_are_restored_beside_other_files(
    faceplate: Run, user: User, folder: Path
) -> None:
    faceplate("import", folder / "trip.jsonl", "--user", user.email)
    archive = folder / "archive.jsonl"
    faceplate("export", "--user", user.email, "--output", archive)
    result = faceplate("import", archive, folder / "trip.jsonl", "--user", user.email)
    assert result.returncode == 0, result.stderr
    said = result.stderr.splitlines()
    assert said[-2:] == [
        f"{folder / 'trip.jsonl'}: OpenAI chat messages",
        "0 new chats with 0 messages, 1 already there",
    ]


def test_a_dry_run_says_what_would_be_stored_and_stores_nothing(
    faceplate: Run, user: User, folder: Path
) -> None:
    (folder / "soup.json").write_text('{"recipe": "soup"}')
    result = faceplate("import", folder, "--user", user.email, "--dry-run")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "chats: OpenAI chat messages",
        "soup.json chat 1: of no format that can be read; its keys are recipe",
        "would import 2 chats with 8 messages (OpenAI chat messages: 2), 1 not understood",
    ]
    files = [folder / "trip.jsonl", folder / "deep" / "other.jsonl.gz"]
    result = faceplate("import", *files, "--user", user.email, "--dry-run", "--json")
    assert result.returncode == 0
    first, _, total = lines(result.stdout)
    assert first["preview"]["chats"] == {"openai": 1}
    assert total["total"] == {
        "chats": {"openai": 2}, "messages": 8, "refused": 0, "asides": {}, "empty": 0,
    }  # fmt: skip
    assert faceplate("conversations", "--user", user.email).stderr == "no conversations\n"


def test_a_message_that_is_a_file_is_shown_with_its_name(
    faceplate: Run, user: User, tmp_path: Path
) -> None:
    plan = {"attachments": [{"id": "file-1", "name": "plan.pdf"}]}
    asked = node("q", None, "user", "", metadata=plan)
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([chatgpt([asked, node("a", "q", "assistant", "Three steps.")])]))
    result = faceplate("import", path, "--user", user.email)
    assert result.stderr.splitlines()[-1] == (
        "1 new chat with 2 messages; kept beside the text: attachments (1)"
    )
    [line] = lines(faceplate("conversations", "--user", user.email, "--json").stdout)
    shown = faceplate("show", line["conversation"]["id"], "--user", user.email).stdout
    assert "[plan.pdf]" in shown
    assert "[attached: plan.pdf]" in shown
