"""The kinds of files that cannot be read, told by their first bytes, and what to do about each."""

from typing import Final

HEAD_BYTES: Final = 300_000
"""How much of a file `refuse_kind` looks at: a page of Google Takeout begins with its styles."""

_PACKED: Final = (
    (b"\x1f\x8b", "a gzip file within a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
)
_TAR: Final = b"ustar"
_TAR_AT: Final = 257
_OTHERS: Final = (
    (b"SQLite format 3\x00", "a SQLite database: use the export of the program that writes it"),
    (b"%PDF", "a PDF: ask for the export as JSON"),
)
_HTML: Final = (b"<!doctype html", b"<html")
_ACTIVITY: Final = b"outer-cell mdl-cell"
_PRODUCTS: Final = (b"gemini", b"bard")


def refuse_kind(head: bytes) -> str | None:
    """Return why a file that begins with ``head`` cannot be read, or None if it may be JSON."""
    for magic, name in _PACKED:
        if head.startswith(magic):
            return f"{name}: unpack it first"
    if head[_TAR_AT:].startswith(_TAR):
        return "a tar archive: unpack it, and give the folder"
    if is_activity(head):
        return "Gemini's activity as HTML: choose JSON in Google Takeout"
    if _begins_as_html(head):
        return "HTML: ask for the export as JSON"
    return next((reason for magic, reason in _OTHERS if head.startswith(magic)), None)


def is_activity(head: bytes) -> bool:
    """Return whether a file is the page of Google Takeout with what was said to Gemini."""
    text = head.lower()
    _, mark, records = text.partition(_ACTIVITY)
    return bool(mark) and _begins_as_html(head) and any(name in records for name in _PRODUCTS)


def may_be_json(head: bytes) -> bool:
    """Return whether the first character of a file is one with which a chat begins as JSON."""
    return head.lstrip(b"\xef\xbb\xbf\xfe\xff\x00 \t\r\n").startswith((b"{", b"["))


def _begins_as_html(head: bytes) -> bool:
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower().startswith(_HTML)
