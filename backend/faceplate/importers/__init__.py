"""The import of chats that other programs have exported."""

from faceplate.importers.chats import Chat, Refusal
from faceplate.importers.formats import FORMATS, Format
from faceplate.importers.importing import Preview, Report, import_file, preview_file
from faceplate.importers.opening import recognise
from faceplate.importers.reading import read_chats
from faceplate.importers.versions import Stored, import_chat, import_chats

__all__ = [
    "FORMATS",
    "Chat",
    "Format",
    "Preview",
    "Refusal",
    "Report",
    "Stored",
    "import_chat",
    "import_chats",
    "import_file",
    "preview_file",
    "read_chats",
    "recognise",
]
