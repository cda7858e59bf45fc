"""The reading of JSON values from files, whatever contains and encodes them.

A path is a file, a zip archive, a gzip file, or a folder of these. `containers` opens each file in
it, `text` decodes the file, and `values` yields its JSON values one at a time.
"""

from faceplate.importers.files.containers import Opened, left_files, size_bytes
from faceplate.importers.files.spooling import STDIN, spooled
from faceplate.importers.files.values import Value, may_have_chats, read_values

__all__ = [
    "STDIN",
    "Opened",
    "Value",
    "left_files",
    "may_have_chats",
    "read_values",
    "size_bytes",
    "spooled",
]
