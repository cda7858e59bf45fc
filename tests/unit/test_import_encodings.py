"""The encodings of files of chats: each is recognised by the bytes, and no byte is lost."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceplate.importers.chats import Refusal
from faceplate.importers.files import Value, read_values
from faceplate.importers.files import text as files_text
from faceplate.importers.files.text import Text

CHATS = [{"id": "1", "said": "Grüße 日本 👩‍👧 \ud800"}, {"id": "2", "said": "x" * 70_000}]
ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]


def read(path: Path) -> tuple[list[Any], list[str]]:
    items = list(read_values(path))
    values = [item.value for item in items if isinstance(item, Value)]
    return values, [f"{i.place}: {i.reason}" for i in items if isinstance(i, Refusal)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("is_lines", [True, False])
@pytest.mark.parametrize("block", [1, 3, 65_536])
def test_a_file_is_read_in_the_encoding_that_it_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    encoding: str,
    bom: str,
    is_lines: bool,
    block: int,
) -> None:
    """PowerShell writes UTF-16 with `>`, and Notepad a BOM."""
    monkeypatch.setattr(files_text, "BLOCK_BYTES", block)
    chats = CHATS if block > 3 else CHATS[:1]
    text = "\n".join(map(json.dumps, chats)) if is_lines else json.dumps(chats)
    escaped = text.replace("\\u00fc", "ü").replace("\\ud83d\\udc69", "👩")
    path = tmp_path / "chats"
    path.write_bytes((bom + escaped).encode(encoding))
    assert read(path) == (chats, [])


@pytest.mark.parametrize("encoding", ENCODINGS[1:])
def test_a_half_character_is_said(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "chats"
    path.write_bytes('{"a": 1}\n{"b": 2}\n'.encode(encoding) + b"\x20")
    name = encoding[:6].upper()
    assert read(path) == (
        [{"a": 1}, {"b": 2}],
        [
            "line 3: not JSON: Expecting value (column 1)",
            f"file 1: 1 character that is not {name} was replaced",
        ],
    )


def test_a_lone_surrogate_in_utf_16_is_left_to_the_readers(tmp_path: Path) -> None:
    path = tmp_path / "chats"
    path.write_bytes('["\ud83d", "\udc69"]'.encode("utf-16-le", "surrogatepass"))
    assert read(path) == (["\ud83d", "\udc69"], [])


def test_bytes_that_are_not_utf_8_are_read_as_windows_1252(tmp_path: Path) -> None:
    """A program of Windows wrote them; read as UTF-8, each is lost."""
    path = tmp_path / "chats"
    path.write_bytes(
        '["café \u2013 5 €", "日本 \ufffd"]'.encode().replace(b"\xe2\x82\xac", b"\x80")
    )
    assert read(path) == (
        ["café \u2013 5 €", "日本 \ufffd"],
        ["file 1: 1 byte that is not UTF-8 was read as Windows-1252"],
    )
    path.write_bytes(b'["caf\xe9 \x96 \x81", "\xf0\x9f", "\xed\xa0\x80"]')
    assert read(path) == (
        ["café \u2013 \ufffd", "ðŸ", "í\xa0€"],
        ["file 1: 8 bytes that are not UTF-8 were read as Windows-1252"],
    )


@given(data=st.binary(max_size=40), block=st.integers(1, 9))
@settings(max_examples=500, deadline=None)
def test_each_byte_becomes_a_character_in_blocks_of_any_size(data: bytes, block: int) -> None:
    """Else a character at the edge of a block would be lost, or be counted as damage."""
    data = b"{x" + data.replace(b"\0", b"")  # so that it is not UTF-16
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files_text, "BLOCK_BYTES", block)
        text = Text(BytesIO(data))
        found = "".join(iter(text.read, ""))
    valid = data.decode("utf-8", "surrogateescape")
    bad = [char for char in valid if "\udc80" <= char <= "\udcff"]
    assert text.decoder.bad == len(bad)
    assert len(found) == len(valid)
    assert all(a == b for a, b in zip(valid, found, strict=True) if a not in bad)
