"""Archives and folders: a file with chats is read whatever its name is, and any other is named."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.chat_files import chatgpt, read_all, thread, write

from faceplate.importers import recognise
from faceplate.importers.files import bounds
from faceplate.importers.opening import left_files


def chat(id_: str) -> dict[str, Any]:
    return chatgpt(thread("Which pear?", "The yellow one."), id=id_, conversation_id=id_)


def read(path: Path) -> tuple[list[str], list[str]]:
    """The keys of the chats in a file, and what is refused in it, with the places."""
    chats, refusals = read_all(path)
    return [chat.key for chat in chats], [f"{each.place}: {each.reason}" for each in refusals]


EXPORT: dict[str, Any] = {
    "conversations.json": [chat("a")],
    "user.json": {"id": "u-1", "email": "me@example.com"},
    "message_feedback.json": [{"id": "f-1", "conversation_id": "a", "rating": "thumbs_up"}],
    "shared_conversations.json": [{"id": "s-1", "conversation_id": "a", "title": "Pears"}],
    "archived.json": [{"note": 1}, chat("b")],
    "file-1-training.json": [chat("uploaded")],
    "more/old.txt": [chat("c")],
    "more/No suffix": [chat("d")],
}
LEFT = [
    "file-1-training.json",
    "message_feedback.json",
    "photo.jpg",
    "shared_conversations.json",
    "user.json",
]


def fill(folder: Path) -> Path:
    for name, value in EXPORT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write(folder / name, value)
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff{")
    return folder


def pack(folder: Path) -> Path:
    path = folder / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in EXPORT.items():
            archive.writestr(name, json.dumps(value))
        archive.writestr("photo.jpg", b"\xff\xd8\xff{")
    return path


@pytest.mark.parametrize("make", [fill, pack])
def test_a_file_with_chats_is_read_whatever_its_name_is(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """Else chats would be missing, and the exit code would say that all were read."""
    path = make(tmp_path)
    keys, refused = read(path)
    assert keys == ["a", "b", "d", "c"]
    assert refused == ["archived.json chat 1: of no format that can be read; its keys are note"]
    assert left_files(path) == LEFT


@pytest.mark.parametrize("empty", ["[]", "\ufeff[\n]\n"])
def test_a_list_without_chats_is_named(tmp_path: Path, empty: str) -> None:
    """As a program writes it that has a file for each chat; else the file was not looked at."""
    write(tmp_path / "a.json", [chat("a")])
    (tmp_path / "b.json").write_text(empty, encoding="utf-8")
    assert read(tmp_path) == (["a"], [])
    assert left_files(tmp_path) == ["b.json"]
    assert left_files(tmp_path / "b.json") == []


def test_two_files_of_one_name_in_an_archive_are_read(tmp_path: Path) -> None:
    """As programs write them that add to an archive, and do not replace."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("conversations.json", json.dumps([chat("a")]))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("conversations.json", json.dumps([chat("b")]))
    assert read(tmp_path / "x.zip") == (["a", "b"], [])


def test_what_is_beside_the_lists_of_chats_is_read_or_reported(tmp_path: Path) -> None:
    value = {
        "conversations": [chat("a")],
        "version": "7",
        "archived": [chat("b")],
        "tasks": [{"task_id": "t-1", "prompt": "Water the pear tree."}],
    }
    reason = "20 characters of text beside its chats were not read, under tasks"
    for large in (False, True):
        value["padding"] = " " * (2_000_000 if large else 1)
        assert read(write(tmp_path / "x.json", value)) == (["a", "b"], [f"file 1: {reason}"])


