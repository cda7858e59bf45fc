"""Files of any bytes: every value that is in one is read, and what is not is said."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faceplate.importers.chats import Refusal
from faceplate.importers.files import Value, parser, read_values
from faceplate.importers.files import text as files_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=3)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
PACKINGS = ["plain", "gzip", "zip", "gzip in zip", "folder", "zip in folder"]
BLOCKS = st.integers(1, 40)
SIZES = st.sampled_from([1, 5, 20, parser.LARGE_CHARS])


class File(NamedTuple):
    values: list[Any]
    text: str
    encoding: str
    packing: str

    def pack(self, folder: Path, content: bytes | None = None) -> Path:
        """Write the file, or other content in its place, and return what to read."""
        content = self.text.encode(self.encoding) if content is None else content
        name = "chats.json"
        if self.packing.startswith("gzip"):
            content, name = gzip.compress(content), f"{name}.gz"
        if "zip" in self.packing.replace("gzip", ""):
            packed = BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr(name, content)
            content, name = packed.getvalue(), "chats.zip"
        path = folder / name
        path.write_bytes(content)
        return folder if "folder" in self.packing else path


@st.composite
def files(draw: st.DrawFn) -> File:
    layout = draw(st.sampled_from(["list", "object", "lines", "lists", "documents"]))
    indent = draw(st.sampled_from([None, 0, 2]))
    is_ascii = draw(st.booleans())

    def dump(value: object, indent: int | None) -> str:
        return json.dumps(value, ensure_ascii=is_ascii, indent=indent)

    values: list[Any]
    match layout:
        case "list" | "object":
            values = draw(st.lists(JSON, max_size=4))
            whole = values if layout == "list" else {"version": 1, "chats": values, "end": None}
            text = dump(whole, indent)
        case "lines":
            values = draw(st.lists(OBJECTS, min_size=1, max_size=4))
            text = "\n".join(dump(value, None) for value in values)
        case "lists":
            values = draw(st.lists(st.lists(JSON, max_size=3), min_size=2, max_size=4))
            text = "\n".join(dump(value, None) for value in values)
        case _:
            values = draw(st.lists(OBJECTS.filter(bool), min_size=1, max_size=4))
            between = draw(st.sampled_from(["", "\n", "\r"]))
            text = between.join(dump(value, 1) for value in values)
    return File(
        values,
        draw(st.sampled_from(["", "\n", " \r\n\n"])) + text + draw(st.sampled_from(["", "\n"])),
        draw(st.sampled_from(ENCODINGS)),
        draw(st.sampled_from(PACKINGS)),
    )


@contextmanager
def reading(block: int, large: int) -> Iterator[Path]:
    """A folder, blocks of that many bytes, and values that are large from that many characters."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "LARGE_CHARS", large)
        patch.setattr(files_text, "BLOCK_BYTES", block)
        yield Path(folder)


def read(path: Path) -> tuple[list[Any], list[Refusal]]:
    items = list(read_values(path))
    return (
        [item.value for item in items if isinstance(item, Value) and not item.is_beside],
        [item for item in items if isinstance(item, Refusal)],
    )


def flat(values: list[Any]) -> list[Any]:
    """Values with the elements of lists in their place, as a list alone in a file is read."""
    return [
        one for value in values for one in (flat(value) if isinstance(value, list) else [value])
    ]


def is_whole(text: str) -> bool:
    """Whether the text is JSON documents, and nothing behind them."""
    at = len(text) - len(text.lstrip())
    while at < len(text):
        try:
            _, end = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            return False
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return True


many = settings(max_examples=300, deadline=None)


@given(file=files(), block=BLOCKS, large=SIZES)
@many
def test_every_value_of_a_file_is_read(file: File, block: int, large: int) -> None:
    with reading(block, large) as folder:
        assert read(file.pack(folder)) == (file.values, [])


@given(file=files(), block=BLOCKS, large=SIZES, end=st.floats(0, 1))
@many
def test_what_a_cut_off_file_has_lost_is_said(
    file: File, block: int, large: int, end: float
) -> None:
    with reading(block, large) as folder:
        content = file.text.encode(file.encoding)
        cut = content[: int(len(content) * end)]
        values, refusals = read(file.pack(folder, cut))
        found = flat(values)
        if found and isinstance(found[-1], int | float):
            del found[-1]  # whose last digits may be cut off
        assert found == flat(file.values)[: len(found)]
        assert refusals or is_whole(cut.decode(file.encoding))


@given(file=files(), block=BLOCKS, large=SIZES, data=st.data())
@many
def test_no_bytes_crash_the_reading(
    file: File, block: int, large: int, data: st.DataObject
) -> None:
    """Of a file, of an archive's directory, of packed data, wherever they are changed."""
    with reading(block, large) as folder:
        path = file.pack(folder)
        packed = next(each for each in folder.iterdir())
        content = bytearray(packed.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content) - 1))
            match data.draw(st.sampled_from(["flip", "cut", "insert", "drop"])):
                case "flip":
                    content[at] = data.draw(st.integers(0, 255))
                case "cut":
                    del content[at + 1 :]
                case "insert":
                    content[at:at] = data.draw(st.binary(max_size=9))
                case "drop":
                    del content[at]
            content = content or bytearray(b"{")
        packed.write_bytes(content)
        read(path)


@given(content=st.binary(max_size=200), block=BLOCKS, large=SIZES)
@example(content=b"PK\x05\x06" + bytes(18), block=1, large=1)
@example(content=b"\x1f\x8b", block=1, large=1)
@example(content=b"\xff\xfe\x00", block=1, large=1)
@many
def test_any_bytes_are_a_file_that_has_values_or_is_refused(
    content: bytes, block: int, large: int
) -> None:
    with reading(block, large) as folder:
        path = folder / "chats.json"
        path.write_bytes(content)
        values, refusals = read(path)
        assert (
            values or refusals or content.strip(b"\xef\xbb\xbf \t\r\n\xff\xfe\0") in (b"[]", b"[")
        )
