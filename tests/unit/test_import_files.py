"""Files, archives and folders of chats: all that is in them is read, or said not to be."""

import gzip
import json
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from faceplate.export import FORMAT, VERSION
from faceplate.importers.chats import Refusal
from faceplate.importers.files import Value, read_values, size_bytes, spooled
from faceplate.importers.files import text as files_text
from faceplate.importers.files.selection import select

CHATS = [{"id": f"chat-{number}", "said": "Grüße " * number} for number in range(20)]
JSON = json.dumps(CHATS, ensure_ascii=False)
REST = "; the rest of the file was not read"
LINES = "".join(f"{json.dumps(chat)}\n" for chat in CHATS)


def zipped(files: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def fill(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def read(path: Path) -> tuple[list[Any], list[str]]:
    """The values of a file, and what is refused in it, with the places."""
    items = list(read_values(path))
    values = [item.value for item in items if isinstance(item, Value)]
    return values, [f"{i.place}: {i.reason}" for i in items if isinstance(i, Refusal)]


def read_bytes(tmp_path: Path, content: bytes, name: str = "x.json") -> tuple[list[Any], list[str]]:
    return read(fill(tmp_path, {name: content}) / name)


class TestLayouts:
    @pytest.mark.parametrize(
        "text",
        [
            '{"a": 1}\n{"a": 2}',
            '[{"a": 1}]\n[{"a": 2}]\n',
            '{"a": 1}{"a": 2}',
            '{\n"a": 1\n}\n{\n"a": 2\n}\n',
            '\n\n{"chats": [{"a": 1}]} {"chats": [{"a": 2}]}',
            '[{"a": 1},\n{"a": 2}]',
            '[\n{"a": 1}\n,{"a": 2}\n]',
            '{"chats": [\n{"a": 1},\n{"a":\n2}]}',
            '{"a": 1}\r\n\ufeff{"a": 2}\r\n',
        ],
    )
    @pytest.mark.parametrize("name", ["x", "x.json"])
    def test_values_are_found_however_they_are_laid_out(
        self, tmp_path: Path, name: str, text: str
    ) -> None:
        values, refused = read_bytes(tmp_path, text.encode(), name)
        assert refused == []
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        assert flat == [{"a": 1}, {"a": 2}]

    def test_lines_may_be_lists(self, tmp_path: Path) -> None:
        path = fill(tmp_path, {"x.jsonl": '[{"a": 1}, {"a": 2}]\n\n[{"b": 1}]\n'}) / "x.jsonl"
        assert [item.value for item in read_values(path) if isinstance(item, Value)] == [
            [{"a": 1}, {"a": 2}],
            [{"b": 1}],
        ]

    def test_an_indented_object_in_a_file_of_lines_is_one_value(self, tmp_path: Path) -> None:
        text = json.dumps({"id": "a", "messages": []}, indent=2)
        assert read_bytes(tmp_path, text.encode(), "x.jsonl") == ([json.loads(text)], [])

    @pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x"])
    @pytest.mark.parametrize("bad", ['{"id": "a', "hunter2", '{"id": NaNa}', '["a"', "{{}"])
    def test_a_bad_first_line_costs_nobody_the_others(
        self, tmp_path: Path, name: str, bad: str
    ) -> None:
        values, [refused] = read_bytes(tmp_path, f'{bad}\n{{"id": "b"}}\n[]\n'.encode(), name)
        assert values == [{"id": "b"}, []]
        assert refused.startswith("line 1: not JSON")

    def test_each_document_of_a_file_has_its_number(self, tmp_path: Path) -> None:
        """Else the messages of one list would go on in the next one's chat."""
        path = fill(tmp_path, {"x.json": "[1, 2] [3]\t[] [4]"}) / "x.json"
        items = [item for item in read_values(path) if isinstance(item, Value)]
        assert [(item.value, item.document) for item in items] == [(1, 0), (2, 0), (3, 1), (4, 2)]

    @pytest.mark.parametrize("block", [1, 2, 3, 5])
    def test_a_number_is_never_cut(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
    ) -> None:
        monkeypatch.setattr(files_text, "BLOCK_BYTES", block)
        numbers = [1.25, 1e30, -2.5e-7, 12, True, None, -0.0]
        assert read_bytes(tmp_path, json.dumps(numbers).encode()) == (numbers, [])

    def test_an_error_is_found_where_it_is(self, tmp_path: Path) -> None:
        """Not where the file ends: the reader would hold it to there."""
        [], [refused] = read_bytes(tmp_path, f'[{{"a": b}}, "{"x" * 1_000_000}'.encode())
        assert refused == ("chat 1: not JSON: Expecting value; the rest of the file was not read")


class TestPacked:
    @pytest.mark.parametrize(
        "pack",
        [
            lambda: gzip.compress(JSON.encode()),
            lambda: gzip.compress(JSON.encode()[:99]) + gzip.compress(JSON.encode()[99:]),
            lambda: zipped({"chats.json": JSON}),
            lambda: zipped({"chats.json": JSON}, zipfile.ZIP_STORED),
            lambda: zipped({"chats.json": JSON}, zipfile.ZIP_BZIP2),
            lambda: zipped({"chats.json": JSON}, zipfile.ZIP_LZMA),
            lambda: zipped({"chats.json.gz": gzip.compress(JSON.encode())}),
            lambda: zipped({"a\\chats.json": JSON, "a\\.chats.json": "no", "a/": ""}),
        ],
    )
    def test_a_packed_file_is_read(self, tmp_path: Path, pack: Callable[[], bytes]) -> None:
        """By its first bytes, whatever its name is."""
        assert read_bytes(tmp_path, pack(), "x") == (CHATS, [])

    @pytest.mark.parametrize("name", ["chats.json", "chats.jsonl"])
    @pytest.mark.parametrize("damage", ["cut", "flipped"])
    def test_a_damaged_gzip_gives_what_is_before_the_damage(
        self, tmp_path: Path, name: str, damage: str
    ) -> None:
        noise = [{"id": n, "said": os.urandom(3_000).hex()} for n in range(200)]
        text = json.dumps(noise) if name == "chats.json" else "\n".join(map(json.dumps, noise))
        content = bytearray(gzip.compress(text.encode()))
        if damage == "cut":
            del content[-len(content) // 4 :]
        else:
            content[-len(content) // 4] ^= 255
        values, refused = read_bytes(tmp_path, bytes(content), f"{name}.gz")
        assert values[:100] == noise[:100]
        assert refused
        if damage == "cut":
            unit = "chat" if name == "chats.json" else "line"
            assert values == noise[: len(values)]
            assert refused[-1].startswith(f"{unit} {len(values) + 1}: ")
            assert refused[-1].endswith("the file is damaged; from here on it was not read")

    def test_a_damaged_file_costs_nobody_the_others_of_an_archive(self, tmp_path: Path) -> None:
        texts = {f"{n}.json": json.dumps([{"id": n, "said": "x" * 5_000}]) for n in range(3)}
        content = bytearray(zipped({**texts}, zipfile.ZIP_STORED))
        content[content.index(b"xxx", 7_000)] ^= 1
        values, [refused] = read_bytes(tmp_path, bytes(content))
        assert [value["id"] for value in values] == [0, 2]
        assert refused.startswith("1.json chat 1: the file is damaged")

    def test_an_archive_in_an_archive_is_said(self, tmp_path: Path) -> None:
        inner = zipped({"chats.json": JSON})
        packed = gzip.compress(inner)
        files = {"a.zip": inner, "b.json.gz": packed, "c.json": b'[{"id": 1}]'}
        values, refused = read_bytes(tmp_path, zipped({**files}))
        assert values == [{"id": 1}]
        reason = "not read: an archive within an archive: unpack it first"
        assert refused == [f"a.zip file 1: {reason}", f"b.json file 1: {reason}"]


FOLDER: dict[str, str | bytes] = {
    "b/two.jsonl": '{"id": 2}\n{"id": 3}\n',
    "a.json": '[{"id": 0}]',
    "b/one.json.gz": gzip.compress(b'{"id": 1}'),
    "c/export.zip": zipped({"deep/x.ndjson": '{"id": 4}\n', "photo.jpg": "x"}),
    "notes.txt": "no",
    ".hidden/d.json": "no",
    "b/.e.json": "no",
    "__MACOSX/f.json": "no",
}


class TestFolders:
    def test_an_export_of_a_user_is_refused_once(self, tmp_path: Path) -> None:
        """And not line by line: it is restored, where it is given by itself."""
        export = json.dumps({"format": FORMAT, "version": VERSION}) + '\n{"user": {}}\n'
        packed = gzip.compress(export.encode())
        fill(tmp_path, {"a.jsonl.gz": packed, "b.jsonl": export, "c.json": "[1]"})
        reason = "not read: a file of `faceplate export`: import it by itself, unpacked"
        refused = [f"a.jsonl file 1: {reason}", f"b.jsonl file 1: {reason}"]
        assert read(tmp_path) == ([1], refused)

    def test_all_files_are_read_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        fill(tmp_path, FOLDER)
        (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
        (tmp_path / "loop").symlink_to(tmp_path)
        os.mkfifo(tmp_path / "pipe.json")
        seen: list[int] = []
        items = [item for item in read_values(tmp_path, seen.append) if isinstance(item, Value)]
        assert [(str(item.place), item.value["id"], item.document) for item in items] == [
            ("a.json chat 1", 0, 0),
            ("b/one.json chat 1", 1, 1),
            ("b/two.jsonl line 1", 2, 2),
            ("b/two.jsonl line 2", 3, 2),
            ("c/export.zip/deep/x.ndjson line 1", 4, 3),
        ]
        assert seen == sorted(seen)
        assert seen[-1] == size_bytes(tmp_path) > 0

    def test_a_folder_without_chats_is_an_error(self, tmp_path: Path) -> None:
        assert read(tmp_path) == ([], ["file 1: a folder without a file of chats"])

    def test_what_is_no_json_is_named(self, tmp_path: Path) -> None:
        fill(
            tmp_path, {"a.json": '[{"id": 1}', "b.json": "hunter2", "c.json": " \n", "d.json": "[]"}
        )
        assert read(tmp_path) == (
            [{"id": 1}],
            [
                f'a.json chat 2: not JSON: expecting ","{REST}',
                f"b.json chat 1: not read: neither a chat nor a list of chats{REST}",
                "c.json file 1: not read: the file is empty",
            ],
        )

    def test_a_file_that_cannot_be_read_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, {"a.json": "[1]", "b.json": "[2]"})
        opened = Path.open

        def deny(path: Path, *arguments: Any) -> Any:
            if path.name == "a.json":
                raise PermissionError(13, "Permission denied")
            return opened(path, *arguments)

        monkeypatch.setattr(Path, "open", deny)
        assert read(tmp_path) == ([2], ["a.json file 1: not read: Permission denied"])

    def test_files_beside_conversations_are_left(self) -> None:
        """They are about the account, or were attached to chats."""
        names = ["conversations.json", "users.json", "more/mine.json", "old.zip"]
        assert select(names) == (
            ["conversations.json", "more/mine.json", "old.zip"],
            ["users.json"],
        )
        numbered = ["me/conversations-000.json", "me/conversations-001.json.gz", "me/user.json"]
        assert select(numbered) == (numbered[:2], numbered[2:])


class TestSpooled:
    def test_what_can_be_read_once_is_kept(self) -> None:
        reading, writing = os.pipe()
        os.write(writing, LINES.encode())
        os.close(writing)
        with spooled(Path(f"/dev/fd/{reading}")) as path:
            assert read(path) == read(path) == (CHATS, [])
        os.close(reading)
        assert not path.exists()

    def test_files_and_folders_are_read_where_they_are(self, tmp_path: Path) -> None:
        file = fill(tmp_path, {"a.json": "[]"}) / "a.json"
        for path in (file, tmp_path):
            with spooled(path) as same:
                assert same == path