def test_an_empty_list_of_chats_hides_nothing(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    path = write(tmp_path / "x.json", {"conversations": [], "id": "a", "messages": said})
    assert read(path) == (["a"], [])


@pytest.mark.parametrize("first", ["a.json", "c.json"])
def test_a_list_of_messages_is_one_chat_in_each_file(tmp_path: Path, first: str) -> None:
    """What the first file of a folder has says nothing about the others."""
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    write(tmp_path / first, [chat("a")])
    large = {"from": "human", "value": "x" * 2_000_000}
    write(tmp_path / "b.json", {"id": "b", "system": "Be brief.", "conversations": turns})
    write(tmp_path / "d.json", {"conversations": [*turns, large], "id": "d", "system": "Do."})
    keys, refused = read(tmp_path)
    assert (sorted(keys), refused) == (["a", "b", "d"], [])


def test_a_list_of_texts_is_one_chat(tmp_path: Path) -> None:
    chats, refusals = read_all(write(tmp_path / "x.json", {"conversations": ["Hi", "Hello"]}))
    assert [[m.content for m in chat.messages] for chat in chats] == [["Hi", "Hello"]]
    assert refusals == []


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("chats.json"))
    return file.getvalue()


ACTIVITY = (
    "<html><head><title>My Activity History</title><style>{}</style></head><body><div"
    ' class="outer-cell mdl-cell"><p class="mdl-typography--title">Gemini Apps<br></p></div>'
).format("x" * 150_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(gzip.compress(b"[]")), "a gzip file within a gzip file: unpack it first"),
        (tarred(), "a tar archive: unpack it, and give the folder"),
        (b"\x28\xb5\x2f\xfd....", "a Zstandard file: unpack it first"),
        (b"SQLite format 3\x00", "a SQLite database: use the export of the program that"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>", "HTML: ask for the export as JSON"),
        (ACTIVITY.encode(), "Gemini's activity as HTML: choose JSON in Google Takeout"),
    ],
    ids=["gzip in gzip", "tar", "Zstandard", "SQLite", "HTML", "activity"],
)
def test_a_file_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "x.json").write_bytes(content)
    keys, [refused] = read(tmp_path / "x.json")
    assert keys == []
    assert refused.startswith(f"file 1: {reason}")


def test_activity_as_html_is_an_error_in_a_folder_too(tmp_path: Path) -> None:
    """Nobody sees otherwise that a whole account's chats with Gemini are missing."""
    write(tmp_path / "a.json", [chat("a")])
    (tmp_path / "archive_browser.html").write_text("<html>")
    (tmp_path / "MyActivity.html").write_text(ACTIVITY)
    keys, [refused] = read(tmp_path)
    assert keys == ["a"]
    assert refused.startswith("MyActivity.html file 1: not read: Gemini's activity as HTML")
    assert left_files(tmp_path) == ["archive_browser.html"]


class TestBombs:
    @pytest.fixture(autouse=True)
    def small_bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bounds, "MAX_UNPACKED_BYTES", 300_000)

    REASON = "unpacks to more than 200 times its size"

    @pytest.mark.parametrize("filling", [b" ", b"[", b"{}\n", b'"'])
    def test_a_gzip_file_is_read_up_to_the_bound(self, tmp_path: Path, filling: bytes) -> None:
        path = tmp_path / "x.json.gz"
        begin = f"{json.dumps(chat('a'))}\n".encode()
        path.write_bytes(gzip.compress(begin + filling * (1_500_000 // len(filling))))
        keys, refused = read(path)
        assert keys in (["a"], [])
        assert refused[-1].endswith(f"the file {self.REASON}; from here on it was not read")

    def test_an_archive_is_refused_by_what_it_says(self, tmp_path: Path) -> None:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(20):
                archive.writestr(f"{number}.json", " " * 1_000_000)
        assert read(path) == ([], [f"file 1: {self.REASON}"])

    def test_an_archive_that_lies_is_read_up_to_what_it_says(self, tmp_path: Path) -> None:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.json", " " * 6_000_000)
        content = path.read_bytes()
        size = (6_000_000).to_bytes(4, "little")
        assert content.count(size) == 2
        path.write_bytes(content.replace(size, (5_000).to_bytes(4, "little")))
        keys, refused = read(path)
        assert keys == []
        assert refused

    def test_chats_that_repeat_themselves_are_no_bomb(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json.gz"
        said = json.dumps([chat(f"{number}") for number in range(500)])
        path.write_bytes(gzip.compress(said.encode()))
        assert len(said) > 300_000
        assert len(read(path)[0]) == 500
        assert recognise(path) == "chatgpt"
